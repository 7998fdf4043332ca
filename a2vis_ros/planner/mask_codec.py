"""Masks as the messages hold them: run lengths inside a tight box. NumPy alone; no torch, no ROS."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 2**26
"""Of an image, and so of a mask's box; 8192 x 8192. A few damaged bytes can name one that no memory holds."""

MAX_INSTANCES = 4096
"""Of a message; no network has more slots."""


class MaskError(ValueError):
    """A mask whose runs, box and image do not fit each other."""


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
        """A mask without any pixel."""
        return cls(0, 0, 0, 0, np.zeros(0, np.uint32))

    @cached_property
    def area(self) -> int:
        """Pixels inside the mask."""
        return int(self.counts[1::2].sum(dtype=np.int64))

    def check(self) -> None:
        """Raises MaskError unless the runs fill the box, and its pixels can be held."""
        total, pixels = int(self.counts.sum(dtype=np.int64)), self.width * self.height
        if min(self.x, self.y, self.width, self.height) < 0 or total != pixels:
            raise MaskError(
                f"the mask's runs cover {total} pixels, its box of {self.width}x{self.height} has {pixels}; "
                "it was cut short or written by something else"
            )
        if pixels > MAX_PIXELS:
            raise MaskError(
                f"the mask's box of {self.width}x{self.height} has more than {MAX_PIXELS} pixels; it was damaged, or "
                "is of a larger image than can be handled"
            )

    def check_inside(self, height: int, width: int) -> None:
        """Raises MaskError unless the mask is one of an image of this size, which can be held."""
        check_image(height, width)
        if self.x + self.width > width or self.y + self.height > height:
            raise MaskError(
                f"the mask's box ends at ({self.x + self.width}, {self.y + self.height}), outside the {width}x{height} "
                "image; take the size from the same message"
            )
        self.check()


def check_image(height: int, width: int) -> None:
    """Raises MaskError unless masks of an image of this size can be held."""
    if min(height, width) < 0 or height * width > MAX_PIXELS:
        raise MaskError(
            f"an image of {width}x{height} has more than {MAX_PIXELS} pixels; the message was damaged, or is of a "
            "larger image than can be handled"
        )


def encode_box(pixels: NDArray[np.bool_], *, x: int, y: int) -> RunLengthMask:
    """Run lengths of a mask that is known inside its tight box.

    Args:
        pixels: bool [h, w], the content of the box; 0 x 0 for an empty mask.
        x, y: the box's upper left pixel in the image.
    """
    if not pixels.size:
        return RunLengthMask.empty()
    flat = np.ascontiguousarray(pixels).ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    # A mask whose first pixel is inside starts with an empty run of outside.
    edges = np.concatenate(([0, 0] if flat[0] else [0], changes, [flat.size]))
    height, width = pixels.shape
    return RunLengthMask(x, y, width, height, np.diff(edges).astype(np.uint32))


def encode_image(mask: NDArray[np.bool_]) -> RunLengthMask:
    """Run lengths of a mask at the image's size, bool [H, W]."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return RunLengthMask.empty()
    top, left = int(rows[0]), int(columns[0])
    return encode_box(mask[top : rows[-1] + 1, left : columns[-1] + 1], x=left, y=top)


def decode_box(mask: RunLengthMask) -> NDArray[np.bool_]:
    """The content of the mask's box, bool [h, w]; raises MaskError where runs and box do not fit."""
    mask.check()
    inside = np.zeros(len(mask.counts), np.bool_)
    inside[1::2] = True
    return np.repeat(inside, mask.counts).reshape(mask.height, mask.width)


def decode_image(mask: RunLengthMask, height: int, width: int) -> NDArray[np.bool_]:
    """The mask at the image's size, bool [height, width].

    Args:
        mask: a mask of a message.
        height, width: of the image, from the same TrackedInstanceArray.

    Raises:
        MaskError: where its box leaves the image, or the image has more than MAX_PIXELS pixels.
    """
    mask.check_inside(height, width)
    image = np.zeros((height, width), np.bool_)
    image[mask.y : mask.y + mask.height, mask.x : mask.x + mask.width] = decode_box(mask)
    return image
