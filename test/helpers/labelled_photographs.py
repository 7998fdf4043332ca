"""Photographs of which some classes and visible masks alone are known."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from dataset_files import rle

from a2vis_model.training import (
    TrainingSample,
)

CLASSES = ("person", "car", "dog")


def write_photographs(folder: Path, pictures: Sequence[dict[str, Any]], **top: Any) -> Path:
    """A COCO file of 60x80 images; a picture is its record with `boxes`: (category, top, left, height, width)."""
    images, annotations = [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, 1):
        record = {"id": number, "file_name": f"p{number}.png", "height": 60, "width": 80, **picture}
        pixels = np.full((60, 80, 3), 90, np.uint8)
        for category, y, x, height, width in record.pop("boxes"):
            mask = np.zeros((60, 80), np.bool_)
            mask[y : y + height, x : x + width] = True
            pixels[mask] = 250
            annotation = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "iscrowd": 0}
            annotations.append({**annotation, "segmentation": rle(mask), "area": int(mask.sum())})
        assert cv2.imwrite(str(folder / "images" / record["file_name"]), pixels)
        images.append(record)
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories, **top}
    file = folder / "annotations.json"
    file.write_text(json.dumps(document))
    return file


def boxes(*spans: tuple[int, int, int, int], grey: int, frames: int = 1) -> TrainingSample:
    """Objects of class 0, 1, ... in rectangles (top, left, bottom, right) of a 16x16 picture, visible masks alone."""
    visible = np.zeros((frames, len(spans), 16, 16), np.bool_)
    for n, (top, left, bottom, right) in enumerate(spans):
        visible[:, n, top:bottom, left:right] = True
    images = np.full((frames, 16, 16, 3), grey, np.uint8)
    return TrainingSample(
        images, visible, visible.copy(), np.arange(len(spans)), amodal_known=False, labelled=np.array([True, False])
    )
