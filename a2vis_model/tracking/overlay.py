"""Drawing tracked instances."""

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from ..masks.region import RegionMask
from .tracks import FrameResult, TrackedInstance, TrackState

_FILL = 0.45


def track_colour(track_id: int) -> tuple[int, int, int]:
    """Return the RGB colour of a track; neighbouring IDs lie far apart on the colour wheel."""
    red, green, blue = colorsys.hsv_to_rgb(track_id * 0.61803399 % 1.0, 0.75, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_overlay(image: NDArray[np.uint8], result: FrameResult) -> NDArray[np.uint8]:
    """Draw the tracks of a frame: visible mask filled, amodal outline, ID, class and occlusion.

    Args:
        image: RGB image, uint8 [H, W, 3].
        result: the tracker's result for it.

    Returns:
        A new image of the same size. Tracks without masks, ended ones and lost ones in the end, are left out.
    """
    canvas = image.copy()
    for instance in result.instances:
        if instance.visible is not None:
            _fill(canvas, instance.visible, track_colour(instance.track_id))
    shapes = [(i, i.amodal if i.amodal is not None else i.visible) for i in result.instances]
    placed = [(instance, shape) for instance, shape in shapes if shape is not None and shape.area]
    for instance, shape in placed:
        _outline(canvas, shape, track_colour(instance.track_id))
    for instance, shape in placed:
        _label(canvas, shape, instance)
    return canvas


def _fill(canvas: NDArray[np.uint8], mask: RegionMask, colour: tuple[int, int, int]) -> None:
    height, width = mask.pixels.shape
    region = canvas[mask.y : mask.y + height, mask.x : mask.x + width]
    inside = region[mask.pixels]
    region[mask.pixels] = (inside * (1 - _FILL) + np.asarray(colour) * _FILL).astype(np.uint8)


def _outline(canvas: NDArray[np.uint8], mask: RegionMask, colour: tuple[int, int, int]) -> None:
    contours, _ = cv2.findContours(
        mask.pixels.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(mask.x, mask.y)
    )
    cv2.drawContours(canvas, contours, -1, colour, max(1, round(canvas.shape[0] / 360)), cv2.LINE_AA)


def _label(canvas: NDArray[np.uint8], mask: RegionMask, instance: TrackedInstance) -> None:
    text = f"{instance.track_id} {instance.class_name}"
    if instance.state is TrackState.OCCLUDED:
        text += " hidden"
    elif instance.state is TrackState.LOST:
        text += " predicted"
    elif instance.occlusion >= 0.05:
        text += f" {instance.occlusion:.0%}"
    scale = max(canvas.shape[0] / 900, 0.4)
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = int(np.clip(mask.x, 1, max(canvas.shape[1] - width - 2, 1)))
    y = int(np.clip(mask.y - below - 2, height + 2, max(canvas.shape[0] - below - 2, height + 2)))
    # Black text on the track's colour, which is always bright, is readable on any picture.
    corner, opposite = (x - 1, y - height - 2), (x + width + 1, y + below)
    cv2.rectangle(canvas, corner, opposite, track_colour(instance.track_id), cv2.FILLED)
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
