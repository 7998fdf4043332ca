"""The hidden part of objects alone: is what nobody can see where it is said to be?"""

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
"""Of occlusion, for the plot of occlusion against IoU."""


@dataclass
class HiddenPart:
    """Sums over object-frames."""

    object_frames: int = 0
    """With a hidden part large enough."""
    found: int = 0
    """Of these, with any prediction on them."""
    iou_sum: float = 0.0
    common: int = 0
    """Pixels."""
    either: int = 0
    """Pixels."""
    amodal_iou: NDArray[np.float64] = field(default_factory=lambda: np.zeros(BINS))
    """Sum of the IoU of whole amodal masks, by occlusion."""
    amodal_frames: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    """Object-frames, by occlusion."""

    def add(self, other: HiddenPart) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def values(self) -> dict[str, float | int | None]:
        """IoU averaged over object-frames, IoU of all pixels together, and the share that was found at all."""
        count = self.object_frames
        return {
            "IoU": self.iou_sum / count if count else None,
            "pixel_IoU": self.common / self.either if self.either else None,
            "found": self.found / count if count else None,
            "object_frames": count,
        }


@dataclass(frozen=True)
class WorstCase:
    """The object-frame of a video where most pixels are wrong."""

    frame: int
    object_index: int
    prediction_index: int
    """-1 where there is none."""
    iou: float
    wrong: float
    """Share of wrong pixels times the object's pixels."""


def best_partners(frames: Sequence[FrameOverlap], objects: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The prediction that overlaps each object, one to one and for most IoU in all: [G, T] indices, -1 for none,
    and [G, T] IoU."""
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
    without the visible mask of the object it goes with, so that a predictor of amodal masks alone is judged alike.
    Visible masks are taken to lie inside amodal ones.

    Args:
        overlap: of the amodal masks of G objects and P predictions.
        visible: of the objects.
        amodal: of the predictions.
        occlusion: of the objects, [T] each.
        least: pixels of a hidden part to count.
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
    """Common pixels, recovered from the ratio."""
    return round(iou * (overlap.object_areas[g, t] + overlap.prediction_areas[p, t]) / (1 + iou))
