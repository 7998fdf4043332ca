"""Masks as annotation files hold them: decoded when asked for, and checked before anything decodes them."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import RecordError
from ..masks.coco import RleMask, draw, empty_counts

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
        return draw([self._checked(ring) for ring in self.rings], self.height, self.width)

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
        return None if counts == empty_counts(height, width) else RleMask(height, width, counts.encode())
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
