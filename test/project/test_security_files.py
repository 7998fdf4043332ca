"""The files beside the code that are about security say what the code does."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from paths import ROOT

POLICY = ROOT / "config" / "security" / "a2vis.policy.xml"


def allowed(enclave: str) -> set[str]:
    """The names that a program may use under SROS 2."""
    found = ElementTree.parse(POLICY).getroot().find(f"enclaves/enclave[@path='{enclave}']")
    assert found is not None
    return {element.text or "" for element in found.iter() if element.tag in ("topic", "service")}


@pytest.mark.parametrize(
    ("enclave", "modules"),
    [
        ("/a2vis/node", ("node/a2vis_node.py", "node/image_stream.py", "node/outputs.py", "node/status_publisher.py")),
        ("/a2vis/occlusion_monitor", ("planner/occlusion_monitor.py",)),
    ],
)
def test_the_policy_allows_what_the_programs_use(enclave: str, modules: tuple[str, ...]) -> None:
    pattern = re.compile(r"""(?:(?:_publisher|create_service)\(\s*[\w.]+,\s*|    topic = )"([^"]+)\"""")
    used = {name for module in modules for name in pattern.findall((ROOT / "a2vis_ros" / module).read_text("utf-8"))}
    assert used
    assert used <= allowed(enclave)


def test_the_policy_allows_the_topics_of_the_localizer() -> None:
    text = (ROOT / "a2vis_ros" / "node" / "localizer_stream.py").read_text("utf-8")
    used = set(re.findall(r'"(~/[a-z_0-9]+|a2vis/[a-z_]+|camera_info|depth)"', text))
    assert len(used) >= 10
    assert used <= allowed("/a2vis/object_localizer")
