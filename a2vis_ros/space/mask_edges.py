"""The sides of an amodal mask's box, and how sure each is. No ROS."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..planner.mask_codec import RunLengthMask

_FOOT_ROWS = 0.03
"""Share of a mask's height whose lowest rows are its foot."""


class Edge(NamedTuple):
    """One side of a box."""

    position: float
    """Column or row in pixels, between two pixels: the left side of column 3 is 2.5."""
    noise: float
    """Standard deviation of what differs from frame to frame, in pixels."""
    bias: float
    """Standard deviation of what stays the same for many frames, in pixels: how wrong the network's guess is."""
    cut: bool
    """The image ends here, and the object may go on."""


class MaskEdges(NamedTuple):
    """Edges of an object's full shape in the image."""

    left: Edge
    right: Edge
    top: Edge
    bottom: Edge


class FrameEdges(NamedTuple):
    """Edges of the full shapes of N objects in one frame, in the order of `MaskEdges`; see `Edge`."""

    position: NDArray[np.float64]
    """[N, 4]"""
    noise: NDArray[np.float64]
    """[N, 4]"""
    bias: NDArray[np.float64]
    """[N, 4]"""
    cut: NDArray[np.bool_]
    """[N, 4]"""
    foot_u: NDArray[np.float64]
    """[N] column of the middle of the lowest rows."""

    def of_each(self) -> Iterator[MaskEdges]:
        """Return the edges object by object."""
        for sides in zip(*(values.tolist() for values in self[:4]), strict=True):
            yield MaskEdges(*map(Edge, *sides))


def mask_edges(
    masks: Sequence[tuple[RunLengthMask, RunLengthMask]],
    height: int,
    width: int,
    *,
    pixel_std: float,
    hidden_std: float,
) -> FrameEdges:
    """The sides of amodal masks; of the visible one where there is no amodal.

    A side that is seen is as sure as a pixel is. One that is hidden was guessed by the network, the further behind the
    occluder the less surely.

    Args:
        masks: visible mask and amodal mask of each object in one frame; not both of them are empty.
        height: rows of the image.
        width: columns of the image.
        pixel_std: standard deviation of a side that is seen, in pixels.
        hidden_std: standard deviation of a hidden side, as a share of its distance from the visible mask.
    """
    whole = [amodal if amodal.area else visible for visible, amodal in masks]
    seen = [visible if visible.area else amodal for visible, amodal in masks]
    position = _sides(whole)
    guess = hidden_std * np.abs(position - _sides(seen))
    image = (-0.5, width - 0.5, -0.5, height - 0.5)
    return FrameEdges(
        position=position,
        noise=np.hypot(pixel_std, guess),
        bias=guess,
        cut=np.abs(position - image) < 0.5,
        foot_u=np.array([_foot_column(mask) for mask in whole]),
    )


def _sides(masks: Sequence[RunLengthMask]) -> NDArray[np.float64]:
    """[N, 4] left, right, top and bottom of the masks' boxes, between two pixels each."""
    boxes = [(mask.x, mask.x + mask.width, mask.y, mask.y + mask.height) for mask in masks]
    return np.array(boxes).reshape(-1, 4) - 0.5


def _foot_column(mask: RunLengthMask) -> float:
    """Middle column of the lowest rows. Their runs alone are looked at, from the last one upwards."""
    first = (mask.height - max(1, round(mask.height * _FOOT_ROWS))) * mask.width
    left, right, end = mask.width, -1, mask.height * mask.width
    for index in range(len(mask.counts) - 1, -1, -1):
        start = end - int(mask.counts[index])
        # Every second run is inside; one that goes on in the next row reaches the box's side.
        if index % 2 and end > start:
            begin, last = max(start, first), end - 1
            wraps = begin // mask.width != last // mask.width
            left = min(left, 0 if wraps else begin % mask.width)
            right = max(right, mask.width - 1 if wraps else last % mask.width)
        end = start
        if end <= first:
            break
    return mask.x + (left + right) / 2
