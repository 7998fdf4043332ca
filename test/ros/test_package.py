"""What package.xml names and what nodes take, held to what the launch files and the tests use. Without ROS."""

import ast
import re
from xml.etree import ElementTree

from paths import ROOT

from a2vis_model.backend_names import BACKENDS, PRECISIONS
from a2vis_ros.space import parameters as localizer
from a2vis_ros.stream import parameters as node

OURS: dict[str, tuple[str, ...]] = {"BACKENDS": BACKENDS, "PRECISIONS": PRECISIONS}


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


def test_launch_arguments_offer_what_the_nodes_take() -> None:
    """Every choice of a parameter, and no other. The launch file itself is run only where ROS is installed."""
    tree = ast.parse((ROOT / "launch" / "a2vis.launch.py").read_text(encoding="utf-8"))
    calls = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)]
    offered = {ast.literal_eval(call.args[0]): call.args[2:] for call in calls if call.func.id == "parameter"}
    taken = {p.name: p.choices for p in (*localizer.PARAMETERS, *node.PARAMETERS) if p.name in offered}
    # The monitor's region is a list of numbers, and every node of ROS has use_sim_time.
    assert taken.keys() == offered.keys() - {"use_sim_time", "region"}
    assert {name: _choices(offered[name]) for name in taken} == taken


def _choices(arguments: list[ast.expr]) -> tuple[str, ...]:
    """The choices that are written in the launch file: one of our tuples, a list, or none."""
    if not arguments:
        return ()
    (value,) = arguments
    return OURS[value.id] if isinstance(value, ast.Name) else tuple(ast.literal_eval(value))
