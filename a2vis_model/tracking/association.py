"""Association of masks with tracks: overlap, duplicates, motion, one-to-one matching. Needs NumPy alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    possible = affinity >= least
    # Most objects are far from each other: who is the only candidate of its only candidate needs no comparison.
    alone = possible & (possible.sum(axis=1, keepdims=True) == 1) & (possible.sum(axis=0) == 1)
    pairs = [(row, column) for row, column in np.argwhere(alone).tolist()]
    contested = possible & ~alone
    rows, columns = np.flatnonzero(contested.any(axis=1)), np.flatnonzero(contested.any(axis=0))
    gain = np.where(possible, affinity, 0.0)[np.ix_(rows, columns)]
    best = _assign(-gain) if len(rows) <= len(columns) else [(r, c) for c, r in _assign(-gain.T)]
    chosen = [(int(rows[r]), int(columns[c])) for r, c in best]
    return pairs + [pair for pair in chosen if possible[pair]]


def _assign(cost: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Give each of N rows a column of its own among M >= N, for the least sum of costs.

    This is the Hungarian method, a shortest path for each row. `scipy.optimize` has it too, but takes a sixth of a
    robot's start to import, and 48 MiB.
    """
    count, width = cost.shape
    of_row, of_column = np.zeros(count), np.zeros(width)  # prices: no cost is less than both of its own together
    owner = np.full(width, -1)
    for newcomer in range(count):
        distance, visited = np.full(width, np.inf), np.zeros(width, np.bool_)
        origin = np.full(width, -1)  # the column before each on the path from the newcomer
        reached, row, length = -1, newcomer, 0.0
        path_rows, path_lengths = [newcomer], [0.0]
        while True:
            through = length + cost[row] - of_row[row] - of_column
            nearer = ~visited & (through < distance)
            distance[nearer], origin[nearer] = through[nearer], reached
            reached = int(np.where(visited, np.inf, distance).argmin())
            length, row = float(distance[reached]), int(owner[reached])
            if row < 0:
                break
            visited[reached] = True
            path_rows.append(row)
            path_lengths.append(length)
        of_row[path_rows] += length - np.array(path_lengths)
        of_column[visited] += distance[visited] - length
        while reached >= 0:
            before = int(origin[reached])
            owner[reached] = newcomer if before < 0 else owner[before]
            reached = before
    return [(int(owner[column]), int(column)) for column in np.flatnonzero(owner >= 0)]


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
