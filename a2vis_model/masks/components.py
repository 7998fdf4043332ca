"""Connected parts of masks, for removing specks: networks predict some, and a mask with specks has no useful box."""

import numpy as np
from numpy.typing import NDArray

from ..placement import Placement
from .run_lengths import Segments


def large_parts(segments: Segments, place: Placement, slots: int | None, least: float) -> NDArray[np.bool_]:
    """Mark the segments that belong to large parts of their masks; pixels that touch, also by a corner, are one part.

    A part is large if it has at least the share `least` of the pixels of its mask's largest. Where masks come in pairs,
    the amodal part that holds the largest visible part is kept too, and visible parts outside the kept amodal parts
    are removed: the amodal mask still contains the visible one, and an object with visible pixels keeps some.

    Args:
        segments: segments of all masks of a frame.
        place: where the image lies in the input.
        slots: visible masks, numbered below this, come with amodal ones, which are numbered this much higher and
            contain them; None where masks do not come in pairs.
        least: share in (0, 1].

    Returns:
        bool [N].
    """
    if not len(segments.mask):
        return np.zeros(0, np.bool_)
    part, first = _parts(segments, place)
    pixels = np.bincount(part, weights=segments.right - segments.left)
    mask = segments.mask[first]
    largest = np.zeros(mask.max() + 1)
    np.maximum.at(largest, mask, pixels)
    kept = pixels >= least * largest[mask]
    if slots is not None:
        # Any segment tells in which amodal part a visible part lies, because parts are connected.
        visible = np.flatnonzero(mask < slots)
        around = part[_containing(segments, place, first[visible], slots)]
        kept[around[pixels[visible] == largest[mask[visible]]]] = True
        kept[visible] &= kept[around]
    return kept[part]


def _parts(segments: Segments, place: Placement) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number [N] of each segment's part, counted over all masks, and the first segment of each part."""
    start, stop = _positions(segments, place)
    stride = place.image_width + 1
    # A segment touches, in the next row, all segments from the first that does not end before its left corner to the
    # last that does not begin after its right corner.
    low = np.searchsorted(stop, start + stride)
    count = (np.searchsorted(start, stop + stride, side="right") - low).clip(min=0)
    # Most segments touch the very next one, and all do in a convex mask: such chains are found without a search.
    following = np.arange(1, len(start) + 1)
    linked = (low <= following) & (following < low + count)
    chain_starts = np.append(0, following[:-1][~linked[:-1]])
    chain = np.repeat(np.arange(len(chain_starts)), np.diff(chain_starts, append=len(start)))
    others = np.flatnonzero(count > linked)
    low, count = low[others], count[others]
    lower = np.arange(count.sum()) + np.repeat(low - (np.cumsum(count) - count), count)
    label = lowest_connected(len(chain_starts), chain[np.repeat(others, count)], chain[lower])
    first = label == np.arange(len(label))
    return (np.cumsum(first) - 1)[label][chain], chain_starts[first]


def lowest_connected(nodes: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each node of a graph, int64 [nodes], the lowest node that it is connected with.

    Args:
        nodes: number of nodes.
        a: one end of each edge, [E].
        b: the other end, [E].
    """
    label = np.arange(nodes)
    while len(a):
        # Every root with an edge to a lower one follows the lowest of these, and then every node its root.
        np.minimum.at(label, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root := label[label], label):
            label = root
        a, b = label[a], label[b]
        apart = a != b
        a, b = a[apart], b[apart]
    return label


def _containing(segments: Segments, place: Placement, index: NDArray[np.int64], slots: int) -> NDArray[np.int64]:
    """Return the segments of amodal masks in which segments of visible masks lie."""
    start, _ = _positions(segments, place)
    moved = start[index] + slots * _plane(place)
    return np.searchsorted(start, moved, side="right") - 1


def _positions(segments: Segments, place: Placement) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where segments start and stop if all masks are stacked vertically, with an empty row between them."""
    line = segments.mask * _plane(place) + segments.row * (place.image_width + 1)
    return line + segments.left, line + segments.right


def _plane(place: Placement) -> int:
    return (place.image_height + 1) * (place.image_width + 1)
