"""Masks as run lengths inside a tight box, as tracks and messages hold them; needs NumPy alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 2**26
"""Largest number of pixels of a message's image, and so of a mask's box (8192 x 8192).

Without this limit, a few damaged bytes could claim more than all memory.
"""

_NO_RUNS = np.zeros(2, np.uint32)
"""Runs of no pixel."""


class MaskError(ValueError):
    """The runs, the box and the image of a mask do not fit each other."""


@dataclass(frozen=True)
class RunLengthMask:
    """A binary mask inside its tight bounding box; one without any pixel has a box of 0 x 0 at (0, 0).

    `counts` are run lengths over the box's pixels, row by row: outside, inside, outside, ... The first may be 0; they
    add up to width * height.
    """

    x: int
    """Left column of the box in image pixels."""
    y: int
    """Top row of the box in image pixels."""
    width: int
    height: int
    counts: NDArray[np.uint32]

    @classmethod
    def empty(cls) -> "RunLengthMask":
        """Return a mask without any pixel."""
        return cls(0, 0, 0, 0, np.zeros(0, np.uint32))

    @cached_property
    def pixels(self) -> NDArray[np.bool_]:
        """Decode the content of the box, bool [height, width].

        Raises:
            MaskError: runs and box do not fit each other.
        """
        self.check_runs()
        inside = np.zeros(len(self.counts), np.bool_)
        inside[1::2] = True
        return np.repeat(inside, self.counts).reshape(self.height, self.width)

    @cached_property
    def area(self) -> int:
        """Number of pixels inside the mask."""
        return int(self.counts[1::2].sum(dtype=np.int64))

    @property
    def is_empty(self) -> bool:
        """Whether the mask has no pixel, by its tight box."""
        return not self.width

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Bounding box (x, y, width, height) in image pixels."""
        return self.x, self.y, self.width, self.height

    def placed(self, height: int, width: int) -> NDArray[np.bool_]:
        """Decode the mask at the image's size, bool [height, width].

        Raises:
            MaskError: its box leaves the image.
        """
        self.check_place(height, width)
        image = np.zeros((height, width), np.bool_)
        image[self.y : self.y + self.height, self.x : self.x + self.width] = self.pixels
        return image

    def check(self) -> None:
        """Check that the runs fill the box, and that its pixels fit in memory.

        Raises:
            MaskError: they do not.
        """
        self.check_runs()
        if self.width * self.height > MAX_PIXELS:
            raise MaskError(
                f"the mask's box of {self.width}x{self.height} has more than {MAX_PIXELS} pixels; it was damaged, or "
                "is of a larger image than can be handled"
            )

    def check_runs(self) -> None:
        """Check that the runs fill the box.

        Raises:
            MaskError: they do not.
        """
        total = int(self.counts.sum(dtype=np.int64))
        if min(self.x, self.y, self.width, self.height) < 0 or total != self.width * self.height:
            raise MaskError(
                f"the mask's runs cover {total} pixels, its box of {self.width}x{self.height} has "
                f"{self.width * self.height}; it was cut short or written by something else"
            )

    def check_place(self, height: int, width: int) -> None:
        """Check that the box lies inside an image of this size.

        Raises:
            MaskError: it does not.
        """
        if self.x + self.width > width or self.y + self.height > height:
            raise MaskError(
                f"the mask's box ends at ({self.x + self.width}, {self.y + self.height}), outside the {width}x{height} "
                "image; take the size from the same message"
            )

    def check_inside(self, height: int, width: int) -> None:
        """Check that the mask lies inside an image of this size, and that the image fits in memory.

        Raises:
            MaskError: it does not.
        """
        check_image(height, width)
        self.check_place(height, width)
        self.check()


class MaskSet:
    """Masks of one image whose runs are looked at together, which takes a fraction of the time of one after the other.

    Args:
        masks: N of them.
    """

    def __init__(self, masks: Sequence[RunLengthMask]) -> None:
        self.masks = masks
        parts, starts, length = [], [], 0
        for mask in masks:
            count = len(mask.counts)
            # An even number of runs, and at least two, so that every second one is inside whichever mask it is of.
            padding = count % 2 if count else 2
            parts += [mask.counts, _NO_RUNS[:padding]]
            starts.append(length)
            length += count + padding
        self._runs = np.concatenate(parts) if parts else _NO_RUNS[:0]
        self._starts = np.array(starts, np.intp)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Number of pixels inside each mask, [N]."""
        return np.add.reduceat(self._runs[1::2], self._starts // 2, dtype=np.int64)

    @cached_property
    def totals(self) -> NDArray[np.int64]:
        """Number of pixels that the runs of each mask cover, [N]."""
        return np.add.reduceat(self._runs, self._starts, dtype=np.int64)

    @cached_property
    def pixels(self) -> list[NDArray[np.bool_]]:
        """Decode the content of each box, bool [height, width].

        Raises:
            MaskError: runs and box of one do not fit each other.
        """
        self.check_runs()
        line = np.repeat(np.arange(len(self._runs)) % 2 == 1, self._runs)
        found, start = [], 0
        for mask in self.masks:
            end = start + mask.width * mask.height
            found.append(line[start:end].reshape(mask.height, mask.width))
            start = end
        return found

    def check_runs(self) -> None:
        """Check that the runs of each fill its box.

        Raises:
            MaskError: those of one do not.
        """
        for mask, total in zip(self.masks, self.totals.tolist(), strict=True):
            if total != mask.width * mask.height or min(mask.box) < 0:
                mask.check_runs()

    def check_inside(self, height: int, width: int) -> None:
        """Check that each lies inside an image of this size, and that the image fits in memory.

        Raises:
            MaskError: one does not.
        """
        check_image(height, width)
        for mask, total in zip(self.masks, self.totals.tolist(), strict=True):
            x, y, mask_width, mask_height = box = mask.box
            inside = min(box) >= 0 and x + mask_width <= width and y + mask_height <= height
            if not inside or total != mask_width * mask_height:
                mask.check_inside(height, width)


def check_image(height: int, width: int) -> None:
    """Check that masks of an image of this size fit in memory.

    Raises:
        MaskError: they do not.
    """
    if min(height, width) < 0 or height * width > MAX_PIXELS:
        raise MaskError(
            f"an image of {width}x{height} has more than {MAX_PIXELS} pixels; the message was damaged, or is of a "
            "larger image than can be handled"
        )


def encode_box(pixels: NDArray[np.bool_], *, x: int, y: int) -> RunLengthMask:
    """Run lengths of a mask that is known inside its tight box.

    Args:
        pixels: bool [h, w], the content of the box; 0 x 0 for an empty mask.
        x: the box's left column in the image.
        y: the box's upper row in the image.
    """
    if not pixels.size:
        return RunLengthMask.empty()
    flat = np.ascontiguousarray(pixels).ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    # A mask whose first pixel is inside starts with an empty run of outside pixels.
    edges = np.concatenate(([0, 0] if flat[0] else [0], changes, [flat.size]))
    height, width = pixels.shape
    return RunLengthMask(x, y, width, height, np.diff(edges).astype(np.uint32))


def encode_image(mask: NDArray[np.bool_], *, x: int = 0, y: int = 0) -> RunLengthMask:
    """Run lengths of a mask at the image's size, bool [H, W], or of any part of it that holds all of its pixels.

    Args:
        mask: the image or the part.
        x: the part's left column in the image.
        y: the part's upper row in the image.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return RunLengthMask.empty()
    top, left = int(rows[0]), int(columns[0])
    return encode_box(mask[top : rows[-1] + 1, left : columns[-1] + 1], x=x + left, y=y + top)


def decode_image(mask: RunLengthMask, height: int, width: int) -> NDArray[np.bool_]:
    """The mask at the image's size, bool [height, width].

    Args:
        mask: a mask of the image.
        height: height of the image; of a message's masks, from the same TrackedInstanceArray.
        width: width of the image, likewise.

    Raises:
        MaskError: where its box leaves the image, or the image has more than MAX_PIXELS pixels.
    """
    mask.check_inside(height, width)
    return mask.placed(height, width)
