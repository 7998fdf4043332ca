"""`a2vis predict` on odd inputs: sizes that change, damaged frames, times, and paths in the home folder."""

import json

import cv2
import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model
from pycocotools import mask as coco_mask

from a2vis_model import save_weights
from a2vis_model.cli import main
from a2vis_model.files.video_io import VideoInput, VideoWriter


@pytest.fixture
def weights(tmp_path):
    """A network whose every slot claims an object."""
    config = tiny_config()
    model = tiny_model(config)
    with torch.no_grad():
        model.class_head.classify.bias[:] = torch.tensor([0.0, 0, 9, 0, 0, -9])
    save_weights(tmp_path / "tiny.safetensors", model, config)
    return tmp_path / "tiny.safetensors"


def frames(folder, *sizes):
    """JPEGs of these heights and widths."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate(sizes):
        assert cv2.imwrite(str(folder / f"{number}.jpg"), rng.integers(0, 256, (height, width, 3), np.uint8))
    return folder


def predict(source, output, weights, *more):
    return main(["predict", str(source), "--output", str(output), "--weights", str(weights), "--quiet", *more])


@pytest.mark.parametrize("stride", ["1", "3"])
def test_every_size_within_a_video_is_a_part_of_its_own(tmp_path, weights, stride, capsys):
    source = frames(tmp_path / "in", *[(80, 120)] * 4, *[(60, 40)] * 3)
    assert predict(source, tmp_path / "out", weights, "--stride", stride) == 0
    printed = capsys.readouterr().out
    assert "4 frames of 120x80 are video 1, 3 frames of 40x60 are video 2" in printed
    assert "7 frames in" in printed
    entries = json.loads((tmp_path / "out" / "tracks.json").read_text())
    assert {entry["video_id"] for entry in entries} == {1, 2}
    for entry in entries:
        length, size = (4, (80, 120)) if entry["video_id"] == 1 else (3, (60, 40))
        assert len(entry["segmentations"]) == len(entry["states"]) == length
        assert all(coco_mask.decode(m).shape == size for m in entry["amodal_segmentations"] if m is not None)
    ids = [{entry["track_id"] for entry in entries if entry["video_id"] == number} for number in (1, 2)]
    assert not ids[0] & ids[1]
    for name, expected in (("overlay.mp4", (80, 120, 4)), ("overlay_2.mp4", (60, 40, 3))):
        overlay = VideoInput.open(tmp_path / "out" / name)
        assert (overlay.height, overlay.width, overlay.length) == expected


def test_damaged_frames_are_said_and_stop_where_asked(tmp_path, weights, capsys):
    source = frames(tmp_path / "in", *[(80, 120)] * 3)
    content = (source / "1.jpg").read_bytes()
    (source / "1.jpg").write_bytes(content[: len(content) // 2])
    assert predict(source, tmp_path / "out", weights) == 0
    said = capsys.readouterr()
    assert f"{source}: 1 of 3 frames are damaged (frame 1 1.jpg is cut short" in said.err
    assert "3 frames in" in said.out
    assert predict(source, tmp_path / "strict", weights, "--strict") == 2
    strict = capsys.readouterr().err
    assert "1.jpg is cut short" in strict
    assert "frames are damaged" not in strict
    assert not list((tmp_path / "strict").iterdir())


def test_the_overlay_keeps_the_times_of_the_video(tmp_path, weights):
    times = [0.0, 0.04, 1.0, 1.5]
    with VideoWriter(tmp_path / "in.mp4", height=80, width=120, rate=25) as writer:
        for seconds in times:
            writer.write(np.zeros((80, 120, 3), np.uint8), seconds)
    assert predict(tmp_path / "in.mp4", tmp_path / "out", weights) == 0
    assert [round(time, 3) for time, _ in VideoInput.open(tmp_path / "out" / "overlay.mp4").frames()] == times


def test_a_picture_of_one_row_is_tracked(tmp_path, weights):
    assert predict(frames(tmp_path / "in", *[(1, 64)] * 2), tmp_path / "out", weights) == 0
    assert VideoInput.open(tmp_path / "out" / "overlay.mp4").length == 2


def test_paths_may_begin_with_a_tilde(tmp_path, weights, monkeypatch):
    frames(tmp_path / "in", (80, 120))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert predict("~/in", "unused", "~/tiny.safetensors", "--no-overlay", "--output=~/out") == 0
    assert (tmp_path / "out" / "tracks.json").is_file()
