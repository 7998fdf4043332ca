"""How sure the sides of masks are: those that are seen, those that are guessed, and those that the image cuts off."""

import numpy as np
import pytest
from numpy.typing import NDArray

from a2vis_ros.planner.mask_codec import RunLengthMask, encode_image
from a2vis_ros.space.mask_edges import BOTTOM, LEFT, RIGHT, TOP, MaskEdges, mask_edges

HEIGHT, WIDTH = 240, 320
EMPTY = RunLengthMask.empty()


def block(x: int, y: int, width: int, height: int) -> RunLengthMask:
    picture = np.zeros((HEIGHT, WIDTH), np.bool_)
    picture[y : y + height, x : x + width] = True
    return encode_image(picture)


def edges(*masks: tuple[RunLengthMask, RunLengthMask], outline: float = 0.0, hidden: float = 1.0) -> MaskEdges:
    return mask_edges(list(masks), HEIGHT, WIDTH, pixel_std=1.5, outline_std=outline, hidden_std=hidden)


def test_a_side_that_is_seen_is_as_sure_as_a_pixel_and_as_the_outline() -> None:
    whole = block(100, 50, 40, 120)
    exact, outlined = edges((whole, whole)), edges((whole, whole), outline=0.1)
    assert exact.position[0].tolist() == [99.5, 139.5, 49.5, 169.5]
    assert (exact.noise == 1.5).all()
    assert (exact.bias == 0).all()
    # What is wrong of the outline stays: filters do not average it away.
    assert (outlined.noise == 1.5).all()
    assert outlined.bias[0] == pytest.approx([4.0, 4.0, 12.0, 12.0])


def test_a_hidden_side_is_as_unsure_as_it_is_far_from_what_is_seen_up_to_a_third_of_the_box() -> None:
    whole = block(100, 50, 40, 120)
    found = edges((block(100, 50, 40, 100), whole), (block(100, 50, 40, 20), whole))
    assert found.bias[0] == pytest.approx([0, 0, 0, 20])
    # Little of that differs from frame to frame, or velocities would be as unsure.
    assert found.noise[0, BOTTOM] == pytest.approx(np.hypot(1.5, 3))
    assert found.bias[1, BOTTOM] == pytest.approx(0.35 * 120)
    assert edges((block(100, 50, 40, 100), whole), hidden=0.15).bias[0, BOTTOM] == pytest.approx(3)
    both = edges((block(100, 50, 40, 100), whole), outline=0.1)
    assert both.bias[0, BOTTOM] == pytest.approx(np.hypot(20, 12))


def test_without_one_of_its_masks_an_object_has_the_sides_of_the_other() -> None:
    whole = block(100, 50, 40, 120)
    found = edges((whole, EMPTY), (EMPTY, whole))
    assert (found.position == edges((whole, whole)).position).all()
    assert (found.bias == 0).all()


def test_where_the_image_ends_a_side_is_cut() -> None:
    left, corner = block(0, 50, 40, 120), block(WIDTH - 30, HEIGHT - 30, 30, 30)
    found = edges((left, left), (corner, corner))
    assert np.flatnonzero(found.cut[0]).tolist() == [LEFT]
    assert np.flatnonzero(found.cut[1]).tolist() == [RIGHT, BOTTOM]
    assert not found.cut[:, TOP].any()


def foot(picture: NDArray[np.bool_]) -> float:
    mask = encode_image(picture)
    return float(edges((mask, mask)).foot_u[0])


def test_the_foot_is_the_middle_of_the_lowest_rows() -> None:
    """Whatever the rows above are like, and however many runs a row has."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        picture = np.zeros((HEIGHT, WIDTH), np.bool_)
        top, rows, width = int(rng.integers(100)), int(rng.integers(1, 130)), int(rng.integers(1, 60))
        picture[top : top + rows, 50 : 50 + width] = rng.random((rows, width)) < rng.choice([0.2, 0.6, 1.0])
        if not picture.any():
            continue
        mask = encode_image(picture)
        lowest = picture[mask.y + mask.height - max(1, round(0.03 * mask.height)) : mask.y + mask.height]
        columns = np.flatnonzero(lowest.any(axis=0))
        assert foot(picture) == (columns[0] + columns[-1]) / 2
