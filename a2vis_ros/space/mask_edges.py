"""The sides of amodal masks' boxes, and how sure each is. No ROS."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..planner.mask_codec import RunLengthMask

_FOOT_ROWS = 0.03
"""Share of a mask's height whose lowest rows are its foot."""
_WORST_GUESS = 0.35
"""Standard deviation of a hidden side at most, as a share of the box's width or height, however far it is hidden."""
_GUESS_NOISE = 0.15
"""Share of the error of a hidden side that differs from frame to frame; the rest stays."""
LEFT, RIGHT, TOP, BOTTOM = range(4)
"""Columns of the arrays of `MaskEdges`."""


class MaskEdges(NamedTuple):
    """The sides of the full shapes of N objects in one frame: left, right, top and bottom."""

    position: NDArray[np.float64]
    """[N, 4] columns and rows in pixels, between two pixels: the left side of column 3 is 2.5."""
    noise: NDArray[np.float64]
    """[N, 4] standard deviation of what differs from frame to frame, in pixels."""
    bias: NDArray[np.float64]
    """[N, 4] standard deviation of what stays the same for many frames, in pixels: how wrong the network's guess is."""
    cut: NDArray[np.bool_]
    """[N, 4] whether the image ends here, and the object may go on."""
    foot_u: NDArray[np.float64]
    """[N] column of the middle of the lowest rows."""


def mask_edges(
    masks: Sequence[tuple[RunLengthMask, RunLengthMask]],
    height: int,
    width: int,
    *,
    pixel_std: float,
    outline_std: float,
    hidden_std: float,
) -> MaskEdges:
    """The sides of amodal masks; of the visible one where there is no amodal.

    A side that is seen is as sure as a pixel is, and wrong for many frames by a share of the box, for that is how a
    network errs. One that is hidden was guessed by it, the further from the visible mask the less surely.

    Args:
        masks: visible mask and amodal mask of each object in one frame; not both of them are empty.
        height: rows of the image.
        width: columns of the image.
        pixel_std: standard deviation of a side that is seen, in pixels.
        outline_std: standard deviation of what is wrong of a side for many frames, as a share of the box's width or
            height.
        hidden_std: standard deviation of a hidden side, as a share of its distance from the visible mask.
    """
    whole = [visible if amodal.is_empty else amodal for visible, amodal in masks]
    seen = [amodal if visible.is_empty else visible for visible, amodal in masks]
    position = _sides(whole)
    extent = position[:, [RIGHT, RIGHT, BOTTOM, BOTTOM]] - position[:, [LEFT, LEFT, TOP, TOP]]
    guess = np.minimum(hidden_std * np.abs(position - _sides(seen)), _WORST_GUESS * extent)
    image = (-0.5, width - 0.5, -0.5, height - 0.5)
    return MaskEdges(
        position=position,
        noise=np.hypot(pixel_std, _GUESS_NOISE * guess),
        bias=np.hypot(guess, outline_std * extent),
        cut=np.abs(position - image) < 0.5,
        foot_u=np.array([_foot_column(mask) for mask in whole]),
    )


def _sides(masks: Sequence[RunLengthMask]) -> NDArray[np.float64]:
    """[N, 4] left, right, top and bottom of the masks' boxes, between two pixels each."""
    boxes = [(mask.x, mask.x + mask.width, mask.y, mask.y + mask.height) for mask in masks]
    return np.array(boxes).reshape(-1, 4) - 0.5


def _foot_column(mask: RunLengthMask) -> float:
    """Middle column of the lowest rows, from their runs alone."""
    rows, width = max(1, round(mask.height * _FOOT_ROWS)), mask.width
    # Mostly a row has one run inside and one outside.
    counts = mask.counts[-2 * rows - 2 :].tolist()
    if sum(counts) < rows * width:
        counts = mask.counts.tolist()
    inside = len(mask.counts) % 2 == 0
    first, end = (mask.height - rows) * width, mask.height * width
    left, right = width, -1
    for count in reversed(counts):
        start = end - count
        if inside and count:
            row, begin = divmod(start if start > first else first, width)
            last = end - 1 - row * width
            # A run that goes on in the next row reaches the box's sides.
            if last >= width:
                begin, last = 0, width - 1
            if begin < left:
                left = begin
            if last > right:
                right = last
        end, inside = start, not inside
        if end <= first:
            break
    return mask.x + (left + right) / 2
