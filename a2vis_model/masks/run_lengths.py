"""Masks of a frame on the host: from the edges that `outlines.trace` found to run lengths, many masks at a time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..placement import Placement
from .region import RegionMask


class Segments(NamedTuple):
    """Horizontal segments of masks: adjacent pixels in a row, int64 [N] each, ordered by mask, row and column."""

    mask: NDArray[np.int64]
    """Number of the mask."""
    row: NDArray[np.int64]
    left: NDArray[np.int64]
    """First column."""
    right: NDArray[np.int64]
    """First column that is outside again."""

    @classmethod
    def between(cls, mask: NDArray[np.int32], position: NDArray[np.int32], place: Placement) -> "Segments":
        """Make the segments between edges.

        Args:
            mask: mask of each edge, as in `outlines.Edges`.
            position: position of each edge, as in `outlines.Edges`.
            place: where the image lies in the input.
        """
        stride = place.image_width + 1
        plane = place.image_height * stride
        # The edges arrive nearly in order, which a stable sort exploits.
        edges = np.sort(mask * np.int64(plane) + position, kind="stable")
        # Between two pixels the sign may change twice, where pixels are wider than cells: such pairs cancel.
        different = _changes(edges)
        edges = edges[different[(np.diff(different, append=len(edges)) & 1).astype(np.bool_)]]
        start, stop = edges[::2], edges[1::2]
        owner = start // plane
        row, left = np.divmod(start - owner * plane, stride)
        return cls(owner, row, left, left + (stop - start))

    def choose(self, kept: NDArray[np.bool_]) -> "Segments":
        """Return some of the segments."""
        return Segments(*(values[kept] for values in self))


class MaskRuns:
    """Masks as run lengths.

    Args:
        segments: segments of all masks.
        place: where the image lies in the input.
    """

    def __init__(self, segments: Segments, place: Placement) -> None:
        self._place = place
        owner, row, left, right = segments
        # From here on arrays have one entry per mask, for masks that have any pixel.
        segment = _changes(owner)
        self._index = {mask: i for i, mask in enumerate(owner[segment].tolist())}
        if not self._index:
            return
        last = np.append(segment[1:], len(owner)) - 1
        self._x, self._y = np.minimum.reduceat(left, segment), row[segment]
        self._width = np.maximum.reduceat(right, segment) - self._x
        self._height = row[last] - self._y + 1
        # Segments that meet, at the right end of a row and the left end of the next, are one run.
        which = np.repeat(np.arange(len(segment)), last - segment + 1)
        line = (row - self._y[which]) * self._width[which] - self._x[which]
        start, stop = line + left, line + right
        apart = np.ones(len(owner) + 1, np.bool_)
        apart[1:-1] = (start[1:] != stop[:-1]) | (which[1:] != which[:-1])
        bounds = np.stack((start, stop), axis=1)[np.stack((apart[:-1], apart[1:]), axis=1)]
        kept = np.append(0, np.cumsum(apart[:-1].astype(np.int64) + apart[1:]))
        first, end = kept[segment], kept[last + 1]
        # Each mask's runs continue to the end of its box, unless the last pixel is inside.
        size = self._width * self._height
        number = np.arange(len(segment))
        self._from, self._to = first + number, end + number + (bounds[end - 1] < size)
        runs = np.diff(np.insert(bounds, end, size), prepend=0)
        runs[self._from] = bounds[first]
        self._runs = runs.astype(np.uint32)

    def mask(self, index: int) -> RegionMask:
        """Return the mask of that number; an empty one where it has no edges."""
        place, i = self._place, self._index.get(index)
        if i is None:
            return RegionMask.empty(place.image_height, place.image_width)
        return RegionMask(
            int(self._x[i]),
            int(self._y[i]),
            int(self._width[i]),
            int(self._height[i]),
            self._runs[self._from[i] : self._to[i]],
            place.image_height,
            place.image_width,
        )


def _changes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices at which runs of equal values begin."""
    begins = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return np.flatnonzero(begins)
