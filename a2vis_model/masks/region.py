"""Masks in image pixels: from the network's logits to run lengths inside a box, bitmaps and COCO run lengths."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..placement import Placement
from .box_runs import RunLengthMask, encode_image

LOGIT_STRIDE = 4
"""Number of input pixels along each axis that a cell of the mask logits covers."""


@dataclass(frozen=True)
class RegionMask(RunLengthMask):
    """A mask that knows the size of its image."""

    image_height: int
    image_width: int

    @classmethod
    def empty(cls, image_height: int, image_width: int) -> "RegionMask":  # type: ignore[override]
        """A mask without any pixel."""
        return cls.of(RunLengthMask.empty(), image_height, image_width)

    @classmethod
    def of(cls, mask: RunLengthMask, image_height: int, image_width: int) -> "RegionMask":
        """A mask of an image of that size."""
        return cls(mask.x, mask.y, mask.width, mask.height, mask.counts, image_height, image_width)

    @classmethod
    def crop(cls, pixels: NDArray[np.bool_], *, x: int, y: int, image_height: int, image_width: int) -> "RegionMask":
        """The mask whose content around (x, y) is `pixels`, with a margin of any size."""
        return cls.of(encode_image(pixels, x=x, y=y), image_height, image_width)

    def full(self) -> NDArray[np.bool_]:
        """The mask at the image's size, bool [image_height, image_width]."""
        return self.placed(self.image_height, self.image_width)

    def union(self, other: "RegionMask") -> "RegionMask":
        """Return the pixels of either mask; both must be of the same image."""
        parts = [mask for mask in (self, other) if mask.width]
        if len(parts) < 2:
            return parts[0] if parts else self
        left, top = min(m.x for m in parts), min(m.y for m in parts)
        right, bottom = max(m.x + m.width for m in parts), max(m.y + m.height for m in parts)
        pixels = np.zeros((bottom - top, right - left), np.bool_)
        for m in parts:
            pixels[m.y - top : m.y - top + m.height, m.x - left : m.x - left + m.width] |= m.pixels
        return RegionMask.crop(pixels, x=left, y=top, image_height=self.image_height, image_width=self.image_width)

    def moved(self, rows: int, columns: int) -> "RegionMask":
        """Return the mask so many pixels further down and to the right; what leaves the image is lost."""
        if not self.width:
            return self
        x, y = self.x + columns, self.y + rows
        left, top = min(max(-x, 0), self.width), min(max(-y, 0), self.height)
        right, bottom = (
            max(min(size, end - start), 0)
            for size, start, end in ((self.width, x, self.image_width), (self.height, y, self.image_height))
        )
        if (left, top, right, bottom) == (0, 0, self.width, self.height):
            return replace(self, x=x, y=y)
        return RegionMask.crop(
            self.pixels[top:bottom, left:right],
            x=x + left,
            y=y + top,
            image_height=self.image_height,
            image_width=self.image_width,
        )

    def coco_rle(self) -> dict[str, Any]:
        """COCO's compressed run lengths: {"size": [height, width], "counts": str}."""
        # Imported here, since what runs on a robot needs no pycocotools.
        from .coco import encode_runs

        return encode_runs(self, self.image_height, self.image_width)


@dataclass(frozen=True)
class PixelAxis:
    """Position of the image's pixels between the cells of the logits, along one axis."""

    low: NDArray[np.int64]
    """Cell at or before each pixel, [pixels]."""
    fraction: NDArray[np.float32]
    """Distance from that cell to the pixel, [pixels] in [0, 1], in cells."""
    first: NDArray[np.int64]
    """First pixel at or after each cell, [cells + 1]; the last entry is the number of pixels."""

    @staticmethod
    @lru_cache(maxsize=64)
    def of(cells: int, image_size: int, scaled_size: int) -> "PixelAxis":
        """Make the axis for `cells` cells over the input, of which the image fills `scaled_size` pixels."""
        position = (np.arange(image_size) + 0.5) * (scaled_size / image_size / LOGIT_STRIDE) - 0.5
        position = position.clip(0, cells - 1)
        low = position.astype(np.int64)
        fraction = (position - low).astype(np.float32)
        return PixelAxis(low, fraction, np.searchsorted(low, np.arange(cells + 1)))


def logits_to_mask(logits: NDArray[np.float32], place: Placement) -> RegionMask:
    """Interpolate one mask's logits to the image and keep what is positive.

    Interpolation is bilinear with cell centres on cell centres, as `torch.nn.functional.interpolate` without
    `align_corners`: first along columns, then along rows. Only the neighbourhood of positive cells can become positive,
    so only that is computed. `outlines.trace` gives the same masks, many at a time.

    Args:
        logits: float32 [h, w] over the network's input, stride 4.
        place: where the image lies in the input.
    """
    positive = logits > 0
    rows, columns = np.flatnonzero(positive.any(axis=1)), np.flatnonzero(positive.any(axis=0))
    if not len(rows):
        return RegionMask.empty(place.image_height, place.image_width)
    axis_y = PixelAxis.of(len(logits), place.image_height, place.scaled_height)
    axis_x = PixelAxis.of(logits.shape[1], place.image_width, place.scaled_width)
    y, x = _reach(axis_y, rows), _reach(axis_x, columns)
    low, fraction = axis_y.low[y], axis_y.fraction[y, None]
    lines = logits[low] * (1 - fraction) + logits[np.minimum(low + 1, len(logits) - 1)] * fraction
    low, fraction = axis_x.low[x], axis_x.fraction[x]
    pixels = lines[:, low] * (1 - fraction) + lines[:, np.minimum(low + 1, logits.shape[1] - 1)] * fraction > 0
    return RegionMask.crop(pixels, x=x.start, y=y.start, image_height=place.image_height, image_width=place.image_width)


def _reach(axis: PixelAxis, positive: NDArray[np.int64]) -> slice:
    """Return the pixels that positive cells, ascending, can make positive."""
    return slice(int(axis.first[max(positive[0] - 1, 0)]), int(axis.first[positive[-1] + 1]))
