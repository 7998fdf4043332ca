"""The messages themselves: masks, tracks and images into them and back."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from ros_helpers import needs_ros
from scripted_tracker import instance

from a2vis_model import FrameResult, RegionMask, TrackState

pytestmark = needs_ros


def test_masks_come_back_from_their_messages() -> None:
    from a2vis_ros.msg import Mask
    from rclpy.serialization import deserialize_message, serialize_message

    from a2vis_ros.planner.mask_codec import decode_image, encode_image
    from a2vis_ros.planner.mask_messages import mask_from_message, mask_to_message

    rng = np.random.default_rng(1)
    for share in (0.0, 0.01, 0.5, 1.0):
        picture = rng.random((31, 47)) < share
        sent = serialize_message(mask_to_message(encode_image(picture)))
        message = deserialize_message(sent, Mask)
        assert message.area == picture.sum()
        np.testing.assert_array_equal(decode_image(mask_from_message(message), 31, 47), picture)


def test_a_broken_mask_message_is_refused() -> None:
    from a2vis_ros.msg import Mask

    from a2vis_ros.planner.mask_codec import MaskError
    from a2vis_ros.planner.mask_messages import mask_from_message

    message = Mask(counts=[0, 5])
    message.roi.width = message.roi.height = 2
    with pytest.raises(MaskError, match="cover 5 pixels"):
        mask_from_message(message)


def test_states_mean_the_same_on_both_sides() -> None:
    from a2vis_ros.msg import TrackedInstance

    for state in TrackState:
        assert getattr(TrackedInstance, state.name) == int(state)


def test_a_result_goes_into_its_message_whole() -> None:
    from std_msgs.msg import Header

    from a2vis_ros.node.messages import result_message

    tracks = (
        instance(5, TrackState.OCCLUDED, visible=RegionMask.empty(10, 10), frames_since_visible=4),
        instance(6, visible=None, amodal=None),
    )
    header = Header(frame_id="a camera")
    header.stamp.sec, header.stamp.nanosec = 2**31 - 1, 999_999_999
    message = result_message(FrameResult(2**40, 1.5, 3, 10, 20, tracks), header, "eager/cpu")
    assert (message.header, message.height, message.width) == (header, 10, 20)
    assert (message.epoch, message.frame_index, message.backend) == (3, 2**40, "eager/cpu")
    first, second = message.instances
    assert (first.track_id, first.state, first.class_name) == (5, first.OCCLUDED, "thing")
    assert (first.age, first.frames_since_visible, first.visible.area, first.amodal.area) == (3, 4, 0, 12)
    assert (first.amodal.roi.x_offset, first.amodal.roi.y_offset, first.amodal.roi.height) == (1, 1, 4)
    assert (first.score, first.existence, first.occlusion) == (0.75, 0.5, 1.0)
    assert second.visible.area == second.amodal.area == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_go_out_without_padding_in_little_endian(dtype: type) -> None:
    from std_msgs.msg import Header

    from a2vis_ros.node.messages import image_message, image_of
    from a2vis_ros.stream.image_decoding import decode_rgb, image_size

    pixels = (np.arange(24).reshape(4, 6) * (1 if dtype == np.uint8 else 256)).astype(dtype)
    encoding = "mono8" if dtype == np.uint8 else "mono16"
    message = image_message(pixels[:, ::2], Header(), encoding)
    assert (message.step, message.is_bigendian, len(message.data)) == (3 * pixels.itemsize, 0, 12 * pixels.itemsize)
    image = image_of(message)
    assert image_size(image, max_side=10) == (4, 3)
    np.testing.assert_array_equal(decode_rgb(image)[..., 0], np.arange(24).reshape(4, 6)[:, ::2])


def test_a_planner_gets_messages_and_monitor_without_torch() -> None:
    code = "import sys, a2vis_ros.planner.occlusion_monitor, a2vis_ros.msg; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_header_only_decoder(tmp_path: Path) -> None:
    """Builds test_mask_decoder.cpp against the generated headers, where a compiler and GoogleTest are at hand."""
    from a2vis_ros import msg

    compiler = shutil.which("c++")
    prefix = next(p for p in Path(str(msg.__file__)).parents if (p / "share" / "a2vis_ros").is_dir())
    gtest = prefix / "src" / "gtest_vendor"
    if compiler is None or not gtest.is_dir():
        pytest.skip(f"no C++ compiler, or no GoogleTest in {gtest}; colcon test runs this one too")
    program = tmp_path / "decoder"
    folders = [f"-I{folder}" for folder in sorted((prefix / "include").iterdir()) if folder.is_dir()]
    subprocess.run(
        [
            compiler,
            "-std=c++17",
            "-Wall",
            "-Wextra",
            "-Werror",
            f'-DMASKS_FILE="{ROOT}/test/helpers/masks.txt"',
            f"-I{ROOT}/include",
            *folders,
            f"-isystem{gtest / 'include'}",
            f"-isystem{gtest}",
            str(ROOT / "test/ros/planner/test_mask_decoder.cpp"),
            str(gtest / "src" / "gtest-all.cc"),
            str(gtest / "src" / "gtest_main.cc"),
            "-lpthread",
            f"-L{prefix}/lib",
            "-lrosidl_runtime_c",
            "-o",
            str(program),
        ],
        check=True,
    )
    assert subprocess.run([str(program)], check=False).returncode == 0
