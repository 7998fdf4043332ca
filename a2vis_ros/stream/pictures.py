"""Images made from results, for people and for simple consumers. No ROS."""

import cv2
import numpy as np
from numpy.typing import NDArray

from a2vis_model import FrameResult, TrackState
from a2vis_model.tracking.overlay import draw_overlay

from .image_decoding import Pixels


def overlay(image: Pixels, result: FrameResult, max_width: int) -> Pixels:
    """The image with its tracks drawn in, RGB, uint8 [h, w, 3], no wider than `max_width` pixels."""
    drawn = draw_overlay(image, result)
    height, width = drawn.shape[:2]
    if width <= max_width:
        return drawn
    size = (max_width, max(round(height * max_width / width), 1))
    return np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), np.uint8)


def visible_ids(result: FrameResult) -> NDArray[np.uint16]:
    """The track ID at every pixel where a track is visible, 0 elsewhere: uint16 [H, W].

    IDs beyond 65535 do not fit and start again from 1; where masks overlap the younger track is on top.
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
