"""The localizer's node, in this process, spoken to over DDS."""

import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from localizer_talk import HEIGHT, LEVEL, WIDTH, camera_info, depth_image, header, localizer, tracks
from ros_helpers import Peer, needs_ros

from a2vis_ros.space import depth_matcher
from a2vis_ros.space.books import Drop, Lack
from a2vis_ros.space.transforms import RigidTransform, TransformBuffer

pytestmark = needs_ros


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    one = Peer()
    yield one
    one.close()


def test_on_the_ground_from_parameters(peer: Peer) -> None:
    from visualization_msgs.msg import Marker

    with localizer(peer, camera_height_m=1.2) as talk:
        talk.say_camera()
        message = talk.localized(tracks(0.0))
        (found,) = message.objects
        assert message.header == header(0.0)
        assert (message.session, message.camera_frame_id) == (3, "camera")
        assert (found.track_id, found.class_name) == (7, "person")
        assert found.source == found.GROUND
        position = found.pose.pose.position
        assert (position.x, position.y, position.z) == pytest.approx((0.0, 0.35, 5.0), abs=0.15)
        assert found.size.z == pytest.approx(1.7, abs=0.1)
        assert found.existence == pytest.approx(0.8)
        assert np.linalg.eigvalsh(np.array(found.pose.covariance).reshape(6, 6)[:3, :3]).min() > 0
        assert np.linalg.eigvalsh(np.array(found.velocity_covariance).reshape(3, 3)).min() > 0
        assert message.tracks_age_ms == 12.0
        # The stamps are not of this node's clock.
        assert np.isnan(message.age_ms)
        assert message.localize_ms > 0
        peer.until(lambda: talk.clouds)
        assert not talk.clouds[-1].width
        # Hidden: faded, and in the costmap's cloud.
        message = talk.localized(tracks(0.5, state=3))
        assert message.objects[0].source == found.PREDICTED
        assert message.objects[0].hidden_s == pytest.approx(0.5)
        peer.until(lambda: talk.clouds[-1].width)
        peer.until(lambda: talk.markers[-1].markers[0].header.stamp == message.header.stamp)
        cloud = talk.clouds[-1]
        points = np.frombuffer(bytes(cloud.data), np.float32).reshape(-1, 3)
        assert len(points) == cloud.width
        assert np.allclose(points.mean(axis=0), [position.x, position.y, position.z], atol=0.3)
        shown = {marker.ns: marker for marker in talk.markers[-1].markers}
        assert talk.markers[-1].markers[0].action == Marker.DELETEALL
        assert shown["boxes"].color.a < 0.3
        assert "hidden 0.5 s" in shown["ids"].text
        values = talk.diagnostics(0, "2 of 2 frames localized")
        assert values["name"] == "object_localizer: localization"
        assert values["ground"] == "camera_height_m=1.2"
        assert values["objects: predicted"] == "1"
        assert "vision_msgs is not installed" in values["~/detections_3d"] or values["~/detections_3d"] == "published"


def test_depth_by_its_stamp(peer: Peer) -> None:
    with localizer(peer, depth="raw", depth_tolerance_s=0.02) as talk:
        talk.say_camera()
        peer.until(talk.depth.get_subscription_count)
        matcher = talk.node._streams[0]._matcher
        talk.depth.publish(depth_image(0.01, 6.0))
        peer.until(lambda: len(matcher._images) == 1)
        (found,) = talk.localized(tracks(0.0)).objects
        assert found.source == found.DEPTH
        assert found.pose.pose.position.z == pytest.approx(6.25, abs=0.1)
        books = talk.node._streams[0]._books
        # Too far apart: without a ground plane it is predicted, and said.
        talk.depth.publish(depth_image(1.0, 6.0))
        peer.until(lambda: len(matcher._images) == 2)
        (found,) = talk.localized(tracks(0.9)).objects
        assert found.source == found.PREDICTED
        assert books.lacks == {Lack.STAMPS: 1}
        assert "the nearest depth image is 0.100 s later than the image" in books.last_problem
        # Not registered.
        for number, (wrong, words) in enumerate(
            (
                (depth_image(2.0, 6.0, "depth_optical"), "of the frame 'depth_optical'"),
                (depth_image(3.0, 6.0, shape=(120, 160)), "the depth image is 160x120"),
            ),
            3,
        ):
            talk.depth.publish(wrong)
            peer.until(lambda number=number: len(matcher._images) == number)
            (found,) = talk.localized(tracks(float(number) - 1)).objects
            assert found.source == found.PREDICTED
            assert words in books.last_problem
        assert books.lacks == {Lack.STAMPS: 1, Lack.UNUSABLE: 2}
        values = talk.diagnostics(1, "unusable depth image")
        assert values["without depth: depth stamps do not match"] == "1"
        assert values["unplaced: neither depth nor a ground plane"] == "3"


def test_depth_that_comes_after_the_tracks(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is near enough is there, and the exact one comes later; then none comes, and the near one is taken."""
    # However busy the cores are.
    monkeypatch.setattr(depth_matcher, "_ALIVE_S", 1000.0)
    with localizer(peer, depth="raw", depth_tolerance_s=0.05, wait_s=10.0) as talk:
        talk.say_camera()
        peer.until(talk.depth.get_subscription_count)
        stream = talk.node._streams[0]
        talk.depth.publish(depth_image(0.0, 9.0))
        peer.until(lambda: talk.has_depth(0.0))
        talk.tracks.publish(tracks(0.033))
        peer.until(lambda: stream._waiting)
        peer.spin(0.1)
        assert not talk.objects
        talk.depth.publish(depth_image(0.033, 6.0))
        peer.until(lambda: talk.objects)
        (found,) = talk.objects[-1].objects
        assert found.source == found.DEPTH
        assert found.pose.pose.position.z == pytest.approx(6.25, abs=0.1)
        assert talk.objects[-1].wait_ms > 0
        # Its source falls silent.
        monkeypatch.undo()
        (found,) = talk.localized(tracks(0.066)).objects
        assert found.source == found.DEPTH
        assert not stream._books.lacks


def test_decoding_of_depth_is_work_and_no_waiting(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    from a2vis_ros.node import localizer_stream

    def slow(*arguments: Any) -> Any:
        time.sleep(0.3)
        return raw_depth(*arguments)

    raw_depth = localizer_stream.raw_depth
    monkeypatch.setattr(localizer_stream, "raw_depth", slow)
    with localizer(peer, depth="raw") as talk:
        talk.say_camera()
        peer.until(talk.depth.get_subscription_count)
        talk.depth.publish(depth_image(0.0, 6.0))
        peer.until(lambda: talk.has_depth(0.0))
        start = time.monotonic()
        message = talk.localized(tracks(0.0))
        assert message.localize_ms >= 300
        assert 0 < message.wait_ms < (time.monotonic() - start) * 1e3 - 300


def test_compressed_depth_with_holes(peer: Peer) -> None:
    from sensor_msgs.msg import CompressedImage

    with localizer(peer, depth="compressed") as talk:
        talk.say_camera()
        peer.until(talk.compressed.get_subscription_count)
        matcher = talk.node._streams[0]._matcher
        for number, metres in enumerate((6.0, 0.0), 1):
            png = cv2.imencode(".png", np.full((HEIGHT, WIDTH), round(metres * 1000), np.uint16))[1].tobytes()
            message = CompressedImage(header=header(float(number)), format="16UC1; compressedDepth png")
            message.data.frombytes(bytes(12) + png)
            talk.compressed.publish(message)
            peer.until(lambda number=number: len(matcher._images) == number)
        (found,) = talk.localized(tracks(1.0)).objects
        assert found.source == found.DEPTH
        assert found.pose.pose.position.z == pytest.approx(6.25, abs=0.1)
        # All of it is a hole.
        (found,) = talk.localized(tracks(2.0)).objects
        assert found.source == found.PREDICTED
        assert talk.diagnostics(0, "2 of 2")["unplaced: no depth on the object, and no ground plane"] == "1"


def test_in_a_fixed_frame_it_waits_for_transforms(peer: Peer) -> None:
    buffer = TransformBuffer()
    with localizer(peer, buffer, fixed_frame="odom", wait_s=0.3) as talk:
        talk.say_camera()
        words = talk.dropped(tracks(0.0), Drop.TRANSFORM)
        assert "no transform names the frame" in words
        assert "wait_s=0.3" in words
        buffer.add("odom", "camera", LEVEL, round(100.5e9))
        assert "0.100 s older than the image" in talk.dropped(tracks(0.6), Drop.TRANSFORM_LATE)
        # It comes while the frame waits.
        talk.tracks.publish(tracks(0.7))
        peer.until(lambda: talk.node._streams[0]._waiting)
        buffer.add("odom", "camera", LEVEL, round(100.8e9))
        peer.until(lambda: talk.objects)
        message = talk.objects[-1]
        assert message.header.frame_id == "odom"
        assert message.wait_ms > 0
        position = message.objects[0].pose.pose.position
        assert (position.x, position.y, position.z) == pytest.approx((7.0, 0.0, 0.85), abs=0.15)
        talk.diagnostics(1, "transform too old")
        below = RigidTransform(LEVEL.rotation, np.array([2.0, 0, -0.3]))
        buffer.add("odom", "camera", below, round(101e9))
        assert "-0.3 m above the ground plane" in talk.dropped(tracks(1.0), Drop.GROUND)
        assert talk.diagnostics(1, "camera not above ground")["dropped: camera not above ground"] == "1"


def test_more_frames_than_may_wait(peer: Peer) -> None:
    from rclpy.serialization import serialize_message

    with localizer(peer, TransformBuffer(), fixed_frame="odom", wait_s=10.0, queue_size=1) as talk:
        talk.say_camera()
        stream = talk.node._streams[0]
        # Past DDS, so that both are there before the first has waited long enough.
        for seconds in (0.0, 0.1):
            stream._take_tracks(serialize_message(tracks(seconds)))
        assert [waiting.frame.stamp_ns for waiting in stream._waiting] == [100_100_000_000]
        assert stream._books.dropped == {Drop.FULL: 1}
        assert "more than queue_size=1 frames wait" in stream._books.last_problem


def test_what_the_camera_says_wrong(peer: Peer) -> None:
    with localizer(peer, camera_height_m=1.2) as talk:
        assert "no camera_info has come on /camera_info" in talk.dropped(tracks(0.0), Drop.NO_CAMERA)
        for changes, words in (
            ({"k": [0.0] * 9}, "focal length of fx=0"),
            ({"width": 640, "height": 480}, "camera_info is of 640x480 images, and the tracks are of 320x240"),
            ({"header": header(0.0, "other")}, "of the frame 'other'"),
        ):
            talk.say_camera(**changes)
            assert words in talk.dropped(tracks(0.1), Drop.CAMERA)
        talk.say_camera()
        assert talk.localized(tracks(0.2)).objects
        assert "0.100 s older than the last one" in talk.dropped(tracks(0.1), Drop.LATE)
        damaged = tracks(0.3)
        damaged.instances[0].visible.roi.width = 2**31
        assert "damaged" in talk.dropped(damaged, Drop.DAMAGED)
        # Its runs fill the box, and none is inside.
        empty = tracks(0.35)
        box = empty.instances[0].visible.roi
        empty.instances[0].visible.counts = [box.width * box.height]
        assert "no pixel" in talk.dropped(empty, Drop.DAMAGED)
        unlikely = tracks(0.3)
        unlikely.instances[0].existence = float("nan")
        assert "existence of nan" in talk.dropped(unlikely, Drop.DAMAGED)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"fixed_frame": "odom"}, "need tf2_ros"),
        ({"camera_pitch_deg": 10.0}, "camera_pitch_deg=10 has no effect"),
        ({"class_profiles": "/nowhere.yaml"}, "class_profiles='/nowhere.yaml'"),
        ({"camera_height_m": 1.0, "ground_frame": "base"}, "both say where the ground is"),
    ],
)
def test_parameters_that_do_not_fit_fail_the_configuration(
    peer: Peer, parameters: dict[str, Any], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from rclpy.parameter import Parameter

    from a2vis_ros.node.object_localizer import ObjectLocalizer

    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    node = ObjectLocalizer(lambda node: None, context=peer.context, parameter_overrides=overrides)
    assert node.trigger_configure().name == "FAILURE"
    node.close()
    assert words in capfd.readouterr().err


def test_frame_ids_that_are_not_utf8_are_passed_on_and_told_apart(peer: Peer) -> None:
    from a2vis_ros.msg import TrackedObjectArray

    from a2vis_ros.wire.cdr import CdrReader, text_of
    from a2vis_ros.wire.exact_text import publish

    left, right = text_of(b"caf\xe9"), text_of(b"caf\xe8")
    with localizer(peer, depth="raw", camera_height_m=1.2) as talk:
        raw: list[bytes] = []
        peer.node.create_subscription(TrackedObjectArray, "/object_localizer/objects", raw.append, 100, raw=True)
        stream = talk.node._streams[0]
        peer.until(lambda: stream._publishers["~/objects"].get_subscription_count() == 2)
        publish(talk.info, camera_info(header=header(0.0, left)))
        peer.until(lambda: stream._camera is not None)
        publish(talk.depth, depth_image(0.0, 4.75, left))
        peer.until(lambda: stream._matcher.offset_s(100 * 10**9) == 0)
        publish(talk.tracks, tracks(0.0, header=header(0.0, left)))
        peer.until(lambda: raw and talk.clouds and talk.markers)
        reader = CdrReader(raw[0])
        # First the frame_id of the header, then camera_frame_id.
        assert (reader.header()[2], reader.text()) == (left, left)
        assert not stream._books.lacks
        # Both read as one text by rclpy; they are two cameras.
        before = stream._books.dropped[Drop.CAMERA]
        publish(talk.tracks, tracks(0.1, header=header(0.1, right)))
        peer.until(lambda: stream._books.dropped[Drop.CAMERA] == before + 1)
        said = r"camera_info is of the frame 'caf\udce9', and the tracks are of 'caf\udce8'"
        assert said in stream._books.last_problem
