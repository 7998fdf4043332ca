"""Images made from results, for people and for simple consumers."""

import cv2
import numpy as np
from numpy.typing import NDArray

from a2vis_model import FrameResult, TrackState
from a2vis_model.tracking.overlay import draw_overlay

from .image_decoding import Pixels


def overlay(image: Pixels, result: FrameResult, max_width: int) -> Pixels:
    """Draw the tracks in the image, RGB uint8 [h, w, 3], scaled down to at most `max_width` pixels."""
    drawn = draw_overlay(image, result)
    height, width = drawn.shape[:2]
    if width <= max_width:
        return drawn
    size = (max_width, max(round(height * max_width / width), 1))
    return np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), np.uint8)


def visible_ids(result: FrameResult) -> NDArray[np.uint16]:
    """Return the ID of the visible track at every pixel, 0 where there is none: uint16 [H, W].

    IDs beyond 65535 wrap around to 1; where masks overlap the younger track is on top.
    """
    ids = np.zeros((result.height, result.width), np.uint16)
    for instance in result.instances:
        mask = instance.visible
        if mask is None or not mask.area or instance.state in (TrackState.LOST, TrackState.ENDED):
            continue
        height, width = mask.pixels.shape
        region = ids[mask.y : mask.y + height, mask.x : mask.x + width]
        region[mask.pixels] = (instance.track_id - 1) % 0xFFFF + 1
    return ids
