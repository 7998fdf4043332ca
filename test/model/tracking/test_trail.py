"""Where a hidden object is expected: which mask, and how fast."""

import math

import numpy as np
import pytest
from track_worlds import cells

from a2vis_model.tracking.trail import Trail


def trail(*masks, fps=30):
    """One that saw each mask in a frame."""
    made = Trail()
    for t, mask in enumerate(masks):
        made.see(mask, t / fps)
    return made


def test_the_mask_is_the_last_full_one_and_not_what_was_left_of_it():
    masks = [cells(4, 4, 8, 8), cells(4, 4, 8, 9), cells(4, 4, 9, 9), cells(4, 4, 8, 5), cells(4, 4, 8, 2)]
    made = trail(*masks)
    forecast = made.forecast(1.0)
    assert (forecast.full.seconds, forecast.full.area) == (2 / 30, 81)
    assert made.last.area == 16
    # Nine tenths of the largest are full, and later ones are better.
    assert trail(cells(4, 4, 10, 10), cells(4, 4, 9, 10), cells(4, 4, 8, 10)).forecast(1.0).full.area == 90


def test_what_is_older_than_a_second_before_the_last_sighting_is_forgotten():
    large, small = cells(4, 4, 10, 10), cells(4, 4, 5, 5)
    assert trail(large, *[small] * 30).forecast(9.0).full.area == 100
    made = trail(large, *[small] * 31)
    assert made.forecast(9.0).full.area == 25
    assert made.forecast(9.0).full.seconds == 31 / 30, "of equal ones the last"


def test_it_moves_on_at_constant_velocity_by_stamps():
    made = Trail()
    for seconds in (0.0, 0.1, 0.15, 0.3):
        made.see(cells(4, round(40 * seconds), 6, 6), seconds)
    np.testing.assert_allclose(made.forecast(0.55).offset, (0, 10), atol=1e-6)
    np.testing.assert_array_equal(made.forecast(0.55).whole, cells(4, 22, 6, 6))
    np.testing.assert_allclose(made.forecast(0.2).offset, 0), "not back in time"


def test_a_wild_mask_does_not_lead_astray():
    masks = [cells(4, t, 6, 6) for t in range(12)]
    masks[4] = cells(14, 20, 6, 6)
    np.testing.assert_allclose(trail(*masks).forecast(21 / 30).offset, (0, 10), atol=1e-6)


def test_the_velocity_is_that_before_something_came_in_front():
    """From the left, while the object moves to the right: the middle of what is left of it moves faster."""
    masks = [cells(4, t, 6, 8) for t in range(12)] + [cells(4, 12 + 3 * n, 6, 8 - 2 * n) for n in range(1, 4)]
    np.testing.assert_allclose(trail(*masks).forecast(21 / 30).offset, (0, 10), atol=1e-6)


@pytest.mark.parametrize("stamps", [(0.0,), (0.0, 0.0, 0.0), (0.0, 0.1, 0.2), (0.5, 0.2, 0.1)])
def test_what_was_seen_too_shortly_or_without_stamps_stands_still(stamps):
    made = Trail()
    for n, seconds in enumerate(stamps):
        made.see(cells(4, 4 + n, 6, 6), seconds)
    assert made.forecast(5.0).offset.tolist() == [0, 0]


def test_what_leaves_the_image_is_lost():
    made = trail(*[cells(4, 2 * t, 6, 6) for t in range(11)])
    assert made.forecast(10 / 30).whole.sum() == 36
    assert made.forecast(16 / 30).whole.sum() == 6 * 4
    assert made.forecast(5.0).whole.sum() == 0


@pytest.mark.parametrize("fps", [10, 1000, math.inf])
def test_it_stays_small_however_long_it_sees(fps):
    made, rng = Trail(), np.random.default_rng(0)
    for t in range(3000):
        made.see(cells(4, 4, *rng.integers(5, 12, 2)), t / fps)
    assert max(len(made._sightings), len(made._steps)) <= 64
    assert all(sighting.whole.base is None for sighting in made._sightings), "a view would keep all slots"
