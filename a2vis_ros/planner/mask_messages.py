"""Conversion of masks to and from a2vis_ros/msg/Mask, for planners: imports no torch."""

import numpy as np

from ..msg import Mask
from .mask_codec import RunLengthMask


def mask_to_message(mask: RunLengthMask) -> Mask:
    """Convert a mask to a message."""
    message = Mask()
    message.roi.x_offset, message.roi.y_offset = mask.x, mask.y
    message.roi.width, message.roi.height = mask.width, mask.height
    message.area = mask.area
    # Assigning a NumPy array to an array field converts it element by element, a thousand times slower.
    message.counts.frombytes(mask.counts.astype(np.uint32, copy=False).tobytes())
    return message


def mask_from_message(message: Mask, height: int | None = None, width: int | None = None) -> RunLengthMask:
    """The mask of a message.

    Args:
        message: part of a TrackedInstanceArray or a HiddenObjectArray.
        height: height of the image, as the TrackedInstanceArray says; without it only the box itself is checked.
        width: width of the image, likewise.

    Raises:
        MaskError: where its runs, its box and the image do not fit, or more pixels are named than MAX_PIXELS.
    """
    mask = unchecked_mask(message)
    if height is None or width is None:
        mask.check()
    else:
        mask.check_inside(height, width)
    return mask


def unchecked_mask(message: Mask) -> RunLengthMask:
    """The mask of a message, of which nothing is known yet: it may be damaged."""
    roi = message.roi
    return RunLengthMask(roi.x_offset, roi.y_offset, roi.width, roi.height, np.array(message.counts, np.uint32))
