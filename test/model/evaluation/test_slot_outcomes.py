"""What slots show in streams, and the command that calibrates scores by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from dataset_files import rle, write_json
from networks import tiny_config, tiny_model

from a2vis_model import TrackSettings, load_weights
from a2vis_model.cli import main
from a2vis_model.data import DataError, ProblemLog, open_dataset
from a2vis_model.evaluation.slot_outcomes import slot_outcomes
from a2vis_model.modeling import ClipPrediction, ClipState, FrameFeatures
from a2vis_model.render import render_clip, write_clip
from a2vis_model.weights import read_recommended, save_weights

CLASSES = ("cup", "box")
HEIGHT, WIDTH = 64, 96
ON, BESIDE, OFF, EMPTY = range(4)
"""Slots of the scripted network."""


class Scripted:
    """A network of four slots on one object of class 1: on it, half beside it, elsewhere, and without a mask."""

    slots, device = 4, torch.device("cpu")

    def __init__(self) -> None:
        self.clips = 0

    def extract(self, images: torch.Tensor) -> FrameFeatures:
        return FrameFeatures(queries=None, mask_features=images[:, :, :1])

    def initial_state(self, batch: int = 1) -> ClipState:
        return ClipState(torch.zeros(batch, self.slots, 0))

    def recycle(self, state: ClipState, slots: torch.Tensor) -> ClipState:
        return state

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        self.clips += 1
        masks = torch.full((1, features.mask_features.shape[1], self.slots, HEIGHT // 4, WIDTH // 4), -5.0)
        # In the older frames of the clip it shows nothing.
        masks[:, -1, ON, 4:8, 4:8] = 5.0
        masks[:, -1, BESIDE, 4:8, 6:10] = 5.0
        masks[:, -1, OFF, 12:, 16:] = 5.0
        # As large again at a probability of a tenth.
        masks[:, -1, OFF, 8:12, 16:] = -1.0
        classes = torch.tensor([[[0.0, 3.0, 1.0], [0.0, 2.0, 1.0], [2.0, 0.0, 1.0], [0.0, 1.0, 1.0]]])
        return ClipPrediction(classes, masks, masks.clone()), state


def photograph(folder: Path, **record: Any) -> Path:
    """A picture with one object of class 1 where the slot ON is."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[16:32, 16:32] = True
    assert cv2.imwrite(str(folder / "1.png"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    image = {"id": 1, "file_name": "1.png", "height": HEIGHT, "width": WIDTH, **record}
    annotation = {"id": 1, "image_id": 1, "category_id": 2, "iscrowd": 0, "segmentation": rle(mask)}
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
    document = {"images": [image], "annotations": [annotation], "categories": categories}
    return write_json(folder / "annotations.json", document)


def watch(file: Path) -> tuple[list[list[float]], list[int], int]:
    network = Scripted()
    dataset = open_dataset(file, classes=CLASSES)
    found = slot_outcomes(network, tiny_config(classes=CLASSES), dataset, settings=TrackSettings())
    return found.logits.tolist(), found.shown.tolist(), network.clips


def test_slots_on_an_object_and_on_nothing_count_and_those_half_on_it_do_not(tmp_path: Path) -> None:
    logits, shown, clips = watch(photograph(tmp_path))
    assert shown == [1, 2]
    assert logits == [[0.0, 3.0, 1.0], [2.0, 0.0, 1.0]]
    # It is shown as a camera that stands still would show it.
    assert clips == 5


def test_the_certainty_of_masks_is_that_of_the_frame_that_is_looked_at(tmp_path: Path) -> None:
    dataset = open_dataset(photograph(tmp_path), classes=CLASSES)
    found = slot_outcomes(Scripted(), tiny_config(classes=CLASSES), dataset, settings=TrackSettings())
    assert found.certainty.tolist() == [1.0, 0.5]


def test_what_may_be_an_object_of_a_class_that_is_not_labelled_is_left_out(tmp_path: Path) -> None:
    logits, shown, _ = watch(photograph(tmp_path, labelled=["box"]))
    assert shown == [1]
    assert logits == [[0.0, 3.0, 1.0]]


def test_a_picture_that_cannot_be_read_is_reported_and_left_out(tmp_path: Path) -> None:
    file = photograph(tmp_path)
    (tmp_path / "1.png").write_bytes(b"no picture")
    dataset = open_dataset(file, classes=CLASSES)
    found = slot_outcomes(Scripted(), tiny_config(classes=CLASSES), dataset, settings=TrackSettings())
    assert found.logits.shape == (0, 3)
    assert len(list(dataset.problems)) == 1


def test_strict_stops_at_the_first_damage(tmp_path: Path) -> None:
    file = photograph(tmp_path)
    (tmp_path / "1.png").write_bytes(b"no picture")
    dataset = open_dataset(file, classes=CLASSES, problems=ProblemLog(strict=True))
    with pytest.raises(DataError, match=r"1\.png"):
        slot_outcomes(Scripted(), tiny_config(classes=CLASSES), dataset, settings=TrackSettings())


def test_the_objects_of_the_frame_that_is_looked_at_count(tmp_path: Path) -> None:
    """The object is there in the sixth frame alone."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[16:32, 16:32] = True
    names = [f"{t}.png" for t in range(7)]
    for name in names:
        assert cv2.imwrite(str(tmp_path / name), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    video = {"id": 1, "file_names": names, "height": HEIGHT, "width": WIDTH, "length": 7}
    shapes = [rle(mask) if t == 5 else None for t in range(7)]
    annotation = {"id": 1, "video_id": 1, "category_id": 2, "iscrowd": 0, "segmentations": shapes}
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
    document = {"videos": [video], "annotations": [annotation], "categories": categories}
    _, shown, clips = watch(write_json(tmp_path / "annotations.json", document))
    assert (shown, clips) == ([1, 2], 7)


def test_videos_are_looked_at_in_every_sixth_frame(tmp_path: Path) -> None:
    write_clip(render_clip(world="aquarium", seed=0, frames=13, height=HEIGHT, width=WIDTH), tmp_path / "00000")
    network = Scripted()
    config = tiny_config(classes=CLASSES)
    found = slot_outcomes(network, config, open_dataset(tmp_path, classes=CLASSES), settings=TrackSettings())
    assert network.clips == 13
    # No fish is of these classes, so every slot with a mask shows nothing.
    assert found.shown.tolist() == [2] * 6


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    config = tiny_config(classes=CLASSES)
    path = tmp_path / "tiny.safetensors"
    torch.manual_seed(0)
    save_weights(path, tiny_model(config), config, recommended={"start_score": 0.9, "idle_frames": 7})
    return path


def test_the_command_says_what_scores_were_and_writes_weights_that_recommend_thresholds(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scripted network answers, since an untrained one is on no object."""
    monkeypatch.setattr("a2vis_model.commands.calibrate.freeze", lambda model: Scripted())
    target = tmp_path / "calibrated.safetensors"
    data = ("--data", str(photograph(tmp_path)), "--device", "cpu", "--quiet")
    assert main(["calibrate", "--weights", str(weights), *data, "--keep-score", "0.1", "--output", str(target)]) == 0
    said = capsys.readouterr().out
    assert "2 slots with a mask" in said
    assert f"wrote {target}" in said
    # No slot reached 0.9, and the best one reaches what is recommended now.
    start_score = read_recommended(target)["start_score"]
    assert read_recommended(target) == {"start_score": start_score, "keep_score": 0.1, "idle_frames": 7}
    assert f"tracks: start_score {start_score:g}, idle_frames 7, keep_score 0.1" in said
    before, after = (load_weights(path)[0].state_dict() for path in (weights, target))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"class_head.classify.weight", "class_head.classify.bias"}
    scale = after["class_head.classify.weight"] / before["class_head.classify.weight"]
    torch.testing.assert_close(scale, scale[0, 0].expand_as(scale))


def test_the_command_refuses_data_that_show_nothing(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph(tmp_path)
    target = tmp_path / "calibrated.safetensors"
    (tmp_path / "1.png").write_bytes(b"no picture")
    arguments = ("--data", str(tmp_path / "annotations.json"), "--output", str(target), "--device", "cpu", "--quiet")
    assert main(["calibrate", "--weights", str(weights), *arguments]) == 2
    assert "calibration needs both kinds" in capsys.readouterr().err
    assert not target.exists()


def test_networks_without_a_head_of_tracks_are_refused_before_the_data_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, config = tmp_path / "minvis.safetensors", tiny_config("minvis", classes=CLASSES)
    save_weights(weights, tiny_model(config), config)
    data = ("--data", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out.safetensors"))
    assert main(["calibrate", "--weights", str(weights), *data, "--device", "cpu"]) == 2
    assert "A2VIS alone has a classification head" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--start-score", "0.01"], {"start_score": 0.01, "keep_score": 0.01}),
        (["--keep-score", "0.99"], {"start_score": 0.99, "keep_score": 0.99}),
    ],
)
def test_a_given_threshold_moves_the_other_where_tracks_would_end_as_they_start(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], expected: dict[str, float]
) -> None:
    monkeypatch.setattr("a2vis_model.commands.calibrate.freeze", lambda model: Scripted())
    target = tmp_path / "calibrated.safetensors"
    data = ("--data", str(photograph(tmp_path)), "--device", "cpu", "--quiet", "--output", str(target))
    assert main(["calibrate", "--weights", str(weights), *data, *given]) == 0
    assert read_recommended(target) == {**expected, "idle_frames": 7}
