"""Masks as annotation files hold them: decoded on demand, and checked before anything decodes them.

COCO run lengths are decoded here rather than by pycocotools: it reads and writes out of bounds when the runs of a
broken record do not add up to the frame, and takes three times as long.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from .problems import RecordError

BoolMask = NDArray[np.bool_]


class EmptyRingError(RecordError):
    """A polygon has no points, or there is no polygon: the frame has no mask where there should be one."""


class Mask(Protocol):
    """The region of one object in one frame. Both methods raise RecordError when it is broken."""

    def decode(self) -> BoolMask:
        """Decode to a bool mask [H, W]."""

    def area(self) -> int:
        """Count the pixels in the region."""


@dataclass(frozen=True, slots=True)
class RleMask:
    """COCO run lengths, column by column: compressed (bytes) or as plain numbers."""

    height: int
    width: int
    counts: bytes | Sequence[int]

    def runs(self) -> NDArray[np.int64]:
        """Return lengths of the runs outside, inside, outside, ... the region; they cover the frame exactly."""
        runs = _inflate(self.counts) if isinstance(self.counts, bytes) else _plain(self.counts)
        pixels = self.height * self.width
        # Each run is checked before their sum, which could overflow to the expected number.
        if runs.min() < 0 or runs.max() > pixels or runs.sum() != pixels:
            raise RecordError(f"broken RLE: its runs do not cover {self.width}x{self.height} pixels")
        return runs

    def decode(self) -> BoolMask:
        """Decode to a bool mask [H, W]."""
        runs = self.runs()
        inside = np.zeros(len(runs), np.uint8)
        inside[1::2] = 1
        columns = np.repeat(inside, runs).reshape(self.width, self.height)
        return cv2.transpose(columns).reshape(self.height, self.width).view(np.bool_)

    def area(self) -> int:
        """Count the pixels in the region."""
        return int(self.runs()[1::2].sum())


@dataclass(frozen=True, slots=True)
class PolygonMask:
    """The union of polygons, each a list x0, y0, x1, y1, ... in pixels."""

    height: int
    width: int
    rings: Sequence[Any]

    def decode(self) -> BoolMask:
        """Decode to a bool mask [H, W]."""
        return self._rle().decode()

    def area(self) -> int:
        """Count the pixels in the region."""
        return self._rle().area()

    def _rle(self) -> RleMask:
        polygons: Any = [self._checked(ring) for ring in self.rings]
        merged = coco_mask.merge(coco_mask.frPyObjects(polygons, self.height, self.width))
        return RleMask(self.height, self.width, _as_bytes(merged["counts"]))

    def _checked(self, ring: object) -> list[float]:
        try:
            points = np.asarray(ring, np.float64)
        except (TypeError, ValueError, OverflowError):
            raise RecordError(f"broken polygon: {reprlib.repr(ring)}") from None
        # pycocotools reads four numbers as a box, and takes memory in proportion to the perimeter.
        reach = 10 * max(self.height, self.width)
        if points.ndim != 1 or points.size < 6 or points.size % 2 or not (np.abs(points) <= reach).all():
            raise RecordError(f"broken polygon: {reprlib.repr(ring)}")
        return [float(value) for value in points]


def parse_mask(value: object, height: int, width: int) -> Mask | None:
    """Parse a mask from its JSON value, an RLE object or polygons; None when it is an RLE of nothing."""
    if isinstance(value, list):
        if not value or [] in value:
            raise EmptyRingError(
                f"{reprlib.repr(value)} is neither an RLE nor polygons, which have points; it is taken for no mask"
            )
        # COCOA writes a single ring without the enclosing list.
        rings = value if isinstance(value[0], list) else [value]
        return PolygonMask(height, width, rings)
    if not isinstance(value, dict):
        raise RecordError(f"{reprlib.repr(value)} is neither an RLE nor polygons")
    if value.get("size") != [height, width]:
        size = reprlib.repr(value.get("size"))
        raise RecordError(f"wrong size: {size} where the frame is [{height}, {width}]")
    counts = value.get("counts")
    if isinstance(counts, str) and counts.isascii():
        compressed = counts.encode()
        return None if compressed == _empty_counts(height * width) else RleMask(height, width, compressed)
    if isinstance(counts, list):
        return RleMask(height, width, counts)
    raise RecordError(f"broken RLE: counts is {reprlib.repr(counts)}")


def parse_masks(
    kind: str,
    values: object,
    length: int,
    height: int,
    width: int,
    *,
    null_allowed: bool,
    report: Callable[[str], None],
) -> tuple[Mask | None, ...]:
    """Parse the masks of an object over a video of `length` frames.

    Args:
        kind: "visible" or "amodal", for messages.
        values: the JSON value, a list of masks.
        length: number of frames.
        height: height of a frame in pixels.
        width: width of a frame in pixels.
        null_allowed: whether null stands for an absent object.
        report: called with a message for an empty polygon, which gives no mask.
    """
    if not isinstance(values, list):
        raise RecordError(f"{kind} masks are {reprlib.repr(values)}, not a list")
    if len(values) != length:
        raise RecordError(f"{len(values)} {kind} masks for {length} frames")
    masks: list[Mask | None] = []
    for frame, value in enumerate(values):
        if value is None and not null_allowed:
            raise RecordError(f"{kind} mask of frame {frame}: is null")
        try:
            masks.append(None if value is None else parse_mask(value, height, width))
        except EmptyRingError as error:
            report(f"{kind} mask of frame {frame}: {error}")
            masks.append(None)
        except RecordError as error:
            raise RecordError(f"{kind} mask of frame {frame}: {error}") from None
    return tuple(masks)


@lru_cache(maxsize=64)
def _empty_counts(pixels: int) -> bytes:
    """Return the compressed run length of an empty frame."""
    return _as_bytes(coco_mask.encode(np.zeros((pixels, 1), np.uint8, order="F"))["counts"])


def _as_bytes(counts: str | bytes) -> bytes:
    return counts.encode() if isinstance(counts, str) else counts


def _plain(counts: Sequence[int]) -> NDArray[np.int64]:
    try:
        runs = np.asarray(counts)
    except ValueError:
        raise RecordError("broken RLE: counts are not numbers") from None
    if runs.ndim != 1 or runs.dtype.kind != "i":
        raise RecordError("broken RLE: counts are not whole numbers")
    return runs.astype(np.int64, copy=False)


def _inflate(counts: bytes) -> NDArray[np.int64]:
    """Undo COCO's compression of run lengths.

    A number is written in groups of five bits, the lowest first, as characters from '0' on; a sixth bit says
    that more follow, and the highest bit of the last group is the sign. From the fourth number on it is the
    difference to the number two places earlier.
    """
    groups = np.frombuffer(counts, np.uint8).astype(np.int64) - ord("0")
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
    runs: NDArray[np.int64] = np.add.reduceat((groups & 31) << shifts, starts)
    runs -= np.where(groups[ends] & 16, np.int64(1) << (5 * sizes), 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs
