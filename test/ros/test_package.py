"""What package.xml names, held to what the launch files and the tests use. Without ROS."""

import re
from xml.etree import ElementTree

from paths import ROOT


def test_no_launch_argument_is_evaluated() -> None:
    """A topic's name is no program."""
    for file in (ROOT / "launch").glob("*.launch.py"):
        assert not re.search(r"PythonExpression|\beval\b|\bexec\b|shell=", file.read_text(encoding="utf-8")), file


def test_all_that_launch_files_start_is_depended_on() -> None:
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    named = {element.text for tag in ("depend", "exec_depend") for element in package.findall(tag)}
    used: set[str] = set()
    for file in sorted((ROOT / "launch").glob("*.launch.py")):
        text = file.read_text(encoding="utf-8")
        used |= set(re.findall(r'package="(\w+)"', text))
        used |= {f"ros2{verb}" for verb in re.findall(r'"ros2", "(\w+)"', text)}
        used |= set(re.findall(r"^from (launch\w*|\w+_msgs)\b", text, re.MULTILINE))
    assert used >= {"rviz2", "ros2bag", "launch_ros"}
    assert used - {"a2vis_ros"} <= named
    # The storage of our own bags, which the player loads by name.
    assert "rosbag2_storage_mcap" in named
    assert "python3-psutil" in {element.text for element in package.findall("test_depend")}
