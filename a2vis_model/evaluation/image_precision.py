"""Average precision of the frame detector on single images: COCO's protocol, computed by pycocotools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..config import ModelConfig
from ..data import Dataset
from ..data.problems import DataError
from ..extras import optional_packages
from ..masks.certainty import certainty, loose_area
from ..masks.coco import areas, boxes, encode
from ..modeling import ClipPrediction, VideoNetwork
from ..preprocessing import FrameTransform
from ..tracking.observations import PredictionReader

with optional_packages():
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

DETECTIONS = 100
"""Detections of an image that are counted; COCO's default."""

_LEAST_SCORE = 1e-3
"""Lowest score of a (query, class) pair that becomes a detection; weaker ones do not change any reported precision."""

# Rows of `COCOeval.stats`.
_STATS = {"AP": 0, "AP50": 1, "AP75": 2, "AP_small": 3, "AP_medium": 4, "AP_large": 5, "AR": 8}


@dataclass(frozen=True)
class ImagePrecision:
    """COCO mask precision of a detector on a set of images; None where there is nothing to find, else in [0, 1].

    Sizes are COCO's, in pixels of the original image: small below 32², large from 96² on.
    """

    images: int
    """Number of images that were used."""
    objects: int
    """Number of annotated objects."""
    overall: dict[str, float | None]
    """AP, AP50, AP75, AP_small, AP_medium, AP_large and AR, averaged over the classes that have objects."""
    by_class: dict[str, float | None]
    """AP of each class, by class name."""


def image_precision(
    model: VideoNetwork, config: ModelConfig, dataset: Dataset, *, device: torch.device, quiet: bool = True
) -> ImagePrecision:
    """Run a network's frame detector over the first frame of every video of a data set, and score its masks.

    Images that cannot be read are left out; the data set reports them. Classes that an image does not label are
    neither to be found there nor wrong there.

    Args:
        model: the network; its detector alone is run.
        config: its configuration.
        dataset: opened with the network's classes.
        device: where to compute.
        quiet: show no progress bar.
    """
    model = model.to(device).eval()
    transform = FrameTransform(input_height=config.input_height, input_width=config.input_width, device=device)
    reader = PredictionReader.on(device)
    images: list[dict[str, int]] = []
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    videos = tqdm(dataset.videos(), total=len(dataset), unit="image", desc=config.name, disable=quiet)
    for number, video in enumerate(videos):
        try:
            frame = video.load([0])
        except DataError as error:
            video.problems.report(error.problem)
            continue
        images.append({"id": number, "height": video.height, "width": video.width})
        for class_id, mask in zip(frame.class_ids, frame.visible[:, 0], strict=True):
            truth.append(_record(number, int(class_id), mask) | {"id": len(truth) + 1, "iscrowd": 0})
        found += _detect(model, transform, reader, frame.frames[0], frame.labelled, number)
    return _score(config.classes, images, truth, found)


@torch.inference_mode()
def _detect(
    model: VideoNetwork,
    transform: FrameTransform,
    reader: PredictionReader,
    image: NDArray[np.uint8],
    labelled: NDArray[np.bool_] | None,
    number: int,
) -> Iterator[dict[str, Any]]:
    """Detect objects in one image: the best (query, class) pairs with a score each.

    A score is the probability of the class times the certainty of the mask, as that of a track. (Mask2Former takes the
    mean probability inside the mask for the latter.)

    Args:
        model: the network; only its detector runs.
        transform: conversion of an image to the network's input.
        reader: conversion of the detector's masks to the image's size.
        image: RGB image [H, W, 3].
        labelled: classes [K] that are labelled in the image; None for all.
        number: ID of the image in COCO records.
    """
    pixels, place = transform(image)
    detections = model.detector.detections(model.detector(pixels[None]))
    prediction = ClipPrediction(detections.classes, detections.masks[:, None], None)
    frame = reader.read(prediction, 0, place, np.zeros(detections.masks.shape[1], np.float32))
    logits = detections.masks[0].float()
    sure = certainty((logits > 0).sum(dim=(1, 2)), loose_area(logits))
    classes = detections.classes[0].float().softmax(dim=-1)[:, :-1]
    scores = (classes * sure[:, None]).cpu().numpy()
    if labelled is not None:
        scores[:, ~labelled] = 0
    for pair in np.argsort(-scores, axis=None, kind="stable")[:DETECTIONS]:
        query, class_id = divmod(int(pair), scores.shape[1])
        mask, _ = frame.masks(query)
        if scores[query, class_id] < _LEAST_SCORE:
            return
        if mask is not None and mask.area:
            yield {
                "image_id": number,
                "category_id": class_id + 1,
                "segmentation": mask.coco_rle(),
                "score": float(scores[query, class_id]),
            }


def _record(number: int, class_id: int, mask: NDArray[np.bool_]) -> dict[str, Any]:
    rle = encode(mask)
    return {
        "image_id": number,
        "category_id": class_id + 1,
        "segmentation": rle,
        "area": int(areas([rle])[0]),
        "bbox": boxes([rle])[0].tolist(),
    }


def _score(
    classes: Sequence[str], images: list[dict[str, int]], truth: list[dict[str, Any]], found: list[dict[str, Any]]
) -> ImagePrecision:
    names = {index + 1: name for index, name in enumerate(classes)}
    nothing: dict[str, float | None] = dict.fromkeys(_STATS)
    if not truth or not found:
        value = 0.0 if truth else None
        present = {names[record["category_id"]] for record in truth}
        by_class = {name: value if name in present else None for name in classes}
        return ImagePrecision(len(images), len(truth), nothing | {"AP": value}, by_class)
    with redirect_stdout(StringIO()):  # pycocotools prints its progress to standard output.
        reference = COCO()
        reference.dataset = {
            "info": {},
            "images": images,
            "annotations": truth,
            "categories": [{"id": number, "name": name} for number, name in names.items()],
        }
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(found), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # Precision [thresholds, recalls, classes] over objects of all sizes.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return ImagePrecision(
        images=len(images),
        objects=len(truth),
        overall={name: _value(evaluation.stats[row]) for name, row in _STATS.items()},
        by_class={name: _value(precision[:, :, index].mean()) for index, name in enumerate(classes)},
    )


def _value(number: float) -> float | None:
    """Return None for -1, which pycocotools writes for a mean over nothing."""
    return None if number < 0 else float(number)
