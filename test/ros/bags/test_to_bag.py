"""Bags: written and read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_runs import clip
from ros_helpers import call, image, needs_ros, run

__all__ = ["clip"]


pytestmark = needs_ros


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8", "png"])
def test_to_bag_keeps_pictures_stamps_and_truth(tmp_path: Path, clip: Path, storage: str, encoding: str) -> None:
    from a2vis_ros.msg import ClassNames, TrackedInstanceArray
    from sensor_msgs.msg import CompressedImage, Image

    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.bag_files import BagReader
    from a2vis_ros.bags.video_source import AnnotatedVideo
    from a2vis_ros.node.messages import image_of
    from a2vis_ros.stream.image_decoding import decode_rgb, image_size

    done = call(
        "bags.to_bag", clip, tmp_path / "bag", "--storage", storage, "--encoding", encoding, "--start", 5, "--rate", 20
    )
    assert done.returncode == 0, done.stderr
    pictures = list(AnnotatedVideo.open(clip).frames())
    topic, kind = ("/image/compressed", CompressedImage) if encoding == "png" else ("/image", Image)
    with BagReader(tmp_path / "bag") as bag:
        images = list(bag.messages(kind, topic))
        truth = [message for _, message in bag.messages(TrackedInstanceArray, bag_files.GROUND_TRUTH)]
        names = [message for _, message in bag.messages(ClassNames, bag_files.GROUND_TRUTH_CLASSES)]
    assert len(images) == len(truth) == 12
    assert len(names) == 1
    for index, (picture, (bag_time, message), known) in enumerate(zip(pictures, images, truth, strict=True)):
        stamp = message.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == 5 * 10**9 + index * 10**9 // 20 == bag_time - (index == 0)
        assert known.header == message.header
        assert picture.truth is not None
        assert [t.track_id for t in known.instances] == [t.track_id for t in picture.truth.instances]
        content = image_of(message)
        assert image_size(content, max_side=1000) == (64, 96)
        if encoding != "mono8":
            np.testing.assert_array_equal(decode_rgb(content), picture.image)
    # What moves in the picture moves by the boxes of the frames around it.
    moving = 0
    for earlier, known, later in zip(truth, truth[1:], truth[2:], strict=False):
        places = [
            {t.track_id: t.amodal.roi for t in frame.instances if t.amodal.area} for frame in (earlier, known, later)
        ]
        for track in known.instances:
            if all(track.track_id in found for found in places):
                first, last = places[0][track.track_id], places[2][track.track_id]
                expected = (last.x_offset + last.width / 2 - first.x_offset - first.width / 2) / (2 / 20)
                assert track.velocity_x == pytest.approx(expected, rel=1e-5)
                moving += abs(expected) > 1
    assert moving


def test_what_cannot_be_made_into_a_bag_or_read_is_said(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "there").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "metadata.yaml").write_text("nonsense: [")
    for module, args, words in (
        ("bags.to_bag", ("/nowhere", tmp_path / "b"), "/nowhere: no such file"),
        ("bags.to_bag", (clip, tmp_path / "there"), "exists already"),
        ("bags.to_bag", (clip, tmp_path / "b", "--rate", "0"), "--rate 0"),
        ("bags.replay_evaluate", ("/nowhere", tmp_path / "o"), "not a readable bag"),
        ("bags.replay_evaluate", (broken, tmp_path / "o"), "not a readable bag"),
        ("bags.replay_evaluate", (broken, tmp_path / "o", "--stride", "0"), "stride=0"),
        ("bags.player", (broken,), "not a readable bag"),
        ("bags.recorder", (tmp_path / "there",), "exists already"),
    ):
        # Player and recorder start ROS.
        done = run(module, *args) if module in ("bags.player", "bags.recorder") else call(module, *args)
        assert done.returncode == 2, (module, args, done.stderr)
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_that_is_damaged_inside_is_said(tmp_path: Path, storage: Any) -> None:
    """Its beginning and its end are whole, so that it opens."""
    from sensor_msgs.msg import Image

    from a2vis_ros.bags.bag_files import BagError, BagReader, BagWriter

    with BagWriter(tmp_path / "bag", storage) as bag:
        for i in range(40):
            bag.write("/image", image(i, seed=i), i)
    (file,) = (path for path in (tmp_path / "bag").iterdir() if path.suffix != ".yaml")
    content = bytearray(file.read_bytes())
    content[40_000:60_000] = bytes([255]) * 20_000
    file.write_bytes(content)
    with BagReader(tmp_path / "bag") as damaged, pytest.raises(BagError, match="broken in the middle"):
        list(damaged.messages(Image, "/image"))
