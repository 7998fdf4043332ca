"""COCO run lengths through pycocotools.

pycocotools reads out of bounds when run lengths are broken, so they are checked where they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as _mask

from ..data.masks import RleMask
from ..data.problems import RecordError

_coco: Any = _mask

Rle = dict[str, Any]
"""Mask `{"size": [height, width], "counts": bytes}`, checked to cover the frame exactly."""


def encode(pixels: NDArray[np.bool_]) -> Rle:
    """Encode a bool mask [H, W] as run lengths."""
    rle: Rle = _coco.encode(np.asfortranarray(pixels, np.uint8))
    return rle


def decode(mask: Rle) -> NDArray[np.bool_]:
    """Decode run lengths to a bool mask [H, W]."""
    height, width = mask["size"]
    return RleMask(height, width, mask["counts"]).decode()


def compress(counts: list[int], height: int, width: int) -> Rle:
    """Compress plain run lengths that were checked before."""
    rle: Rle = _coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return rle


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
    """Find the first compressed run lengths that do not cover a frame of `pixels` exactly.

    The rule is that of `RleMask.runs`; this form checks the many masks of a track at once, in a thirtieth of the time.
    """
    if not counts:
        return None
    text = np.frombuffer(b"".join(counts), np.uint8)
    groups = text.astype(np.int64) - ord("0")
    lengths = np.array([len(part) for part in counts])
    if not lengths.all() or (groups < 0).any() or (groups > 63).any():
        return _one_by_one(counts, pixels)
    last = groups & 32 == 0  # Marks the last group of six bits of a number.
    stops = np.cumsum(lengths)
    if not last[stops - 1].all():
        return _one_by_one(counts, pixels)
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - starts + 1
    if sizes.max() > 7:
        return _one_by_one(counts, pixels)
    shifts = 5 * (np.arange(len(groups)) - np.repeat(starts, sizes))
    numbers = np.add.reduceat((groups & 31) << shifts, starts)
    numbers -= np.where(groups[ends] & 16, np.int64(1) << (5 * sizes), 0)
    # From the fourth number on, a number is the difference to the one two places before it in the same mask.
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
