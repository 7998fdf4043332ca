"""`to_bag` and the monitor on what users gave them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ros_helpers import PATIENCE_S, arguments, needs_ros, process

from a2vis_model import ModelConfig, VideoNetwork, save_weights
from a2vis_model.files.video_io import VideoWriter

pytestmark = needs_ros


def written(path: Path, *options: str) -> list[tuple[tuple[int, int], float]]:
    """Sizes and stamps of the images that `to_bag` makes of something."""
    from sensor_msgs.msg import Image

    from a2vis_ros.bags.bag_files import BagReader
    from a2vis_ros.bags.to_bag import main

    bag = path.parent / "bag"
    assert main([str(path), str(bag), *options]) == 0
    with BagReader(bag) as reader:
        images = [message for _, message in reader.messages(Image, "/image")]
    return [((m.height, m.width), round(m.header.stamp.sec + m.header.stamp.nanosec * 1e-9, 3)) for m in images]


def test_stamps_count_from_the_first_frame_and_keep_a_changing_rate(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", height=16, width=24, rate=25) as writer:
        for seconds in (7.0, 7.04, 8.0):
            writer.write(np.zeros((16, 24, 3), np.uint8), seconds)
    assert written(tmp_path / "v.mp4", "--start", "1") == [((16, 24), 1.0), ((16, 24), 1.04), ((16, 24), 2.0)]


def test_damage_is_said_and_stops_where_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    from a2vis_ros.bags.bag_files import BagError, BagWriter
    from a2vis_ros.bags.to_bag import main

    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (2, 10):
        assert cv2.imwrite(str(folder / f"{number}.jpg"), np.zeros((64, 64, 3), np.uint8))
    content = (folder / "2.jpg").read_bytes()
    (folder / "2.jpg").write_bytes(content[:-20])
    assert len(written(folder)) == 2
    assert "1 of 2 frames are damaged (frame 0 2.jpg is cut short" in capsys.readouterr().err
    assert main([str(folder), str(tmp_path / "strict"), "--strict"]) == 2
    said = capsys.readouterr().err
    assert "2.jpg is cut short" in said
    assert "frames are damaged" not in said

    def write(*_: object) -> None:
        raise BagError("the disk is full")

    monkeypatch.setattr(BagWriter, "write", write)
    assert main([str(folder), str(tmp_path / "late")]) == 2
    damage, error = capsys.readouterr().err.splitlines()
    assert "1 of 1 frames are damaged (frame 0 2.jpg is cut short" in damage
    assert error == "to_bag: the disk is full"


def bag_with_damage(path: Path) -> Path:
    """A bag of three JPEG images; the second is damaged in the middle, the third is cut short."""
    import cv2
    from sensor_msgs.msg import CompressedImage

    from a2vis_ros.bags.bag_files import BagWriter

    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    whole = cv2.imencode(".jpg", noise)[1].tobytes()
    middle = len(whole) // 2
    with BagWriter(path, "mcap") as bag:
        for number, content in enumerate((whole, whole[:middle] + whole[middle + 100 :], whole[:middle])):
            message = CompressedImage(format="jpeg")
            message.header.stamp.sec = 1 + number
            message.data.frombytes(content)
            bag.write("/image/compressed", message, 10**9 * (1 + number))
    return path


def test_replay_names_damaged_images_and_stops_where_asked(
    tmp_path: Path,
    model: VideoNetwork,
    config: ModelConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from a2vis_ros.bags.bag_files import BagError, BagReader
    from a2vis_ros.bags.replay_evaluate import main

    save_weights(tmp_path / "tiny.safetensors", model, config)
    common = [str(bag_with_damage(tmp_path / "bag")), "--weights", str(tmp_path / "tiny.safetensors")]
    common += ["--device", "cpu", "--backend", "eager"]
    assert main([common[0], str(tmp_path / "out"), *common[1:]]) == 0
    said = capsys.readouterr()
    assert "image 1: an image of format 'jpeg' is damaged (" in said.err
    assert "image 2: dropped: " in said.err
    assert "1 of 3 images are damaged" in said.err
    assert "3 received = 2 processed + 1 dropped" in said.out
    assert main([common[0], str(tmp_path / "strict"), *common[1:], "--strict"]) == 2
    said = capsys.readouterr()
    assert "replay_evaluate: image 1: an image of format 'jpeg' is damaged" in said.err
    assert "images are damaged" not in said.err

    real = BagReader.contents

    def contents(bag: BagReader, kind: type, topic: str) -> Iterator[tuple[int, bytes]]:
        yield from real(bag, kind, topic)
        raise BagError("broken at its end")

    monkeypatch.setattr(BagReader, "contents", contents)
    assert main([common[0], str(tmp_path / "late"), *common[1:]]) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "1 of 3 images are damaged; what is tracked there may be wrong",
        "replay_evaluate: broken at its end",
    ]
    # In a folder of bags, a bag that ends in an error is left out, and its damage is named too.
    (tmp_path / "bags").mkdir()
    (tmp_path / "bag").rename(tmp_path / "bags" / "one")
    assert main([str(tmp_path / "bags"), str(tmp_path / "many"), *common[1:], "--jobs", "1"]) == 2
    said = capsys.readouterr()
    assert "one: 1 of 3 images are damaged" in said.out
    assert "one: broken at its end; it is left out" in said.err


def test_the_monitor_takes_a_whole_number_for_a_fraction(tmp_path: Path) -> None:
    from rcl_interfaces.srv import GetParameters
    from ros_helpers import Peer

    peer = Peer()
    with process("a2vis_ros.planner.occlusion_monitor", *arguments(margin_px=4), log=tmp_path / "log"):
        peer.call(GetParameters, "/occlusion_monitor/get_parameters", GetParameters.Request())
    peer.close()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_the_monitor_refuses_a_number_out_of_range(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with process("a2vis_ros.planner.occlusion_monitor", *arguments(margin_px=-4), log=log) as started:
        assert started.wait(PATIENCE_S) == 2
    assert "margin_px" in log.read_text()
    assert "Traceback" not in log.read_text()
