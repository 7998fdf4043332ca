"""Truth in space through a bag: what `to_bag` writes of a rendered clip, and how `replay_evaluate` scores by it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_helpers import call, image, needs_ros
from scipy.spatial.transform import Rotation

from a2vis_model import ModelConfig, VideoNetwork, save_weights
from a2vis_model.data.space_truth import depth_file, read_depth, read_space
from a2vis_model.render import render_clip, write_clip
from a2vis_ros.space.truth import width_across

pytestmark = needs_ros


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips") / "00000"
    write_clip(render_clip(world="robot", seed=3, frames=12, height=96, width=144, space=True), folder)
    return folder


@pytest.fixture(scope="module")
def bag(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "bag"
    done = call("bags.to_bag", clip, path, "--topic", "/front/image", "--frame-id", "front_optical", "--start", 5)
    assert done.returncode == 0, done.stderr
    assert "camera_info, depth, transforms and true objects in space" in done.stdout
    return path


def test_to_bag_writes_what_is_true_in_space_under_the_stamps_of_the_images(clip: Path, bag: Path) -> None:
    from a2vis_ros.msg import TrackedInstanceArray, TrackedObjectArray
    from sensor_msgs.msg import CameraInfo, Image

    from a2vis_ros.bags.bag_files import BagReader
    from a2vis_ros.bags.space_messages import transforms_of
    from a2vis_ros.bags.space_scoring import stamp_ns

    truth = read_space(clip)
    assert truth is not None
    stamps = [5 * 10**9 + round(seconds * 1e9) for seconds in truth.stamps]
    with BagReader(bag) as reader:
        found: dict[str, list[Any]] = {
            topic: [message for _, message in reader.messages(kind, topic)]
            for topic, kind in (
                ("/front/image", Image),
                ("/front/camera_info", CameraInfo),
                ("/front/depth", Image),
                ("/ground_truth", TrackedInstanceArray),
                ("/ground_truth/objects", TrackedObjectArray),
            )
        }
        transforms = [transforms_of(data) for _, _, data in reader.raw("/tf")]
        assert reader.topics["/tf"] == "tf2_msgs/msg/TFMessage"
    for messages in found.values():
        assert [stamp_ns(message) for message in messages] == stamps
    for t, camera in enumerate(found["/front/camera_info"]):
        ((parent, child, transform, stamp),) = transforms[t]
        depth, objects, masks = (
            found[topic][t] for topic in ("/front/depth", "/ground_truth/objects", "/ground_truth")
        )
        assert (parent, child, stamp) == ("world", "front_optical", stamps[t])
        np.testing.assert_allclose(transform.translation, truth.camera.position[t])
        np.testing.assert_allclose(
            transform.rotation, Rotation.from_quat(truth.camera.orientation[t]).as_matrix(), atol=1e-9
        )
        assert (camera.header.frame_id, camera.width, camera.height) == ("front_optical", 144, 96)
        focal = truth.camera.focal[t]
        assert list(camera.k) == [focal, 0, 71.5, 0, focal, 47.5, 0, 0, 1]
        assert (depth.encoding, depth.step, depth.is_bigendian) == ("16UC1", 288, 0)
        pixels = np.frombuffer(depth.data, "<u2").reshape(96, 144)
        np.testing.assert_array_equal(pixels, read_depth(clip, t, truth))
        assert objects.header.frame_id == "world"
        assert [one.track_id for one in objects.objects] == [thing.id + 1 for thing in truth.things]
        assert {one.track_id for one in masks.instances} <= {one.track_id for one in objects.objects}
        for one, thing in zip(objects.objects, truth.things, strict=True):
            place, turn, size, velocity = one.pose.pose.position, one.pose.pose.orientation, one.size, one.velocity
            assert [place.x, place.y, place.z] == thing.middle[t].tolist()
            assert [size.x, size.y, size.z] == thing.size[t].tolist()
            assert [velocity.x, velocity.y, velocity.z] == thing.velocity[t].tolist()
            yaw = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_euler("zyx")[0]
            assert np.cos(yaw - thing.yaw[t]) == pytest.approx(1)


def test_frames_of_a_bag_are_those_of_the_clip(clip: Path, bag: Path) -> None:
    from a2vis_ros.bags.space_scoring import BagFrames

    truth = read_space(clip)
    assert truth is not None
    frames = list(BagFrames(bag))
    assert len(frames) == 12
    widths = []
    for t, frame in enumerate(frames):
        assert frame.camera.fx == truth.camera.focal[t]
        assert frame.depth is not None
        np.testing.assert_allclose(frame.depth * 1000, read_depth(clip, t, truth), atol=0.01)
        for thing, true in zip(frame.things, truth.things, strict=True):
            if not np.isnan(true.visible_fraction[t]) and thing.amodal.area:
                seen = thing.as_seen(96, 144)
                assert seen.visible_fraction == pytest.approx(true.visible_fraction[t])
                assert seen.cut_off == true.cut_off[t]
                place = frame.camera, frame.world_from_camera
                across = width_across(true.size[t], float(true.yaw[t]), true.middle[t], thing.amodal, *place)
                assert seen.width == pytest.approx(across, nan_ok=True)
                widths.append(seen.width)
    assert not np.isnan(widths).all()
    silent = list(BagFrames(bag, {}))
    assert all(frame.tracks is None for frame in silent)


def test_replay_evaluate_scores_positions_with_predicted_and_true_masks(
    tmp_path: Path, bag: Path, model: VideoNetwork, config: ModelConfig
) -> None:
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, model, config)
    done = call("bags.replay_evaluate", bag, tmp_path / "out", "--weights", weights, "--backend", "eager")
    assert done.returncode == 0, done.stderr
    assert "position error with true masks, median / 95th percentile (m)" in done.stdout
    # More than the position is told of the ground, too.
    for method in ("depth, amodal", "ground, amodal", "ground, visible"):
        assert done.stdout.count(f"| {method} | in full view |") == 2
    document = json.loads((tmp_path / "out" / "space_metrics.json").read_text())
    assert set(document) == {"predicted", "true", "claim"}
    assert "on the ground, amodal masks against visible ones on the same objects" in done.stdout
    claims = {(one["masks"], one["seen"]): one["objects"] for one in document["claim"]}
    for masks in ("predicted", "true"):
        assert f"| {masks} | partly hidden | {claims[masks, 'partly hidden']} |" in done.stdout
    assert claims["true", "partly hidden"] > 0
    for method in ("depth, amodal", "ground, amodal"):
        full = document["true"][method]["views"]["in full view"]
        assert full["objects"] > 5
        assert full["recall"] == 1
        assert full["position_median"] < 1.0
        assert full["width_median"] < 0.3
    # Scored from the recorded results, it is the same.
    again = call("bags.replay_evaluate", bag, tmp_path / "again", "--results", tmp_path / "out" / "results")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "again" / "space_metrics.json").read_text()) == document


def test_profiles_that_cannot_be_read_are_said(tmp_path: Path, bag: Path) -> None:
    (tmp_path / "profiles.yaml").write_text("person: {height: -1}")
    done = call(
        "bags.replay_evaluate", bag, tmp_path / "out", "--results", bag, "--topic", "/ground_truth",
        "--profiles", tmp_path / "profiles.yaml",
    )  # fmt: skip
    assert done.returncode == 2
    assert "class_profiles=" in done.stderr
    assert "height=-1" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_scored_is_what_the_localizer_does_with_its_parameters(tmp_path: Path, bag: Path) -> None:
    file = tmp_path / "localizer.yaml"

    def score(**parameters: object) -> Any:
        file.write_text(json.dumps({"/**": {"ros__parameters": parameters}}))
        options = ("--results", bag, "--topic", "/ground_truth", "--localizer-params", file)
        done = call("bags.replay_evaluate", bag, tmp_path / "out", *options)
        if done.returncode:
            return done.stderr
        return json.loads((tmp_path / "out" / "space_metrics.json").read_text())["true"]

    sure = score()
    # Where the camera is, the bag says.
    unsure = score(outline_std=0.3, depth_std_m=1.0, fixed_frame="odom", ground_frame="base")
    for method in ("depth, amodal", "ground, amodal"):
        stds = [found[method]["views"]["in full view"]["position_std_median"] for found in (sure, unsure)]
        assert stds[1] > 1.2 * stds[0]
    said = score(outline_sdt=0.0)
    assert f"{file}: object_localizer has no parameter 'outline_sdt'" in said
    assert "Traceback" not in said


def test_a_rate_against_the_times_of_the_clip_and_depth_that_is_missing_are_said(tmp_path: Path, clip: Path) -> None:
    done = call("bags.to_bag", clip, tmp_path / "bag", "--rate", 20)
    assert done.returncode == 2
    assert "says when each frame was taken; leave it out" in done.stderr
    copied = tmp_path / "clips" / "00000"
    copied.parent.mkdir()
    subprocess.run(["cp", "-r", clip, copied], check=True)
    depth_file(copied, 3).unlink()
    done = call("bags.to_bag", copied, tmp_path / "bag")
    assert done.returncode == 2
    assert "00003.png" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bag_whose_transforms_are_missing_or_damaged_is_said(tmp_path: Path, bag: Path) -> None:
    from a2vis_ros.bags.bag_files import GROUND_TRUTH_OBJECTS, BagError, BagReader, BagWriter
    from a2vis_ros.bags.space_scoring import BagFrames

    crowd = b"\x00\x01\x00\x00" + (5000).to_bytes(4, "little")
    changes = {
        "missing": ("/tf", None, r"transform .* not before its ground truth"),
        "damaged": ("/tf", crowd[:4] + b"\x01\x00\x00\x00", r"/damaged: a message on /tf cannot be read .* again$"),
        "crowd": (
            "/tf",
            crowd + bytes(5000),
            r"/crowd: a message on /tf cannot .* holds 5000, more than 4096, .* again$",
        ),
        "turned": ("/tf", _no_rotation(), r"/turned: a message on /tf .*has the quaternion .*, of length 3; .* again$"),
        "things": (
            GROUND_TRUTH_OBJECTS,
            _many_objects(),
            r"/things: a message on .* holds 5000, more than 4096, .* again$",
        ),
    }
    for name, (changed, content, words) in changes.items():
        with BagReader(bag) as source, BagWriter(tmp_path / name, "mcap") as target:
            for topic, time_ns, data in source.raw():
                if topic != changed:
                    target.write_raw(topic, source.topics[topic], data, time_ns)
                elif content is not None:
                    target.write_raw(topic, source.topics[topic], content, time_ns)
        with pytest.raises(BagError, match=words):
            list(BagFrames(tmp_path / name))


def _no_rotation() -> bytes:
    from a2vis_ros.bags.space_messages import transform_bytes

    return transform_bytes("world", image(1.0).header, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 3.0))


def _many_objects() -> bytes:
    from a2vis_ros.msg import TrackedObject, TrackedObjectArray
    from rclpy.serialization import serialize_message

    return bytes(serialize_message(TrackedObjectArray(objects=[TrackedObject()] * 5000)))


def test_a_track_with_a_state_that_there_is_not_is_said() -> None:
    from a2vis_ros.msg import TrackedInstance, TrackedInstanceArray

    from a2vis_ros.bags.bag_files import BagError
    from a2vis_ros.bags.space_scoring import tracks_of

    with pytest.raises(BagError, match="9 is not a valid State"):
        tracks_of(TrackedInstanceArray(instances=[TrackedInstance(state=9)]))
