"""Distances of surfaces: which pixels of a mask count, and that a frame's objects do not disturb each other."""

import numpy as np
import pytest
from numpy.typing import NDArray
from worlds import CAMERA

from a2vis_ros.planner.mask_codec import MaskSet, RunLengthMask, encode_image
from a2vis_ros.space.depth_surface import DepthNoise, surface_distances

AHEAD = np.array([0.0, 0, 1])
NOISE = DepthNoise()


def block(x: int, y: int, width: int, height: int) -> NDArray[np.bool_]:
    picture = np.zeros((480, 640), np.bool_)
    picture[y : y + height, x : x + width] = True
    return picture


def distances(depth: NDArray[np.float32], masks: list[RunLengthMask], thickness: float = 0.5) -> list[float]:
    """Distances of surfaces, NaN for a hole."""
    count = len(masks)
    directions = np.tile(AHEAD, (count, 1))
    return surface_distances(
        depth, MaskSet(masks), directions, np.full(count, thickness), CAMERA, NOISE
    ).distance.tolist()


def test_a_surface_is_as_sure_as_the_depth_there() -> None:
    depth = np.full((480, 640), 5.0, np.float32)
    depth[:, 300:] = 9.0
    masks = MaskSet([encode_image(block(x, 100, 40, 40)) for x in (100, 400)])
    found = surface_distances(depth, masks, np.tile(AHEAD, (2, 1)), np.full(2, 0.5), CAMERA, NOISE)
    assert found.distance == pytest.approx([5.0, 9.0])
    assert found.std == pytest.approx([NOISE.constant + NOISE.quadratic * z * z for z in (5.0, 9.0)])


def test_the_rim_of_a_mask_does_not_count_also_where_masks_fill_their_boxes() -> None:
    """Rims are a step of the grid wide: 2 pixels in a mask of 40 x 40."""
    depth = np.full((480, 640), 5.0, np.float32)
    pictures = [block(0, 0, 40, 40), block(200, 100, 40, 40), block(600, 440, 40, 40)]
    for picture in pictures:
        top, left = (int(np.flatnonzero(picture.any(axis=axis))[0]) for axis in (1, 0))
        inside = np.zeros_like(picture)
        inside[top + 2 : top + 38, left + 2 : left + 38] = True
        depth[picture & ~inside] = 4.9
    assert distances(depth, [encode_image(picture) for picture in pictures]) == pytest.approx([5.0] * 3)


def test_objects_of_a_frame_do_not_disturb_each_other() -> None:
    """Thin and thick, wide and narrow, with and without holes: each is as far away as it is alone."""
    rng = np.random.default_rng(0)
    depth = rng.normal(6.0, 0.3, (480, 640)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.2] = np.nan
    depth[300:, 300:] = 0.0
    pictures = [
        block(10, 10, 300, 4),
        block(100, 50, 1, 200),
        block(0, 0, 640, 480),
        block(310, 310, 50, 50),
        block(20, 200, 31, 90) & (rng.random((480, 640)) < 0.9),
        block(400, 100, 7, 3),
        block(290, 290, 60, 60),
    ]
    masks = [encode_image(picture) for picture in pictures]
    together = distances(depth, masks)
    np.testing.assert_array_equal(together, [distances(depth, [mask])[0] for mask in masks])
    assert np.isnan(together).tolist() == [False, False, False, True, False, False, False]
    assert distances(depth, []) == []


def test_what_is_behind_the_slice_that_holds_most_pixels_is_left_out() -> None:
    depth = np.full((480, 640), 5.0, np.float32)
    depth[:, 315:] = 9.0
    assert distances(depth, [encode_image(block(300, 100, 20, 60))]) == pytest.approx([5.0])
    # What is as thick as both together begins where the nearer one does.
    assert distances(depth, [encode_image(block(310, 100, 20, 60))]) == pytest.approx([9.0])
    assert distances(depth, [encode_image(block(310, 100, 20, 60))], 4.0) == pytest.approx([5.0], abs=0.5)
