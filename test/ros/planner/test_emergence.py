"""Where what hides a track ends, in the image."""

import math

import numpy as np
import pytest

from a2vis_ros.planner.emergence import image_emergence, uncovered_sides
from a2vis_ros.planner.mask_codec import RunLengthMask, encode_box

WIDTH = 100


def rectangle(x: int, width: int, y: int = 0, height: int = 50) -> RunLengthMask:
    return encode_box(np.ones((height, width), np.bool_), x=x, y=y)


def test_sides_of_a_cover() -> None:
    covered = np.array([False, True, True, True, False, True])
    assert uncovered_sides(covered, 2) == (0, 4)
    assert uncovered_sides(covered, 5) == (4, None)
    assert uncovered_sides(covered, 4) == (4, 4)
    assert uncovered_sides(np.ones(4, np.bool_), 2) == (None, None)


def test_the_nearest_end_and_when_it_is_there() -> None:
    # Columns 30 to 69 are covered by two objects; the track's are 35 to 44.
    covers = [rectangle(30, 25), rectangle(50, 20)]
    found = image_emergence(rectangle(35, 10, 10, 20), 0.0, covers, WIDTH)
    assert (found.x, found.y) == (29, 20)
    assert math.isnan(found.expected_s)
    # To the right it has 70 - 39.5 - 5 columns to go.
    assert image_emergence(rectangle(35, 10, 10, 20), 10.0, covers, WIDTH).expected_s == pytest.approx(2.55)
    assert image_emergence(rectangle(35, 10, 10, 20), -10.0, covers, WIDTH).expected_s == pytest.approx(0.55)


def test_not_covered_it_is_out_already() -> None:
    found = image_emergence(rectangle(35, 10), 5.0, [rectangle(80, 10), rectangle(30, 20, 40, 5)], WIDTH)
    assert found.expected_s == 0
    assert found.x == pytest.approx(39.5, abs=0.6)


def test_behind_what_fills_the_row_no_end_is_in_view() -> None:
    found = image_emergence(rectangle(35, 10), 5.0, [rectangle(0, WIDTH)], WIDTH)
    assert math.isnan(found.x)
    assert math.isnan(found.expected_s)
