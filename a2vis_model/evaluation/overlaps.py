"""Overlap of the regions of ground truth and predictions, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..masks import coco
from .instances import Masks, mask_areas


@dataclass(frozen=True)
class FrameOverlap:
    """Objects and predictions that are present in one frame, and the IoU of their regions."""

    objects: NDArray[np.intp]
    """Indices [g] of the present objects among the objects of the video."""
    predictions: NDArray[np.intp]
    """Indices [p] of the present predictions among the predictions of the video."""
    iou: NDArray[np.float64]
    """IoU [g, p] of present objects and predictions."""


@dataclass(frozen=True)
class MaskOverlap:
    """Overlap of the masks of G objects and P predictions in one video of T frames."""

    frames: Sequence[FrameOverlap]
    object_areas: NDArray[np.int64]
    """Object areas [G, T] in pixels."""
    prediction_areas: NDArray[np.int64]
    """Prediction areas [P, T] in pixels."""
    tube_iou: NDArray[np.float64]
    """Spatio-temporal IoU [P, G]: common pixels of all frames over the union of all frames."""


def compare_masks(objects: Sequence[Masks], predictions: Sequence[Masks], length: int) -> MaskOverlap:
    """Compare all objects with all predictions."""
    object_areas, prediction_areas = _areas(objects, length), _areas(predictions, length)
    common = np.zeros((len(predictions), len(objects)), np.int64)
    frames = []
    for t in range(length):
        wanted = {i: mask for i, masks in enumerate(objects) if (mask := masks[t]) is not None}
        found = {i: mask for i, masks in enumerate(predictions) if (mask := masks[t]) is not None}
        g, p = np.array(list(wanted), np.intp), np.array(list(found), np.intp)
        iou = coco.iou(list(wanted.values()), list(found.values()))
        # pycocotools gives the ratio alone; the pixels it was made from are whole numbers.
        pixels = object_areas[g, t][:, None] + prediction_areas[p, t]
        common[p[:, None], g] += np.rint(iou * pixels / (1 + iou)).astype(np.int64).T
        frames.append(FrameOverlap(g, p, iou))
    union = prediction_areas.sum(axis=1)[:, None] + object_areas.sum(axis=1) - common
    return MaskOverlap(frames, object_areas, prediction_areas, common / np.maximum(union, 1))


def compare_boxes(
    objects: Sequence[NDArray[np.float64]], predictions: Sequence[NDArray[np.float64]], length: int
) -> list[FrameOverlap]:
    """Compare boxes [T, 4] (left, top, width, height; NaN where absent) of all objects and predictions."""
    wanted, found = _stacked(objects, length), _stacked(predictions, length)
    frames = []
    for t in range(length):
        g, p = np.flatnonzero(~np.isnan(wanted[:, t, 0])), np.flatnonzero(~np.isnan(found[:, t, 0]))
        frames.append(FrameOverlap(g, p, box_iou(wanted[g, t], found[p, t])))
    return frames


def box_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the IoU [n, m] of boxes [n, 4] and [m, 4] (left, top, width, height); 0 where either box has no area."""
    a, b = first[:, None], second[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = np.maximum(high - low, 0).prod(axis=-1)
    areas = a[..., 2:].prod(axis=-1), b[..., 2:].prod(axis=-1)
    union = areas[0] + areas[1] - common
    solid = (areas[0] > 0) & (areas[1] > 0) & (union > 0)
    iou: NDArray[np.float64] = np.where(solid, common, 0) / np.where(solid, union, 1)
    return iou


def _areas(tracks: Sequence[Masks], length: int) -> NDArray[np.int64]:
    return np.stack([mask_areas(masks) for masks in tracks]) if tracks else np.zeros((0, length), np.int64)


def _stacked(tracks: Sequence[NDArray[np.float64]], length: int) -> NDArray[np.float64]:
    return np.stack(tracks) if tracks else np.zeros((0, length, 4))
