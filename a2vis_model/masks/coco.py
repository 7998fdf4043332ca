"""COCO's run lengths: the one codec of data, evaluation, rendering and bags, which checks them before pycocotools.

COCO counts pixels column by column over the image and writes the runs as text. pycocotools reads and writes out of
bounds when the runs of a broken record do not add up to the image, so data from outside are decoded here, which also
takes a third of its time. Computations on run lengths (areas, overlaps, unions) are left to pycocotools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import RecordError
from ..extras import optional_packages
from .box_runs import RunLengthMask

with optional_packages():
    from pycocotools import mask as _mask

# The type stubs of pycocotools expect their own private dictionary type.
_coco: Any = _mask

Rle = dict[str, Any]
"""Mask `{"size": [height, width], "counts": bytes or str}`: compressed run lengths that cover the image exactly."""


@dataclass(frozen=True, slots=True)
class RleMask:
    """COCO run lengths from outside, column by column: compressed (bytes) or as plain numbers."""

    height: int
    width: int
    counts: bytes | Sequence[int]

    def runs(self) -> NDArray[np.int64]:
        """Return lengths of the runs outside, inside, outside, ... the region; they cover the image exactly.

        Raises:
            RecordError: they do not, or `counts` are no run lengths.
        """
        runs = _inflate(self.counts) if isinstance(self.counts, bytes) else _plain(self.counts)
        pixels = self.height * self.width
        # Each run is checked before their sum, which could overflow to the expected number.
        if runs.min() < 0 or runs.max() > pixels or runs.sum() != pixels:
            raise RecordError(f"broken RLE: its runs do not cover {self.width}x{self.height} pixels")
        return runs

    def decode(self) -> NDArray[np.bool_]:
        """Decode the region, bool [H, W].

        Raises:
            RecordError: the run lengths are broken.
        """
        runs = self.runs()
        inside = np.zeros(len(runs), np.uint8)
        inside[1::2] = 1
        columns = np.repeat(inside, runs).reshape(self.width, self.height)
        return cv2.transpose(columns).reshape(self.height, self.width).view(np.bool_)

    def area(self) -> int:
        """Count the pixels in the region.

        Raises:
            RecordError: the run lengths are broken.
        """
        return int(self.runs()[1::2].sum())


def encode(pixels: NDArray[np.bool_]) -> Rle:
    """Encode a bool mask [H, W]; `counts` are bytes."""
    rle: Rle = _coco.encode(np.asfortranarray(pixels, np.uint8))
    return rle


def encode_box(mask: NDArray[np.bool_], *, top: int, left: int, height: int, width: int) -> Rle:
    """Encode a mask that is known inside a box, without building the image; `counts` are str, as in JSON.

    Args:
        mask: content of the box, bool [h, w].
        top: first row of the box in the image.
        left: first column of the box in the image.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    rows, columns = mask.shape
    # One empty cell below every column keeps the runs of neighbouring columns apart inside the box.
    padded = np.zeros((columns, rows + 1), np.int8)
    padded[:, :rows] = mask.T
    column, row = np.divmod(np.flatnonzero(np.diff(padded.ravel(), prepend=np.int8(0))), rows + 1)
    edges = (left + column) * height + top + row
    # A box as high as the image has runs that touch: the end of one is the start of the next.
    touching = np.flatnonzero(edges[1:-1:2] == edges[2::2])
    edges = np.delete(edges, np.concatenate((2 * touching + 1, 2 * touching + 2)))
    total = height * width
    if edges.size == 0 or edges[-1] != total:
        edges = np.append(edges, total)
    return as_text(compress(np.diff(edges, prepend=0).tolist(), height, width))


def encode_runs(mask: RunLengthMask, height: int, width: int) -> Rle:
    """Encode a mask in an image of this size; `counts` are str, as in JSON.

    Raises:
        MaskError: the mask's runs, its box and the image do not fit each other.
    """
    mask.check_place(height, width)
    return encode_box(mask.pixels, top=mask.y, left=mask.x, height=height, width=width)


def compress(counts: list[int], height: int, width: int) -> Rle:
    """Compress plain run lengths that were checked before."""
    rle: Rle = _coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return rle


def draw(polygons: Sequence[Sequence[float]], height: int, width: int) -> RleMask:
    """Return the union of polygons x0, y0, x1, y1, ... in pixels, each checked before to have at least 3 points."""
    merged = _coco.merge(_coco.frPyObjects(list(polygons), height, width))
    return RleMask(height, width, as_bytes(merged["counts"]))


@lru_cache(maxsize=64)
def empty_counts(height: int, width: int) -> str:
    """Return the compressed run length of an empty image."""
    return str(encode_box(np.zeros((1, 1), np.bool_), top=0, left=0, height=height, width=width)["counts"])


def empty(height: int, width: int) -> Rle:
    """Return the mask without any pixel, which FISHBOWL files hold instead of null."""
    return {"size": [height, width], "counts": empty_counts(height, width)}


def decode(mask: Rle) -> NDArray[np.bool_]:
    """Decode a mask, bool [H, W].

    Raises:
        RecordError: it is broken.
    """
    height, width = mask["size"]
    return RleMask(height, width, as_bytes(mask["counts"])).decode()


def as_text(mask: Rle) -> Rle:
    """Return the mask with `counts` as JSON holds them."""
    counts = mask["counts"]
    return {"size": mask["size"], "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}


def as_bytes(counts: str | bytes) -> bytes:
    """Return compressed counts as pycocotools gives them."""
    return counts.encode() if isinstance(counts, str) else counts


def area(mask: Rle) -> int:
    """Count the pixels of a mask."""
    return int(_coco.area(mask))


def areas(masks: Sequence[Rle]) -> NDArray[np.int64]:
    """Count the pixels [n] of masks."""
    return np.asarray(_coco.area(list(masks)), np.int64)


def boxes(masks: Sequence[Rle]) -> NDArray[np.float64]:
    """Compute boxes [n, 4] (left, top, width, height) in pixels; all 0 for an empty mask."""
    return np.asarray(_coco.toBbox(list(masks)), np.float64)


def iou(first: Sequence[Rle], second: Sequence[Rle], *, over_first: bool = False) -> NDArray[np.float64]:
    """Compute the overlap [n, m]: common pixels over the union, or over the first mask; 0 where there are none."""
    if not first or not second:
        return np.zeros((len(first), len(second)))
    return np.nan_to_num(np.asarray(_coco.iou(list(first), list(second), [over_first] * len(second)), np.float64))


def union(masks: Sequence[Rle]) -> Rle:
    """Return the union of masks."""
    rle: Rle = _coco.merge(list(masks))
    return rle


def intersection(masks: Sequence[Rle]) -> Rle:
    """Return the intersection of masks."""
    rle: Rle = _coco.merge(list(masks), True)
    return rle


def first_broken(counts: Sequence[bytes], pixels: int) -> int | None:
    """Find the first compressed run lengths that do not cover an image of `pixels` exactly.

    The rule is that of `RleMask.runs`; this form checks the many masks of a track at once, in a thirtieth of the time.
    """
    if not counts:
        return None
    lengths = np.array([len(part) for part in counts])
    try:
        numbers, ends = _numbers(b"".join(counts))
    except RecordError:
        return _one_by_one(counts, pixels)
    # From the fourth number on, a number is the difference to the one two places before it in the same mask.
    stops = np.cumsum(lengths)
    if not lengths.all() or not np.isin(stops - 1, ends).all():
        return _one_by_one(counts, pixels)
    first = np.searchsorted(ends, stops - lengths)
    mask = np.repeat(np.arange(len(counts)), np.diff(np.append(first, len(numbers))))
    place = np.arange(len(numbers)) - first[mask]
    runs = np.where(place == 0, numbers, 0)
    for chosen in (place % 2 == 1, (place % 2 == 0) & (place > 0)):
        total = np.where(chosen, numbers, 0).cumsum()
        before = np.concatenate(([0], total))[first]
        runs += np.where(chosen, total - before[mask], 0)
    wrong = np.logical_or.reduceat((runs < 0) | (runs > pixels), first)
    wrong |= np.add.reduceat(np.clip(runs, 0, pixels), first) != pixels
    return int(wrong.argmax()) if wrong.any() else None


def _one_by_one(counts: Sequence[bytes], pixels: int) -> int | None:
    return next((index for index, part in enumerate(counts) if _is_broken(part, pixels)), None)


def _is_broken(counts: bytes, pixels: int) -> bool:
    try:
        RleMask(1, pixels, counts).runs()
    except RecordError:
        return True
    return False


def _plain(counts: Sequence[int]) -> NDArray[np.int64]:
    try:
        runs = np.asarray(counts)
    except ValueError:
        raise RecordError("broken RLE: counts are not numbers") from None
    if runs.ndim != 1 or runs.dtype.kind != "i":
        raise RecordError("broken RLE: counts are not whole numbers")
    return runs.astype(np.int64, copy=False)


def _inflate(counts: bytes) -> NDArray[np.int64]:
    """Undo COCO's compression: from the fourth number on each is the difference to the one two places earlier."""
    runs, _ = _numbers(counts)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs


def _numbers(text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read the numbers in COCO's text, and where each one ends in it.

    A number is written in groups of five bits, the lowest first, as characters from '0' on; a sixth bit says
    that more follow, and the highest bit of the last group is the sign.
    """
    groups = np.frombuffer(text, np.uint8).astype(np.int64) - ord("0")
    if not len(groups) or groups.min() < 0 or groups.max() > 63:
        raise RecordError("broken RLE: characters that are not part of one")
    ends = np.flatnonzero(groups & 32 == 0)
    if not len(ends) or ends[-1] != len(groups) - 1:
        raise RecordError("broken RLE: ends inside a number")
    starts = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - starts + 1
    if sizes.max() > 7:
        raise RecordError("broken RLE: a number beyond all sizes")
    shifts = 5 * (np.arange(len(groups)) - np.repeat(starts, sizes))
    numbers: NDArray[np.int64] = np.add.reduceat((groups & 31) << shifts, starts)
    numbers -= np.where(groups[ends] & 16, np.int64(1) << (5 * sizes), 0)
    return numbers, ends
