"""Where, along a row of the image, what hides something ends. NumPy alone; no torch, no ROS."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .mask_codec import RunLengthMask

_LEAST_SPEED = 1.0
"""Pixels a second; a track that is slower goes nowhere."""


def uncovered_sides(covered: NDArray[np.bool_], at: int) -> tuple[int | None, int | None]:
    """The nearest uncovered columns to the left and to the right of a covered one.

    Args:
        covered: [W] whether something hides what is behind it, column by column.
        at: the column to start from.

    Returns:
        None for a side on which the cover reaches the end of the image. `at` twice where it is not covered itself.
    """
    free = np.flatnonzero(~covered)
    split = int(np.searchsorted(free, at))
    if split < len(free) and free[split] == at:
        return at, at
    return (int(free[split - 1]) if split else None), (int(free[split]) if split < len(free) else None)


@dataclass(frozen=True)
class ImageEmergence:
    """Place and time at which a hidden track may come out, in the image."""

    x: float
    """Nearest column beside what hides it; NaN where none is in view."""
    y: float
    """The middle row of its footprint."""
    expected_s: float
    """Until it is there at its velocity; NaN where that leads elsewhere."""


def image_emergence(
    footprint: RunLengthMask, velocity_x: float, covers: Sequence[RunLengthMask], width: int
) -> ImageEmergence:
    """Find where a hidden track may come out to the side, from behind the masks of those that are seen.

    Args:
        footprint: its last amodal mask, not empty.
        velocity_x: velocity of the track, in pixels a second to the right.
        covers: the visible masks of the others.
        width: width of the image, in pixels.
    """
    row = footprint.y + footprint.height // 2
    middle = footprint.x + (footprint.width - 1) / 2
    covered = np.zeros(width, np.bool_)
    for mask in covers:
        if mask.y <= row < mask.y + mask.height:
            covered[mask.x : mask.x + mask.width] |= mask.pixels[row - mask.y]
    ends = [end for end in uncovered_sides(covered, round(middle)) if end is not None]
    if not ends:
        return ImageEmergence(math.nan, float(row), math.nan)
    nearest = min(ends, key=lambda end: abs(end - middle))
    expected = math.nan
    for end in ends:
        way = max(abs(end - middle) - footprint.width / 2, 0.0)
        if not covered[round(middle)]:
            expected = 0.0
        elif abs(velocity_x) > _LEAST_SPEED and (end - middle) * velocity_x > 0:
            expected = way / abs(velocity_x)
    return ImageEmergence(float(nearest), float(row), expected)
