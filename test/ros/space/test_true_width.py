"""How wide a true object is across the line of sight: of boxes, of what is round, and of what is flat."""

import math

import cv2
import numpy as np
import pytest
from worlds import CAMERA, HEIGHT, LEVEL, Box, look

from a2vis_ros.planner.mask_codec import RunLengthMask, encode_image
from a2vis_ros.space.transforms import RigidTransform
from a2vis_ros.space.truth import width_across

PLACE = np.array([8.0, 0.0, HEIGHT])
"""Straight ahead of the camera."""


def turned(degrees: float) -> RigidTransform:
    """The camera, turned to its left."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return RigidTransform(turn @ LEVEL.rotation, LEVEL.translation)


def upright(width: float, distance: float = 8.0) -> RunLengthMask:
    """A silhouette so wide at a distance, in the middle of the picture."""
    half = round(width * CAMERA.fx / distance / 2)
    mask = np.zeros((CAMERA.height, CAMERA.width), np.bool_)
    mask[200:300, 320 - half : 320 + half] = True
    return encode_image(mask)


@pytest.mark.parametrize(
    ("degrees", "expected"), [(0, 1.0), (90, 4.0), (-90, 4.0), (180, 1.0), (30, 2 + np.sqrt(0.75))]
)
def test_a_box_is_as_wide_as_its_corners_are_apart(degrees: float, expected: float) -> None:
    size = np.array([4.0, 1.0, 1.5])
    # Its near corner seems further out than it is.
    found = width_across(size, math.radians(degrees), PLACE, upright(4.8), CAMERA, LEVEL)
    assert found == pytest.approx(expected)


def test_a_box_off_the_axis_is_seen_obliquely() -> None:
    box = Box(8, 2, (2.0, 1.0, 1.5))
    ((_, amodal),), _ = look([box])
    found = width_across(np.array(box.size), 0.0, box.centre, amodal, CAMERA, LEVEL)
    assert found == pytest.approx((2 * 2 + 1 * 8) / np.hypot(2, 8))


def test_what_is_round_is_as_wide_from_all_sides() -> None:
    ball = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
    cv2.circle(ball, (320, 240), 62, 1, -1)
    for degrees in (0, 30, 45, 90):
        found = width_across(np.full(3, 2.0), math.radians(degrees), PLACE, encode_image(ball > 0), CAMERA, LEVEL)
        assert found == pytest.approx(2.0, rel=0.01)


def test_a_cut_out_stands_parallel_to_the_picture() -> None:
    flat = np.array([0.0, 1.0, 1.5])
    assert width_across(flat, math.nan, PLACE, upright(1.2), CAMERA, LEVEL) == pytest.approx(1.0)
    # Where it is seen 20 degrees beside the optical axis, it is turned by as much.
    mask = np.zeros((CAMERA.height, CAMERA.width), np.bool_)
    mask[200:300, 450:570] = True
    found = width_across(flat, math.nan, PLACE, encode_image(mask), CAMERA, turned(20))
    assert found == pytest.approx(np.cos(np.radians(20)))


def test_what_the_border_cuts_off_or_is_not_there_has_no_known_width() -> None:
    size = np.array([1.0, 1.0, 1.5])
    assert math.isnan(width_across(size, 0.0, PLACE, RunLengthMask.empty(), CAMERA, LEVEL))
    for start, end in ((0, 50), (600, 640)):
        mask = np.zeros((CAMERA.height, CAMERA.width), np.bool_)
        mask[100:200, start:end] = True
        assert math.isnan(width_across(size, 0.0, PLACE, encode_image(mask), CAMERA, LEVEL))
    mask[:, 300:310] = True
    mask[:, 600:] = False
    assert width_across(size, 0.0, PLACE, encode_image(mask), CAMERA, LEVEL) < 1
    behind = PLACE * np.array([-1.0, 1, 1])
    assert math.isnan(width_across(size, 0.0, behind, upright(1.0), CAMERA, LEVEL))
    assert math.isnan(width_across(np.zeros(3), 0.0, PLACE, upright(1.0), CAMERA, LEVEL))
