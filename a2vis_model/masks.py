"""Masks in image pixels: from the network's logits to cropped bitmaps and COCO run lengths."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from .preprocessing import Placement

LOGIT_STRIDE = 4
"""Input pixels that a cell of the mask logits covers."""


@dataclass(frozen=True)
class RegionMask:
    """A binary mask, kept only inside its tight bounding box. An empty mask has a 0 x 0 box."""

    image_height: int
    image_width: int
    x: int
    """Left column of the box in image pixels."""
    y: int
    """Top row of the box in image pixels."""
    pixels: NDArray[np.bool_]
    """bool [h, w], the content of the box; each outer row and column holds a true pixel."""

    @classmethod
    def empty(cls, image_height: int, image_width: int) -> "RegionMask":
        """A mask without any pixel."""
        return cls(image_height, image_width, 0, 0, np.zeros((0, 0), np.bool_))

    @classmethod
    def crop(cls, pixels: NDArray[np.bool_], *, x: int, y: int, image_height: int, image_width: int) -> "RegionMask":
        """The mask whose content around (x, y) is `pixels`, with a margin of any size."""
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        if not len(rows):
            return cls.empty(image_height, image_width)
        tight = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return cls(image_height, image_width, x + int(columns[0]), y + int(rows[0]), np.ascontiguousarray(tight))

    @property
    def area(self) -> int:
        """Number of true pixels."""
        return int(np.count_nonzero(self.pixels))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x, y, width, height) in image pixels."""
        height, width = self.pixels.shape
        return self.x, self.y, width, height

    def full(self) -> NDArray[np.bool_]:
        """The mask at the image's size, bool [image_height, image_width]."""
        image = np.zeros((self.image_height, self.image_width), np.bool_)
        height, width = self.pixels.shape
        image[self.y : self.y + height, self.x : self.x + width] = self.pixels
        return image

    def union(self, other: "RegionMask") -> "RegionMask":
        """Pixels of either mask; both are of the same image."""
        parts = [mask for mask in (self, other) if mask.pixels.size]
        if len(parts) < 2:
            return parts[0] if parts else self
        left, top = min(m.x for m in parts), min(m.y for m in parts)
        right = max(m.x + m.pixels.shape[1] for m in parts)
        bottom = max(m.y + m.pixels.shape[0] for m in parts)
        pixels = np.zeros((bottom - top, right - left), np.bool_)
        for m in parts:
            height, width = m.pixels.shape
            pixels[m.y - top : m.y - top + height, m.x - left : m.x - left + width] |= m.pixels
        return RegionMask(self.image_height, self.image_width, left, top, pixels)

    def coco_rle(self) -> dict[str, Any]:
        """COCO's compressed run lengths: {"size": [height, width], "counts": str}."""
        counts: Any = coco_mask.encode(np.asfortranarray(self.full(), np.uint8))["counts"]
        return {"size": [self.image_height, self.image_width], "counts": counts.decode("ascii")}


def logits_to_mask(logits: NDArray[np.float32], place: Placement) -> RegionMask:
    """Interpolate one mask's logits to the image and keep what is positive.

    Bilinear, cell centres on cell centres, as `torch.nn.functional.interpolate` without `align_corners`. Only
    the neighbourhood of positive cells can become positive, so only that is computed.

    Args:
        logits: float32 [h, w] over the network's input, stride 4.
        place: where the image lies in the input.
    """
    positive = logits > 0
    rows, columns = np.flatnonzero(positive.any(axis=1)), np.flatnonzero(positive.any(axis=0))
    if not len(rows):
        return RegionMask.empty(place.image_height, place.image_width)
    y, low_y, fraction_y = _cells_between(rows, len(logits), place.image_height, place.scaled_height)
    x, low_x, fraction_x = _cells_between(columns, logits.shape[1], place.image_width, place.scaled_width)
    top, bottom = logits[low_y], logits[np.minimum(low_y + 1, len(logits) - 1)]
    lines = top + (bottom - top) * fraction_y[:, None]
    left, right = lines[:, low_x], lines[:, np.minimum(low_x + 1, logits.shape[1] - 1)]
    pixels = left + (right - left) * fraction_x > 0
    return RegionMask.crop(pixels, x=x, y=y, image_height=place.image_height, image_width=place.image_width)


def _cells_between(
    positive: NDArray[np.int64], cells: int, image_size: int, scaled_size: int
) -> tuple[int, NDArray[np.int64], NDArray[np.float32]]:
    """Where the pixels that positive cells can reach lie between cells, along one axis.

    Returns:
        the first of these pixels, and for each the cell before it and how far it is towards the next, in [0, 1].
    """
    cell_per_pixel = scaled_size / image_size / LOGIT_STRIDE
    # Pixel i has its centre at (i + 1/2) · cell_per_pixel - 1/2 cells; those nearer than one cell count.
    start = max(math.ceil((positive[0] - 0.5) / cell_per_pixel - 0.5), 0)
    stop = min(math.floor((positive[-1] + 1.5) / cell_per_pixel - 0.5) + 1, image_size)
    position = ((np.arange(start, stop) + 0.5) * cell_per_pixel - 0.5).clip(0, cells - 1)
    low = position.astype(np.int64)
    return start, low, (position - low).astype(np.float32)
