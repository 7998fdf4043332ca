"""COCO mask precision of the frame detector on single images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from dataset_files import rle, write_json
from networks import tiny_config, tiny_model
from torch import Tensor, nn

from a2vis_model.cli import main
from a2vis_model.config import ModelConfig
from a2vis_model.data import open_dataset
from a2vis_model.evaluation.image_precision import image_precision
from a2vis_model.modeling.detector import FrameDetections
from a2vis_model.weights import save_weights

CLASSES = ("cup", "box")
SIZE = (64, 96)


class ScriptedDetector(nn.Module):
    """A detector that answers the images of a list one after the other, whatever they show."""

    def __init__(self, answers: list[list[tuple[int, float, np.ndarray]]]) -> None:
        super().__init__()
        self._answers = iter(answers)

    def forward(self, images: Tensor) -> list[tuple[int, float, np.ndarray]]:
        return next(self._answers)

    def detections(self, answer: list[tuple[int, float, np.ndarray]]) -> FrameDetections:
        """Queries of class, probability and mask [H, W], or its logits; the masks have the resolution of logits."""
        classes = torch.full((1, len(answer), len(CLASSES) + 1), -20.0)
        masks = torch.zeros(1, len(answer), SIZE[0] // 4, SIZE[1] // 4)
        for query, (class_id, probability, mask) in enumerate(answer):
            classes[0, query, class_id] = float(np.log(probability))
            classes[0, query, -1] = float(np.log1p(-probability))
            logits = mask if mask.dtype == np.float64 else np.where(mask, 20.0, -20.0)
            masks[0, query] = torch.from_numpy(logits[::4, ::4])
        return FrameDetections(classes=classes, masks=masks)


def block(top: int, left: int, height: int = 16, width: int = 16) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def write_images(root: Path, objects: list[list[tuple[int, np.ndarray]]]) -> Path:
    """A COCO file with the objects (class, mask) of each image."""
    images, annotations = [], []
    for number, things in enumerate(objects, 1):
        assert cv2.imwrite(str(root / f"{number}.png"), np.zeros((*SIZE, 3), np.uint8))
        images.append({"id": number, "file_name": f"{number}.png", "height": SIZE[0], "width": SIZE[1]})
        for class_id, mask in things:
            record = {"id": len(annotations) + 1, "image_id": number, "category_id": class_id + 1, "iscrowd": 0}
            annotations.append(record | {"segmentation": rle(mask)})
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    return write_json(root / "annotations.json", document)


def measure(file: Path, answers: list[list[tuple[int, float, np.ndarray]]]) -> Any:
    config: ModelConfig = tiny_config(classes=CLASSES)
    model = tiny_model(config)
    model.detector = ScriptedDetector(answers)  # type: ignore[assignment]
    dataset = open_dataset(file, classes=CLASSES)
    return image_precision(model, config, dataset, device=torch.device("cpu"))


def test_a_blurred_mask_ranks_behind_a_sharp_one(tmp_path: Path) -> None:
    thing, elsewhere = block(16, 16), block(32, 48)
    blurred = np.where(elsewhere, 20.0, np.where(block(16, 32, 48, 64), -1.0, -20.0))
    file = write_images(tmp_path, [[(0, thing)]])
    assert measure(file, [[(0, 0.9, blurred), (0, 0.6, thing)]]).overall["AP"] == pytest.approx(1.0)
    assert measure(file, [[(0, 0.9, elsewhere), (0, 0.6, thing)]]).overall["AP"] == pytest.approx(0.5, abs=0.01)


def test_perfect_detections_have_a_precision_of_one(tmp_path: Path) -> None:
    first, second = block(16, 16), block(32, 48)
    file = write_images(tmp_path, [[(0, first), (1, second)], [(1, first)]])
    found = measure(file, [[(0, 0.9, first), (1, 0.8, second)], [(1, 0.7, first)]])
    assert (found.images, found.objects) == (2, 3)
    assert found.overall["AP"] == pytest.approx(1)
    assert found.by_class == {"cup": pytest.approx(1), "box": pytest.approx(1)}
    assert found.overall["AP_small"] == pytest.approx(1)  # 256 pixels
    assert found.overall["AP_large"] is None


def test_a_wrong_class_and_a_wrong_place_count(tmp_path: Path) -> None:
    first, second = block(16, 16), block(32, 48)
    file = write_images(tmp_path, [[(0, first), (1, second)]])
    found = measure(file, [[(1, 0.9, first), (1, 0.8, second)]])
    # The better of the two boxes is right; no cup is found.
    assert found.by_class == {"cup": pytest.approx(0), "box": pytest.approx(0.5, abs=0.01)}
    assert found.overall["AP"] == pytest.approx(0.25, abs=0.01)


def test_half_a_mask_counts_at_low_thresholds_alone(tmp_path: Path) -> None:
    whole = block(16, 16, 16, 32)
    file = write_images(tmp_path, [[(0, whole)]])
    found = measure(file, [[(0, 0.9, block(16, 16, 16, 20))]])  # IoU 20 / 32 = 0.625
    assert found.overall["AP50"] == pytest.approx(1)
    assert found.overall["AP75"] == pytest.approx(0)
    assert found.overall["AP"] == pytest.approx(0.3)


def test_nothing_found_is_zero_and_nothing_to_find_is_none(tmp_path: Path) -> None:
    file = write_images(tmp_path, [[(0, block(16, 16))], []])
    empty = np.zeros(SIZE, bool)
    found = measure(file, [[(0, 0.9, empty)], [(0, 0.9, empty)]])
    assert found.overall["AP"] == 0
    assert found.by_class == {"cup": 0, "box": None}


def test_an_image_that_cannot_be_read_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_images(tmp_path, [[(0, block(16, 16))], [(0, block(16, 16))]])
    (tmp_path / "2.png").write_bytes(b"no image")
    weights = tmp_path / "tiny.safetensors"
    config = tiny_config(classes=CLASSES)
    save_weights(weights, tiny_model(config), config)
    output = tmp_path / "out"
    command = ["evaluate-images", "--data", str(file), "--weights", str(weights), "--output", str(output), "--quiet"]
    assert main(command) == 1
    assert "2.png" in capsys.readouterr().out
    result = json.loads((output / "images.json").read_text())
    assert (result["images"], result["objects"]) == (1, 1)
    assert set(result["by_class"]) == set(CLASSES)
    assert result["provenance"]["hashes"].keys() == {"weights", "data"}
    assert main([*command, "--set", "input_height=33"]) == 2
    assert "input_height=33 is not a multiple of 32" in capsys.readouterr().err


def test_strict_stops_at_a_broken_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_images(tmp_path, [[(0, block(16, 16))], [(0, block(16, 16))]])
    document = json.loads(file.read_text())
    document["images"][1]["height"] = "tall"
    write_json(file, document)
    weights, config = tmp_path / "tiny.safetensors", tiny_config(classes=CLASSES)
    save_weights(weights, tiny_model(config), config)
    command = ["evaluate-images", "--data", str(file), "--weights", str(weights), "--quiet"]
    assert main(command) == 1
    assert "height" in capsys.readouterr().out
    assert main([*command, "--strict"]) == 2
    assert "height" in capsys.readouterr().err


def test_a_detection_of_a_class_that_is_not_labelled_is_no_mistake(tmp_path: Path) -> None:
    mask, other = block(16, 16), block(32, 48)
    file = write_images(tmp_path, [[(0, mask)], [(1, other)]])
    answers = [[(1, 0.9, other), (0, 0.8, mask)], [(1, 0.7, other)]]
    assert measure(file, answers).by_class["box"] == pytest.approx(0.5, abs=0.01)
    (tmp_path / "labels.yaml").write_text("- files: 1.png\n  labelled: [cup]\n")
    assert measure(file, answers).by_class == {"cup": pytest.approx(1), "box": pytest.approx(1)}


def test_without_weights_those_that_ship_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_images(tmp_path, [[(0, block(16, 16))]])
    assert main(["evaluate-images", "--data", str(file), "--quiet"]) == 2
    assert "no image holds an object of the classes person, bicycle" in capsys.readouterr().err


def test_data_of_other_classes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_images(tmp_path, [[(0, block(16, 16))]])
    weights = tmp_path / "tiny.safetensors"
    config = tiny_config(classes=("tree",))
    save_weights(weights, tiny_model(config), config)
    assert main(["evaluate-images", "--data", str(file), "--weights", str(weights), "--quiet"]) == 2
    assert "no image holds an object of the classes tree" in capsys.readouterr().err
