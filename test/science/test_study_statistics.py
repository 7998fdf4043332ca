"""Bootstrap intervals and power, against known answers."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from science.statistics import detectable, estimate, needed_clips, over_seeds, samples_of, share_interval


def test_the_first_sample_holds_every_clip_once_and_others_as_many_clips() -> None:
    weights = samples_of(7, samples=50)
    assert weights.shape == (51, 7)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 7).all()
    assert np.array_equal(weights, samples_of(7, samples=50))


def test_the_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(1).normal(10, 2, 400)
    weights = samples_of(400, samples=4000)
    found = estimate(weights @ values / 400)
    error = values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(error, rel=0.05)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.02)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.02)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for repetition in range(300):
        values = rng.normal(3, 1, 60)
        found = estimate(samples_of(60, samples=300, seed=repetition) @ values / 60)
        held += found.low <= 3 <= found.high
    assert 0.90 <= held / 300 <= 0.98


def test_an_undefined_measure_has_no_interval_and_undefined_samples_are_left_out() -> None:
    assert not estimate(np.full(5, math.nan)).known
    found = estimate(np.array([0.5, 0.4, math.nan, 0.6]))
    assert (found.value, round(found.low, 3), round(found.high, 3)) == (0.5, 0.405, 0.595)


def test_seeds_are_averaged_and_drawn() -> None:
    constant = [np.full(2001, value) for value in (1.0, 2.0, 6.0)]
    found = estimate(over_seeds(constant))
    assert found.value == 3.0
    # Means of three draws from {1, 2, 6}: their deviation is that of the seeds over the root of three.
    assert found.error == pytest.approx(np.std([1, 2, 6]) / math.sqrt(3), rel=0.05)
    assert np.array_equal(over_seeds([np.arange(4.0)]), np.arange(4.0))


def test_power_at_the_detectable_difference_is_four_fifths() -> None:
    # 60 clips whose paired differences deviate by 0.1 from one another.
    error = 0.1 / math.sqrt(60)
    least = detectable(error, 60, seeds=3, seed_deviation=0.01, wanted_clips=120)
    noise = math.sqrt(0.1**2 / 120 + 2 * 0.01**2 / 3)
    assert 1 - norm.cdf(1.959964 - least / noise) == pytest.approx(0.8, abs=1e-4)


def test_the_needed_clips_detect_the_difference() -> None:
    needed = needed_clips(0.02, 30, seeds=3, seed_deviation=0.005, difference=0.03)
    assert needed is not None
    at = {
        count: detectable(0.02, 30, seeds=3, seed_deviation=0.005, wanted_clips=count) for count in (needed, needed - 1)
    }
    assert at[needed] <= 0.03 < at[needed - 1]
    assert needed_clips(0.02, 30, seeds=1, seed_deviation=0.02, difference=0.03) is None


def test_a_share_is_pooled_over_clips() -> None:
    found = share_interval(np.array([1.0, 0.0]), np.array([1.0, 3.0]), samples_of(2))
    assert found.value == 0.25
    assert (found.low, found.high) == (0.0, 1.0)
