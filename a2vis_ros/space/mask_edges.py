"""The sides of an amodal mask's box, and how sure each is. No ROS."""

import math
from typing import NamedTuple

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
    foot_u: float
    """Column of the middle of the lowest rows."""


def mask_edges(
    visible: RunLengthMask,
    amodal: RunLengthMask,
    height: int,
    width: int,
    *,
    pixel_std: float,
    hidden_std: float,
) -> MaskEdges:
    """The sides of the amodal mask; of the visible one where there is no amodal.

    A side that is seen is as sure as a pixel is. One that is hidden was guessed by the network, the further behind the
    occluder the less surely.

    Args:
        visible: visible mask of one object in one frame.
        amodal: its amodal mask; not both are empty.
        height: rows of the image.
        width: columns of the image.
        pixel_std: standard deviation of a side that is seen, in pixels.
        hidden_std: standard deviation of a hidden side, as a share of its distance from the visible mask.
    """
    whole = amodal if amodal.area else visible
    seen = visible if visible.area else whole

    def edge(position: float, seen_position: float, end: float) -> Edge:
        guess = hidden_std * abs(position - seen_position)
        return Edge(position, math.hypot(pixel_std, guess), guess, cut=abs(position - end) < 0.5)

    x0, y0 = whole.x - 0.5, whole.y - 0.5
    x1, y1 = x0 + whole.width, y0 + whole.height
    seen_x0, seen_y0 = seen.x - 0.5, seen.y - 0.5
    return MaskEdges(
        left=edge(x0, seen_x0, -0.5),
        right=edge(x1, seen_x0 + seen.width, width - 0.5),
        top=edge(y0, seen_y0, -0.5),
        bottom=edge(y1, seen_y0 + seen.height, height - 0.5),
        foot_u=_foot_column(whole),
    )


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
