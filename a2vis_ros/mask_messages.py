"""Masks to and from a2vis_ros/msg/Mask. Imports no torch: planners use it."""

import numpy as np

from .mask_codec import RunLengthMask
from .msg import Mask


def mask_to_message(mask: RunLengthMask) -> Mask:
    """The message of a mask."""
    message = Mask()
    message.roi.x_offset, message.roi.y_offset = mask.x, mask.y
    message.roi.width, message.roi.height = mask.width, mask.height
    message.area = mask.area
    # Assigning a NumPy array to an array field converts it element by element, a thousand times slower.
    message.counts.frombytes(mask.counts.astype(np.uint32, copy=False).tobytes())
    return message


def mask_from_message(message: Mask) -> RunLengthMask:
    """The mask of a message; raises MaskError where its runs and box do not fit."""
    roi = message.roi
    counts = np.array(message.counts, np.uint32)
    mask = RunLengthMask(roi.x_offset, roi.y_offset, roi.width, roi.height, counts)
    mask.check()
    return mask
