"""What a frame shows of the places of hidden objects: all of them together as each alone."""

import numpy as np
import pytest
from numpy.typing import NDArray
from worlds import CAMERA

from a2vis_ros.planner.mask_codec import MaskSet, RunLengthMask, encode_image
from a2vis_ros.space.existence import OFFSETS, ExpectedPlaces, FrameView

AXES = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
"""Columns forward, left and up of an object straight ahead, in the optical frame."""
COVER = np.zeros((480, 640), np.bool_)
COVER[100:400, 200:440] = True
"""An object before the middle of the image."""


def places(*centres: tuple[float, float, float]) -> ExpectedPlaces:
    count = len(centres)
    return ExpectedPlaces(
        np.array(centres), np.tile(AXES, (count, 1, 1)), np.tile([0.5, 0.5, 1.7], (count, 1)), np.full((count, 3), 0.1)
    )


def view(depth: NDArray[np.float32] | None, expected: ExpectedPlaces) -> FrameView:
    return FrameView(CAMERA, depth, MaskSet([RunLengthMask.empty(), encode_image(COVER)]), expected)


CENTRES = [(0.0, 0.0, 8.0), (3.0, 0.0, 8.0), (-30.0, 0.0, 8.0), (0.5, 0.2, 6.0), (0.0, 0.0, -3.0)]
"""Places behind the cover, beside it, outside the image, behind the cover but nearer, and behind the camera."""


def walls() -> NDArray[np.float32]:
    return np.where(COVER, np.float32(3.0), np.float32(20.0))


@pytest.mark.parametrize("depth", [walls(), None])
def test_places_are_seen_together_as_each_alone(depth: NDArray[np.float32] | None) -> None:
    together = view(depth, places(*CENTRES))
    alone = [view(depth, places(centre)) for centre in CENTRES]
    known = np.array([True, True, True, False, True])
    np.testing.assert_array_equal(together.covered(), [one.covered()[0] for one in alone])
    empty = together.empty(known)
    np.testing.assert_array_equal(empty, [one.empty(known[index : index + 1])[0] for index, one in enumerate(alone)])
    assert together.ends() == [one.ends()[0] for one in alone]
    assert together.covered().tolist() == [1, 0, 0, 1, 0]
    # Only what is beside the cover is seen to be empty.
    assert empty.tolist() == [[share] * len(OFFSETS) for share in (0, 1, 0, 0, 0)]


def test_the_ends_of_what_hides_a_place_are_at_its_distance() -> None:
    behind, beside, outside, nearer, back = view(walls(), places(*CENTRES)).ends()
    # The cover's sides are 120 pixels off the middle, with a focal length of 500.
    assert behind == pytest.approx([120 / 500 * 8, -120 / 500 * 8], abs=0.1)
    assert nearer == pytest.approx([120 / 500 * 6 + 0.5, -120 / 500 * 6 + 0.5], abs=0.1)
    assert beside == [0.0]
    assert outside == back == []


def test_an_end_that_is_not_in_view_is_not_said() -> None:
    depth = walls()
    depth[:, 440:] = 3.0
    (ends,) = view(depth, places(CENTRES[0])).ends()
    assert ends == pytest.approx([120 / 500 * 8], abs=0.1)
