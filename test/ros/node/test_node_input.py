"""What a running node takes from whom, across policies, publishers, remaps, clocks and restarts; and how it ends."""

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from ros_helpers import Peer, arguments, image, needs_ros, process
from running_node import NODE, cost, peer, running

__all__ = ["peer"]

pytestmark = [needs_ros, pytest.mark.usefixtures("no_process_is_left_over")]

FAKE = {"module": "fake_node"}


def readers(peer: Peer, topic: str) -> list[str]:
    """Reliability of those who subscribe to a topic; a history is not told to others."""
    return [info.qos_profile.reliability.name for info in peer.node.get_subscriptions_info_by_topic(topic)]


def test_the_policy_of_each_configuration_brings_its_quality(peer: Peer, tmp_path: Path) -> None:
    """latest, cleanup, every_frame, configure, activate: reliable, and nothing is overwritten."""
    with running(peer, tmp_path, **FAKE, policy="latest") as node:
        node.start()
        peer.until(lambda: readers(peer, "/image") == ["BEST_EFFORT"])
        for transition in ("deactivate", "cleanup"):
            node.lifecycle.change(transition)
        assert peer.set_parameter(NODE, policy="every_frame")[0].successful
        node.start()
        peer.until(lambda: readers(peer, "/image") == ["RELIABLE"])
        assert node.diagnostics()["input_qos"] == "reliable, keep all"
        # More than a queue that is full, at once.
        camera = node.publisher()
        sent = [cost(peer, 1, divided=False) for _ in range(100)]
        for message in sent:
            camera.publish(message)
        assert [message.header for message in node.results(100)] == [message.header for message in sent]
        # What the user sets goes before either, and a slip is refused in words.
        name = "qos_overrides./image.subscription.reliability"
        refused = peer.set_parameter(NODE, **{name: "best_efort"})[0]
        assert not refused.successful
        assert refused.reason == f"{name}='best_efort' is none of reliable, best_effort"
        assert peer.set_parameter(NODE, **{name: "best_effort"})[0].successful
        for transition in ("deactivate", "activate"):
            node.lifecycle.change(transition)
        assert node.diagnostics()["input_qos"] == "best effort, keep all"


def test_a_misspelt_override_fails_the_configuration_in_words(peer: Peer, tmp_path: Path) -> None:
    from a2vis_ros.programs.lifecycle_client import LifecycleError

    wrong = {"qos_overrides./image.subscription.reliability": "best_efort", "strid": 2}
    with running(peer, tmp_path, **FAKE, **wrong) as node:
        with pytest.raises(LifecycleError):
            node.lifecycle.change("configure")
        assert "subscription.reliability='best_efort' is none of reliable, best_effort" in node.log()
        assert "Traceback" not in node.log()
        name = next(iter(wrong))
        assert peer.set_parameter(NODE, **{name: "best_effort"})[0].successful
        node.lifecycle.change("configure")
        assert "there is no parameter 'strid', and it has no effect; is stride meant?" in node.log()


def test_the_parameters_of_a_node_can_be_given_to_another(peer: Peer, tmp_path: Path) -> None:
    """As `ros2 param dump` writes them, and a launch file gives them."""
    from rcl_interfaces.srv import GetParameters, ListParameters
    from rclpy.parameter import parameter_value_to_python

    def dumped() -> dict[str, Any]:
        names = peer.call(ListParameters, f"{NODE}/list_parameters", ListParameters.Request()).result.names
        values = peer.call(GetParameters, f"{NODE}/get_parameters", GetParameters.Request(names=names)).values
        return dict(zip(names, map(parameter_value_to_python, values), strict=True))

    chosen = {f"qos_overrides.{NODE}/tracks.publisher.depth": 7}
    with running(peer, tmp_path, **FAKE, min_area=5, **chosen) as node:
        node.start()
        before = dumped()
    assert "qos_overrides./image.subscription.reliability" in before
    file = tmp_path / "dump.yaml"
    file.write_text(yaml.safe_dump({NODE: {"ros__parameters": before}}), encoding="utf-8")
    with running(peer, tmp_path, "--params-file", str(file), module=FAKE["module"]) as node:
        node.start()
        assert dumped() == before
        assert node.diagnostics()["input_qos"] == "reliable, keep all"


def test_latest_takes_reliably_from_those_who_send_so(peer: Peer, tmp_path: Path) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    with running(peer, tmp_path, **FAKE, policy="latest") as node:
        node.start()
        camera = node.publisher(qos=10)
        peer.until(lambda: readers(peer, "/image") == ["RELIABLE"])
        peer.until(lambda: camera.publish(cost(peer, 0, divided=False)) or node.tracks)
        assert node.diagnostics()["input_qos"] == "reliable, keep last 3"
        # And from one who does not, too.
        peer.node.destroy_publisher(camera)
        other = peer.node.create_publisher(
            Image, "/image", QoSProfile(depth=3, reliability=ReliabilityPolicy.BEST_EFFORT)
        )
        peer.until(lambda: readers(peer, "/image") == ["BEST_EFFORT"])
        before = len(node.tracks)
        peer.until(lambda: other.publish(cost(peer, 0, divided=False)) or len(node.tracks) > before)
        assert "offers less reliability" not in node.log()


def test_a_remap_of_image_counts_for_compressed_ones(peer: Peer, tmp_path: Path) -> None:
    from sensor_msgs.msg import Image

    remaps = ("-r", "image:=/camera/image_raw")
    with running(peer, tmp_path, *remaps, **FAKE, transport="compressed", no_image_s=0.2) as node:
        peer.node.create_publisher(Image, "/camera/image_raw/compressed", 10)
        node.start()
        peer.until(lambda: readers(peer, "/camera/image_raw/compressed"))
        peer.until(lambda: "set the parameter transport to raw" in node.log())
    own = ("-r", "image/compressed:=/jpegs", "-r", "__node:=other")
    with running(peer, tmp_path, *own, **FAKE, name="/other", transport="compressed") as node:
        node.start()
        peer.until(lambda: readers(peer, "/jpegs"))


def test_two_cameras_on_one_topic_and_a_late_image(peer: Peer, tmp_path: Path) -> None:
    with running(peer, tmp_path, **FAKE) as node:
        node.start()
        left, right = node.publisher(), node.publisher()

        def send(publisher: Any, seconds: float, frame_id: str) -> None:
            message = image(seconds, (10, 10))
            message.data[0], message.header.frame_id = 0, frame_id
            count = len(node.tracks)
            publisher.publish(message)
            if seconds != 10.1:
                peer.until(lambda: len(node.tracks) > count)

        for seconds in (10.0, 10.2, 10.1, 10.3):
            send(left, seconds, "left")
        assert {message.epoch for message in node.tracks} == {0}
        assert node.books() == {"received": 4, "processed": 3, "late image": 1}
        assert "image dropped: its stamp is 0.100 s before" in node.diagnostics()["message"]
        for seconds in (10.4, 10.5):
            send(right, seconds, "right")
            send(left, seconds + 0.05, "left")
        status = node.diagnostics()
        assert status["level"] == "1"
        assert status["message"].startswith("2 publishers on /image send images with different frame_ids, 'left' and")


def test_a_clock_that_stands_still_is_said(peer: Peer, tmp_path: Path) -> None:
    with running(peer, tmp_path, **FAKE, use_sim_time=True) as node:
        node.start()
        camera = node.publisher()
        camera.publish(cost(peer, 0, divided=False))
        node.results(1)
        words = "use_sim_time is set, but /clock stands at 0: nobody publishes it"
        assert node.diagnostics()["message"].startswith(words)
        assert words in node.log()
        assert "before this node's clock" not in node.log()


def test_a_session_is_of_one_configuration(peer: Peer, tmp_path: Path) -> None:
    with running(peer, tmp_path, **FAKE) as node:
        for _ in range(2):
            node.start()
            camera = node.publisher()
            camera.publish(cost(peer, 0, divided=False))
            count = len(node.tracks)
            peer.until(lambda count=count: len(node.tracks) > count)
            for transition in ("deactivate", "cleanup"):
                node.lifecycle.change(transition)
            peer.node.destroy_publisher(camera)
        first, second = node.tracks
        # The same epoch and the same index, and yet no object of the one is an object of the other.
        assert (first.epoch, first.frame_index) == (second.epoch, second.frame_index) == (0, 0)
        assert len({first.session, second.session, 0}) == 3


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_an_active_node_ends_in_order(peer: Peer, tmp_path: Path, told: signal.Signals) -> None:
    """What it still has is published, and what it says goes to /rosout."""
    from a2vis_ros.msg import TrackedInstanceArray
    from rcl_interfaces.msg import Log

    log = tmp_path / "log"
    heard = peer.listen(Log, "/rosout")
    tracks = peer.listen(TrackedInstanceArray, "/a2vis/tracks")
    given = arguments(policy="every_frame", autostart=True)
    with process("fake_node", *given, log=log) as program:
        peer.until(lambda: "subscribed to /image" in log.read_text())
        camera = peer.node.create_publisher(type(image(0)), "/image", 10)
        peer.until(camera.get_subscription_count)
        peer.until(lambda: camera.publish(cost(peer, 0, divided=False)) or tracks)
        program.send_signal(told)
        peer.until(lambda: program.poll() is not None)
        assert program.returncode == 0
    assert "stopped; " in log.read_text()
    assert "rosout" not in log.read_text()
    assert "Traceback" not in log.read_text()
    peer.until(lambda: any(message.msg.startswith("stopped; ") for message in heard))


def test_the_monitor_forgets_with_the_session(peer: Peer) -> None:
    """A node that was started anew counts epochs and IDs from the beginning."""
    from a2vis_ros.msg import HiddenObjectArray, TrackedInstance, TrackedInstanceArray

    def said(session: int, seconds: float, state: int, width: int) -> Any:
        message = TrackedInstanceArray(header=image(seconds).header, height=48, width=64, session=session)
        track = TrackedInstance(track_id=1, state=state)
        if width:
            track.amodal.roi.width, track.amodal.roi.height, track.amodal.area = width, 4, width * 4
            track.amodal.counts = [0, width * 4]
        message.instances.append(track)
        return message

    with process("a2vis_ros.planner.occlusion_monitor"):
        tracks = peer.node.create_publisher(TrackedInstanceArray, "/a2vis/tracks", 30)
        hidden = peer.listen(HiddenObjectArray, "/occlusion_monitor/hidden")
        peer.until(tracks.get_subscription_count)
        peer.acquaint(tracks, TrackedInstanceArray(height=48, width=64), hidden)
        # Seen, then lost; and in another session lost from the start, so that nothing is known of where it is.
        script = [
            (7, 1.0, TrackedInstance.VISIBLE, 6),
            (7, 1.1, TrackedInstance.LOST, 0),
            (8, 1.2, TrackedInstance.LOST, 0),
        ]
        for count, (session, seconds, state, width) in enumerate(script, 1):
            tracks.publish(said(session, seconds, state, width))
            peer.until(lambda count=count: len(hidden) == count)
        assert [message.session for message in hidden] == [7, 7, 8]
        assert [len(message.objects) for message in hidden] == [0, 1, 0]
