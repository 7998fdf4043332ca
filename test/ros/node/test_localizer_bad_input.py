"""Input that the localizer's node cannot use, or not all of: counted, and said in words."""

from collections.abc import Iterator

import numpy as np
import pytest
from localizer_talk import LEVEL, depth_image, localizer, tracks
from ros_helpers import Peer, needs_ros

from a2vis_ros.space.books import Drop, Lack
from a2vis_ros.space.transforms import RigidTransform, TransformBuffer

pytestmark = needs_ros


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    one = Peer()
    yield one
    one.close()


def camera_at(height: float, frame: str) -> TransformBuffer:
    """A camera at this height in a frame, at all times."""
    buffer = TransformBuffer()
    buffer.add(frame, "camera", RigidTransform(LEVEL.rotation, np.array([2.0, 0, height])), 0, static=True)
    return buffer


def test_beside_depth_z_0_of_the_fixed_frame_is_not_the_ground(peer: Peer, capfd: pytest.CaptureFixture[str]) -> None:
    # The floor is 2 m above it.
    with localizer(peer, camera_at(3.2, "odom"), depth="raw", fixed_frame="odom") as talk:
        said = "beside depth, z = 0 of fixed_frame='odom' is not"
        assert said in capfd.readouterr().err
        talk.say_camera()
        peer.until(talk.depth.get_subscription_count)
        for number, metres in enumerate((0.0, 6.0), 1):
            talk.depth.publish(depth_image(float(number), metres))
            peer.until(lambda number=number: talk.has_depth(float(number)))
        # A hole.
        assert not talk.localized(tracks(1.0)).objects
        (found,) = talk.localized(tracks(2.0)).objects
        assert found.source == found.DEPTH
        assert found.pose.pose.position.x == pytest.approx(8.25, abs=0.1)
        values = talk.diagnostics(0, "2 of 2 frames localized")
        assert values["ground"] == "none"
        assert values["unplaced: no depth on the object, and no ground plane"] == "1"


def test_with_depth_a_ground_that_is_not_below_the_camera_is_left_out(
    peer: Peer, capfd: pytest.CaptureFixture[str]
) -> None:
    with localizer(peer, camera_at(-0.3, "map"), depth="raw", ground_frame="map") as talk:
        talk.say_camera()
        peer.until(talk.depth.get_subscription_count)
        talk.depth.publish(depth_image(0.0, 6.0))
        peer.until(lambda: talk.has_depth(0.0))
        (found,) = talk.localized(tracks(0.0)).objects
        assert found.source == found.DEPTH
        books = talk.node._streams[0]._books
        assert books.lacks == {Lack.GROUND: 1}
        assert "-0.3 m above the ground plane" in books.last_problem
        assert "ground not below camera: the camera is -0.3 m" in capfd.readouterr().err
        values = talk.diagnostics(1, "ground not below camera")
        assert values["ground"] == "z = 0 of map"
        assert values["without ground: ground not below camera"] == "1"
        assert values["total_dropped_frames"] == "0"
        # Without depth nothing else places anything.
        assert "-0.3 m above the ground plane" in talk.dropped(tracks(1.0), Drop.GROUND)


def test_tracks_without_a_stamp_are_dropped(peer: Peer, capfd: pytest.CaptureFixture[str]) -> None:
    with localizer(peer, camera_height_m=1.2) as talk:
        talk.say_camera()
        unstamped = tracks(-100.0)
        assert (unstamped.header.stamp.sec, unstamped.header.stamp.nanosec) == (0, 0)
        assert "let what publishes the images stamp them" in talk.dropped(unstamped, Drop.UNSTAMPED)
        assert "tracks without a stamp: header.stamp is 0" in capfd.readouterr().err
        assert talk.diagnostics(1, "tracks without a stamp")["dropped: tracks without a stamp"] == "1"
        # What is known is known as it was.
        talk.localized(tracks(0.0))
        talk.dropped(unstamped, Drop.UNSTAMPED)
        assert talk.localized(tracks(0.5, state=3)).objects[0].hidden_s == pytest.approx(0.5)


def test_depth_that_never_comes(peer: Peer) -> None:
    with localizer(peer, depth="raw") as talk:
        talk.say_camera()
        peer.until(lambda: talk.node.count_publishers("/depth") == 1)
        assert not talk.localized(tracks(0.0)).objects
        assert talk.node._streams[0]._books.lacks == {Lack.NO_DEPTH: 1}
        values = talk.diagnostics(1, "no depth image has come on /depth (1 publishers)")
        assert values["without depth: no depth image"] == "1"
        assert values["unplaced: neither depth nor a ground plane"] == "1"


def test_a_depth_message_that_cannot_be_read(peer: Peer) -> None:
    from rclpy.serialization import serialize_message

    with localizer(peer, depth="raw") as talk:
        talk.say_camera()
        peer.until(talk.depth.get_subscription_count)
        books = talk.node._streams[0]._books
        talk.depth.publish(serialize_message(depth_image(0.0, 6.0))[:1000])
        peer.until(lambda: books.lacks)
        assert books.lacks == {Lack.UNUSABLE: 1}
        assert "the message of 1000 bytes is damaged" in books.last_problem
        assert talk.diagnostics(1, "unusable depth image")["without depth: unusable depth image"] == "1"
        # The next one counts.
        talk.depth.publish(depth_image(0.1, 6.0))
        peer.until(lambda: talk.has_depth(0.1))
        (found,) = talk.localized(tracks(0.1)).objects
        assert found.source == found.DEPTH


def test_a_frame_on_which_the_core_fails(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("an error of ours")

    with localizer(peer, camera_height_m=1.2) as talk:
        talk.say_camera()
        assert talk.localized(tracks(0.0)).objects
        with monkeypatch.context() as patched:
            patched.setattr(talk.node._streams[0]._localizer, "update", fail)
            assert talk.dropped(tracks(0.1), Drop.FAILED) == "RuntimeError: an error of ours"
        assert "in _localize" in capfd.readouterr().err
        assert talk.diagnostics(1, "RuntimeError")["dropped: processing failed"] == "1"
        # Half of the frame may have been taken, so that nothing is known any more.
        assert not talk.localized(tracks(0.2, state=3)).objects
        assert talk.localized(tracks(0.3)).objects


def test_frames_that_wait_when_the_node_is_deactivated(peer: Peer) -> None:
    with localizer(peer, TransformBuffer(), fixed_frame="odom", wait_s=10.0) as talk:
        talk.say_camera()
        stream = talk.node._streams[0]
        talk.tracks.publish(tracks(0.0))
        peer.until(lambda: stream._waiting)
        assert talk.node.trigger_deactivate().name == "SUCCESS"
        assert stream._books.dropped == {Drop.STOPPED: 1}
        assert not stream._waiting
        assert talk.node.trigger_activate().name == "SUCCESS"
        # It is what was asked for, and no problem.
        assert talk.diagnostics(0, "0 of 1 frames localized")["dropped: stopped"] == "1"


def test_no_tracks(peer: Peer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with localizer(peer, camera_height_m=1.2, no_tracks_s=0.3) as talk:
        talk.diagnostics(1, "(1 publishers); is a2vis active, and does it get images?")
        assert "no tracks on /a2vis/tracks for " in capfd.readouterr().err
        talk.say_camera()
        talk.localized(tracks(0.0))
        stream = talk.node._streams[0]
        arrived = stream._books.last_arrival
        assert not stream._silence(arrived + 0.2)
        assert "for 2 s" in stream._silence(arrived + 2.0)
        monkeypatch.setattr(talk.node, "count_publishers", lambda topic: 0)
        assert "(0 publishers); start a2vis_node, or remap a2vis/tracks" in stream._silence(arrived + 2.0)
