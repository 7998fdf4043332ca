"""Association of masks with tracks: overlap, duplicates, motion, one-to-one matching. Needs no torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Cells = NDArray[np.bool_]
"""Masks on a coarse grid over the input, [N, h, w], or a single one, [h, w]."""

_LEAST_GAIN = 0.2
"""Lowest weight of the newest step in a velocity."""


def intersections(first: Cells, second: Cells) -> NDArray[np.float32]:
    """Count the common cells of each of N masks with each of M: [N, M], one matrix product."""
    a, b = (masks.reshape(len(masks), masks.shape[1] * masks.shape[2]).astype(np.float32) for masks in (first, second))
    return a @ b.T


def mask_iou(first: Cells, second: Cells) -> NDArray[np.float32]:
    """Compute the IoU of each of N masks with each of M: [N, M]; 0 where both are empty."""
    common = intersections(first, second)
    areas = [masks.sum(axis=(1, 2), dtype=np.float32) for masks in (first, second)]
    return common / np.maximum(areas[0][:, None] + areas[1] - common, 1)


def duplicates(masks: Cells, iou: float, containment: float) -> NDArray[np.bool_]:
    """Find out which of N masks show the same object: bool [N, N].

    Args:
        masks: masks [N, h, w].
        iou: two masks with a greater IoU show the same object.
        containment: so do two masks of which one lies by more than this share inside the other.
    """
    common = intersections(masks, masks)
    area = masks.sum(axis=(1, 2), dtype=np.float32)
    union = area[:, None] + area - common
    smaller = np.minimum(area[:, None], area)
    return (common > iou * union) | (common > containment * smaller)


def suppress(scores: NDArray[np.float32], same: NDArray[np.bool_]) -> list[int]:
    """Non-maximum suppression: return the indices of the kept masks, best first.

    A mask is kept if no kept mask with a higher score shows the same object.

    Args:
        scores: scores [N]; of equal ones the first is better.
        same: bool [N, N], which masks show the same object.
    """
    kept: list[int] = []
    for candidate in np.argsort(-scores, kind="stable").tolist():
        if not same[candidate, kept].any():
            kept.append(candidate)
    return kept


def match(affinity: NDArray[np.float32], least: float) -> list[tuple[int, int]]:
    """Pair rows with columns, each once, for the greatest sum of affinity; pairs below `least` do not count."""
    gain = np.where(affinity >= least, affinity, 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if affinity[r, c] >= least]


def shifted(mask: Cells, offset: NDArray[np.float64]) -> Cells:
    """Move a mask [h, w] by (y, x) cells, rounded; what leaves the grid is lost."""
    height, width = mask.shape
    dy, dx = (int(step) for step in np.rint(offset).clip((-height, -width), (height, width)))
    if not dy and not dx:
        return mask
    moved = np.zeros_like(mask)
    moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = mask[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return moved


def centre(mask: Cells) -> NDArray[np.float64]:
    """Return the mean (y, x) of the cells of a non-empty mask [h, w]."""
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    total = rows.sum()
    return np.array((rows @ np.arange(len(rows)), columns @ np.arange(len(columns)))) / total


@dataclass
class Motion:
    """Centre of a mask and its constant velocity, in cells and cells per frame."""

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    observed: int = 0
    """Number of steps that the velocity was estimated from."""

    @classmethod
    def at(cls, mask: Cells) -> "Motion":
        """Start at a mask, at rest."""
        return cls(centre(mask), np.zeros(2))

    def after(self, frames: int) -> NDArray[np.float64]:
        """Predict the centre after a number of frames."""
        return self.position + self.velocity * frames

    def observe(self, mask: Cells, frames: int) -> None:
        """Take the mask that is observed `frames` frames after the last one.

        The velocity is the mean of the first steps and an exponential average from then on.
        """
        now = centre(mask)
        self.observed += 1
        gain = max(1 / self.observed, _LEAST_GAIN)
        self.velocity += gain * ((now - self.position) / frames - self.velocity)
        self.position = now
