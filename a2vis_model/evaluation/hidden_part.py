"""Score of the hidden part of objects: does the predicted hidden region lie where the object really is?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..masks import coco
from .instances import Masks, mask_areas
from .overlaps import FrameOverlap, MaskOverlap

BINS = 10
"""Number of occlusion bins in the plot of IoU over occlusion."""


@dataclass
class HiddenPart:
    """Sums over object-frames (one object in one frame)."""

    object_frames: int = 0
    """Number of object-frames whose hidden part is large enough to be scored."""
    found: int = 0
    """Number of scored object-frames that any prediction overlaps."""
    iou_sum: float = 0.0
    common: int = 0
    """Intersection of predicted and true hidden parts, in pixels."""
    either: int = 0
    """Union of predicted and true hidden parts, in pixels."""
    amodal_iou: NDArray[np.float64] = field(default_factory=lambda: np.zeros(BINS))
    """[BINS] sum of the IoU of whole amodal masks, by occlusion."""
    amodal_frames: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    """[BINS] number of object-frames, by occlusion."""

    def add(self, other: HiddenPart) -> None:
        """Add the sums of other object-frames."""
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def values(self) -> dict[str, float | int | None]:
        """Return the mean IoU of object-frames, the IoU of all pixels together, and the share that was found at all."""
        count = self.object_frames
        return {
            "IoU": self.iou_sum / count if count else None,
            "pixel_IoU": self.common / self.either if self.either else None,
            "found": self.found / count if count else None,
            "object_frames": count,
        }


@dataclass(frozen=True)
class WorstCase:
    """The object-frame of a video in which most pixels are wrong."""

    frame: int
    object_index: int
    prediction_index: int
    """Index of the prediction; -1 where there is none."""
    iou: float
    wrong: float
    """Share of wrong pixels times the number of pixels of the object."""


def best_partners(frames: Sequence[FrameOverlap], objects: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Match objects and predictions one to one in each frame, for the greatest total IoU.

    Returns:
        [G, T] indices of the predictions, -1 for none, and [G, T] IoU.
    """
    partner = np.full((objects, len(frames)), -1, np.int64)
    iou = np.zeros((objects, len(frames)))
    for t, frame in enumerate(frames):
        if frame.iou.size:
            rows, columns = linear_sum_assignment(-frame.iou)
            hit = frame.iou[rows, columns] > 0
            rows, columns = rows[hit], columns[hit]
            partner[frame.objects[rows], t] = frame.predictions[columns]
            iou[frame.objects[rows], t] = frame.iou[rows, columns]
    return partner, iou


def score_hidden_part(
    overlap: MaskOverlap,
    visible: Sequence[Masks],
    amodal: Sequence[Masks],
    occlusion: Sequence[NDArray[np.float64] | None],
    *,
    least: int,
) -> tuple[HiddenPart, WorstCase | None]:
    """Score one video.

    The hidden part of an object is its amodal mask without its visible mask; that of a prediction is its amodal mask
    without the visible mask of the object it is matched with, so that a predictor of amodal masks alone is judged
    alike.
    Visible masks are assumed to lie inside amodal ones.

    Args:
        overlap: overlap of the amodal masks of G objects and P predictions.
        visible: visible masks of the objects.
        amodal: amodal masks of the predictions.
        occlusion: hidden share [T] of each object.
        least: smallest number of pixels of a hidden part that counts.
    """
    score = HiddenPart()
    partner, iou = best_partners(overlap.frames, len(visible))
    worst: WorstCase | None = None
    for g, masks in enumerate(visible):
        hidden_share = occlusion[g]
        if hidden_share is None:
            continue
        frames = np.flatnonzero(~np.isnan(hidden_share))
        if not len(frames):
            continue
        bins = np.minimum((hidden_share[frames] * BINS).astype(int), BINS - 1)
        score.amodal_iou += np.bincount(bins, iou[g, frames], BINS)
        score.amodal_frames += np.bincount(bins, minlength=BINS)
        wrong = (1 - iou[g, frames]) * overlap.object_areas[g, frames]
        t = int(frames[wrong.argmax()])
        if worst is None or wrong.max() > worst.wrong:
            worst = WorstCase(t, g, int(partner[g, t]), float(iou[g, t]), float(wrong.max()))
        hidden = overlap.object_areas[g] - mask_areas(masks)
        for t in frames[hidden[frames] >= least].tolist():
            score.object_frames += 1
            p, seen = int(partner[g, t]), masks[t]
            guess = None if p < 0 else amodal[p][t]
            if guess is None:
                score.either += int(hidden[t])
                continue
            area, common = int(overlap.prediction_areas[p, t]), _common(iou[g, t], overlap, g, p, t)
            on_visible = 0 if seen is None else int(coco.areas([coco.intersection([guess, seen])])[0])
            inside = max(common - on_visible, 0)
            either = max(int(hidden[t]) + area - on_visible - inside, 1)
            score.found += 1
            score.iou_sum += inside / either
            score.common += inside
            score.either += either
    return score, worst


def _common(iou: float, overlap: MaskOverlap, g: int, p: int, t: int) -> int:
    """Recover the number of common pixels from the IoU."""
    return round(iou * (overlap.object_areas[g, t] + overlap.prediction_areas[p, t]) / (1 + iou))
