"""What node and monitor open in the ROS graph is what the SROS 2 policy allows them, by direction."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from paths import ROOT
from ros_helpers import Peer, arguments, free_domain, needs_ros, process

pytestmark = needs_ros


@pytest.fixture(autouse=True)
def own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph is asked by the names of nodes, which those of other tests of this process may have too."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))


def allowed(node: str) -> dict[str, set[str]]:
    """Full names by what may be done with them: publish, subscribe, reply."""
    profile = ElementTree.parse(ROOT / "config" / "security" / "a2vis.policy.xml").find(f".//profile[@node='{node}']")
    assert profile is not None
    names: dict[str, set[str]] = {"publish": set(), "subscribe": set(), "reply": set()}
    for group in profile:
        (direction,) = group.attrib
        for entry in group:
            names[direction].add((entry.text or "").replace("~/", f"/{node}/"))
    return {direction: {f"/{name.lstrip('/')}" for name in found} for direction, found in names.items()}


def opened(name: str, observer: Any) -> dict[str, set[str]]:
    """What a node has opened, as another or the same sees it."""
    graph = {
        "publish": observer.get_publisher_names_and_types_by_node(name, "/"),
        "subscribe": observer.get_subscriber_names_and_types_by_node(name, "/"),
        "reply": observer.get_service_names_and_types_by_node(name, "/"),
    }
    return {direction: {topic for topic, _ in found} for direction, found in graph.items()}


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_the_policy_allows_the_node_what_it_opens(transport: str) -> None:
    from rclpy.parameter import Parameter
    from scripted_tracker import ScriptedTracker

    from a2vis_ros.node.a2vis_node import A2visNode
    from a2vis_ros.stream.models import LoadedModel

    def load(*_: Any) -> LoadedModel:
        return LoadedModel(lambda tracks: ScriptedTracker(), 4, "fake", "nothing", "fake/cpu", ("thing",), engine="")

    peer = Peer()
    parameters = [Parameter("transport", value=transport), Parameter("use_sim_time", value=True)]
    node = A2visNode(load, context=peer.context, parameter_overrides=parameters)
    try:
        for transition in ("configure", "activate"):
            assert getattr(node, f"trigger_{transition}")().name == "SUCCESS"
        # The subscription is opened last; what is open is known a moment later.
        peer.until(lambda: f"/image{'/compressed' * (transport == 'compressed')}" in opened("a2vis", node)["subscribe"])
        found, policy = opened("a2vis", node), allowed("a2vis")
    finally:
        node.close()
        peer.close()
    for direction, names in found.items():
        assert names
        assert names <= policy[direction]


def test_the_policy_allows_the_monitor_what_it_opens() -> None:
    peer = Peer()
    with process("a2vis_ros.planner.occlusion_monitor", *arguments(use_sim_time=True)):
        peer.until(lambda: "occlusion_monitor" in peer.node.get_node_names())
        peer.until(lambda: "/a2vis/tracks" in opened("occlusion_monitor", peer.node)["subscribe"])
        peer.until(lambda: "/occlusion_monitor/set_parameters" in opened("occlusion_monitor", peer.node)["reply"])
        found, policy = opened("occlusion_monitor", peer.node), allowed("occlusion_monitor")
    peer.close()
    for direction, names in found.items():
        assert names
        assert names <= policy[direction]
