"""Masks in image pixels: from the network's logits to run lengths inside a box, bitmaps and COCO run lengths."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..preprocessing import Placement

LOGIT_STRIDE = 4
"""Input pixels that a cell of the mask logits covers."""


@dataclass(frozen=True)
class RegionMask:
    """A binary mask as run lengths inside its tight bounding box. An empty mask has a 0 x 0 box at (0, 0)."""

    image_height: int
    image_width: int
    x: int
    """Left column of the box in image pixels."""
    y: int
    """Top row of the box in image pixels."""
    width: int
    height: int
    counts: NDArray[np.uint32]
    """Runs over the box's pixels, row by row: outside, inside, outside, ... The first may be 0; they add up to
    width * height."""

    @classmethod
    def empty(cls, image_height: int, image_width: int) -> "RegionMask":
        """A mask without any pixel."""
        return cls(image_height, image_width, 0, 0, 0, 0, np.zeros(0, np.uint32))

    @classmethod
    def crop(cls, pixels: NDArray[np.bool_], *, x: int, y: int, image_height: int, image_width: int) -> "RegionMask":
        """The mask whose content around (x, y) is `pixels`, with a margin of any size."""
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        if not len(rows):
            return cls.empty(image_height, image_width)
        tight = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        flat = np.ascontiguousarray(tight).ravel()
        edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        # A mask whose first pixel is inside starts with an empty run of outside.
        edges = np.concatenate(([0, 0] if flat[0] else [0], edges, [flat.size]))
        height, width = tight.shape
        counts = np.diff(edges).astype(np.uint32)
        return cls(image_height, image_width, x + int(columns[0]), y + int(rows[0]), width, height, counts)

    @cached_property
    def pixels(self) -> NDArray[np.bool_]:
        """bool [height, width], the content of the box; each outer row and column holds a true pixel."""
        inside = np.zeros(len(self.counts), np.bool_)
        inside[1::2] = True
        return np.repeat(inside, self.counts).reshape(self.height, self.width)

    @property
    def area(self) -> int:
        """Number of true pixels."""
        return int(self.counts[1::2].sum(dtype=np.int64))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x, y, width, height) in image pixels."""
        return self.x, self.y, self.width, self.height

    def full(self) -> NDArray[np.bool_]:
        """The mask at the image's size, bool [image_height, image_width]."""
        image = np.zeros((self.image_height, self.image_width), np.bool_)
        image[self.y : self.y + self.height, self.x : self.x + self.width] = self.pixels
        return image

    def union(self, other: "RegionMask") -> "RegionMask":
        """Pixels of either mask; both are of the same image."""
        parts = [mask for mask in (self, other) if mask.width]
        if len(parts) < 2:
            return parts[0] if parts else self
        left, top = min(m.x for m in parts), min(m.y for m in parts)
        right, bottom = max(m.x + m.width for m in parts), max(m.y + m.height for m in parts)
        pixels = np.zeros((bottom - top, right - left), np.bool_)
        for m in parts:
            pixels[m.y - top : m.y - top + m.height, m.x - left : m.x - left + m.width] |= m.pixels
        return RegionMask.crop(pixels, x=left, y=top, image_height=self.image_height, image_width=self.image_width)

    def coco_rle(self) -> dict[str, Any]:
        """COCO's compressed run lengths: {"size": [height, width], "counts": str}."""
        # Here alone: what runs on a robot needs no pycocotools.
        from pycocotools import mask as coco_mask

        counts: Any = coco_mask.encode(np.asfortranarray(self.full(), np.uint8))["counts"]
        return {"size": [self.image_height, self.image_width], "counts": counts.decode("ascii")}


@dataclass(frozen=True)
class PixelAxis:
    """Where the image's pixels lie between the cells of the logits, along one axis."""

    low: NDArray[np.int64]
    """[pixels] the cell at or before each pixel."""
    fraction: NDArray[np.float32]
    """[pixels] how far it is from there to the next cell, in [0, 1]."""
    first: NDArray[np.int64]
    """[cells + 1] the first pixel at or after each cell; the last is the number of pixels."""

    @staticmethod
    @lru_cache(maxsize=64)
    def of(cells: int, image_size: int, scaled_size: int) -> "PixelAxis":
        """For `cells` cells over the input, of which an image of `image_size` pixels fills `scaled_size` pixels."""
        position = (np.arange(image_size) + 0.5) * (scaled_size / image_size / LOGIT_STRIDE) - 0.5
        position = position.clip(0, cells - 1)
        low = position.astype(np.int64)
        fraction = (position - low).astype(np.float32)
        return PixelAxis(low, fraction, np.searchsorted(low, np.arange(cells + 1)))


def logits_to_mask(logits: NDArray[np.float32], place: Placement) -> RegionMask:
    """Interpolate one mask's logits to the image and keep what is positive.

    Bilinear, cell centres on cell centres, as `torch.nn.functional.interpolate` without `align_corners`: first along
    columns, then along rows. Only the neighbourhood of positive cells can become positive, so only that is computed.
    `outlines.trace` gives the same masks, many at a time.

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
    """The pixels that positive cells, ascending, can make positive."""
    return slice(int(axis.first[max(positive[0] - 1, 0)]), int(axis.first[positive[-1] + 1]))
