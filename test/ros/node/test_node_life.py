"""Transitions of the node, its end, and several of it at once."""

import dataclasses
import gc
import signal
import weakref
from pathlib import Path
from typing import Any

import pytest
from ros_helpers import PATIENCE_S, Peer, arguments, image, needs_ros, process
from running_node import NODE, cost, peer, running

from a2vis_model import TrackSettings

__all__ = ["peer"]


pytestmark = [needs_ros, pytest.mark.usefixtures("no_process_is_left_over")]


def test_services_answer_while_an_engine_is_built(peer: Peer, tmp_path: Path) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from rcl_interfaces.srv import GetParameters

    from a2vis_ros.programs.lifecycle_client import LifecycleError

    built = tmp_path / "built"
    with running(peer, tmp_path, module="fake_node", engine_cache=str(built)) as node:
        client = peer.node.create_client(ChangeState, "/a2vis/change_state")
        assert client.wait_for_service(PATIENCE_S)
        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_CONFIGURE
        configured = client.call_async(request)
        peer.until(lambda: node.heard().get("preparing") == "building an engine")
        assert node.lifecycle.state() == "configuring"
        # Thresholds change, what is being used does not, and both answers come at once.
        assert peer.set_parameter(NODE, min_area=77)[0].successful
        refused = peer.set_parameter(NODE, backend="eager")[0]
        assert not refused.successful
        assert "backend is read when the node is configured" in refused.reason
        names = GetParameters.Request(names=["min_area", "backend"])
        found = peer.call(GetParameters, "/a2vis/get_parameters", names).values
        assert (found[0].integer_value, found[1].string_value) == (77, "auto")
        # A transition that cannot be now is refused, and nothing else happens.
        with pytest.raises(LifecycleError):
            node.lifecycle.change("activate")
        with pytest.raises(LifecycleError):
            node.lifecycle.change("configure")
        assert not configured.done()
        status = node.diagnostics()
        assert (status["state"], status["level"], status["backend"]) == ("configuring", "1", "asked for auto, fp32")
        assert status["message"].startswith("being configured for ")
        built.touch()
        peer.until(configured.done)
        assert configured.result().success
        assert node.diagnostics()["engine"] == "0123abcd"
        node.lifecycle.change("activate")
        camera = node.publisher()
        camera.publish(cost(peer, 0, divided=False))
        node.results(1)
        for transition in ("deactivate", "cleanup"):
            node.lifecycle.change(transition)
        assert node.lifecycle.state() == "unconfigured"


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_the_program_ends_at_once_while_an_engine_is_built(peer: Peer, tmp_path: Path, told: signal.Signals) -> None:
    log = tmp_path / "log"
    with process("fake_node", *arguments(engine_cache=str(tmp_path / "never")), log=log) as program:
        peer.have_an_engine_built(log)
        # It is in the midst of it then.
        peer.spin(0.5)
        program.send_signal(told)
        assert program.wait(PATIENCE_S) == 0
    assert "Traceback" not in log.read_text()


def test_transitions_that_cannot_be_now_are_refused(peer: Peer, tmp_path: Path) -> None:
    """Jazzy's rclpy by itself would end the program at such a transition; Kilted's refuses it in other words."""
    from a2vis_ros.programs.lifecycle_client import LifecycleError

    with running(peer, tmp_path, module="fake_node") as node:
        for transition in ("activate", "deactivate", "cleanup"):
            with pytest.raises(LifecycleError):
                node.lifecycle.change(transition)
            assert node.lifecycle.state() == "unconfigured"
        assert "is refused in this state" in node.log() or "Unable to start transition" in node.log()
        node.start()
        assert node.lifecycle.state() == "active"


def test_it_is_disabled_and_enabled_without_a_transition(peer: Peer, tmp_path: Path) -> None:
    from std_srvs.srv import SetBool

    with running(peer, tmp_path, module="fake_node") as node:

        def enable(data: bool) -> tuple[bool, str]:
            answer = peer.call(SetBool, "/a2vis/enable", SetBool.Request(data=data))
            return answer.success, answer.message

        node.lifecycle.change("configure")
        assert enable(False) == (False, "the node is not active; activate it, which enables it too")
        node.lifecycle.change("activate")
        camera = node.publisher()
        camera.publish(cost(peer, 0, divided=False))
        node.results(1)
        assert enable(True) == (True, "it is active already")
        assert enable(False)[0]
        assert node.lifecycle.state() == "active"
        status = node.diagnostics()
        assert (status["state"], status["message"]) == ("disabled", "disabled; no images are processed")
        peer.until(lambda: not camera.get_subscription_count())
        camera.publish(cost(peer, 0, divided=False))
        peer.spin(0.5)
        assert len(node.tracks) == 1
        assert enable(True)[0]
        peer.until(camera.get_subscription_count)
        camera.publish(cost(peer, 0, divided=False))
        assert [m.epoch for m in node.results(2)] == [0, 1]
        assert node.diagnostics()["epoch_reason"] == "enabled again by ~/enable"
        assert node.books() == {"received": 2, "processed": 2}
        # Activating enables.
        enable(False)
        for transition in ("deactivate", "activate"):
            node.lifecycle.change(transition)
        assert node.diagnostics()["state"] == "active"


def test_cleanup_lets_go_of_the_model(peer: Peer) -> None:
    """In this process, and without help by a collection that happens to come."""
    import fake_node

    from a2vis_ros.node.a2vis_node import A2visNode
    from a2vis_ros.stream.models import LoadedModel, ModelRequest, ReportProgress
    from a2vis_ros.stream.pipeline import Tracker

    trackers: list[weakref.ref[Any]] = []

    def load(request: ModelRequest, progress: ReportProgress) -> LoadedModel:
        model = fake_node.load(request, progress)

        def new_tracker(tracks: TrackSettings) -> Tracker:
            tracker = model.new_tracker(tracks)
            trackers.append(weakref.ref(tracker))
            return tracker

        return dataclasses.replace(model, new_tracker=new_tracker)

    node = A2visNode(load, context=peer.context)
    peer.executor.add_node(node)
    gc.disable()
    try:
        for _ in range(3):
            for transition in ("configure", "activate", "deactivate", "cleanup"):
                assert getattr(node, f"trigger_{transition}")().name == "SUCCESS"
        assert [tracker() for tracker in trackers] == [None] * 3
    finally:
        gc.enable()
        # Whole, so that its services do not answer for the node of another test.
        peer.executor.remove_node(node)
        node.close()
        del node
        gc.collect()


def test_mismatched_qos_and_silence_are_said_in_words(peer: Peer, tmp_path: Path) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    with running(peer, tmp_path, module="fake_node", no_image_s=0.3) as node:
        node.start()
        peer.until(lambda: "no publisher on /image for" in node.log())
        publisher = peer.node.create_publisher(Image, "/image", best_effort)
        peer.until(lambda: "offers less reliability than this node asks for" in node.log())
        assert "qos_overrides./image.subscription.reliability to best_effort" in node.log()
        peer.node.destroy_publisher(publisher)
    # As the message says:
    parameter = {"qos_overrides./image.subscription.reliability": "best_effort"}
    with running(peer, tmp_path, "-r", "__node:=mended", name="/mended", module="fake_node", **parameter) as node:
        node.start()
        camera = node.publisher(qos=best_effort)
        peer.until(lambda: camera.publish(image(1.0)) or node.tracks)


def test_two_cameras_by_two_nodes_in_namespaces(peer: Peer, tmp_path: Path) -> None:
    with (
        running(peer, tmp_path, "-r", "__ns:=/left", name="/left/a2vis", module="fake_node") as left,
        running(peer, tmp_path, "-r", "__ns:=/right", name="/right/a2vis", module="fake_node") as right,
    ):
        for node in (left, right):
            node.start()
        cameras = [node.publisher(f"/{side}/image") for node, side in ((left, "left"), (right, "right"))]
        cameras[0].publish(image(1.0))
        cameras[1].publish(image(2.0))
        cameras[1].publish(image(2.1))
        assert [m.header.stamp.sec for m in right.results(2)] == [2, 2]
        assert [m.header.stamp.sec for m in left.results(1)] == [1]
        peer.spin(0.5)
        assert (len(left.tracks), len(right.tracks)) == (1, 2)
