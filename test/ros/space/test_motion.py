"""Filters of many tracks side by side say what filterpy's, one by one, do."""

import numpy as np
import pytest
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter

from a2vis_ros.space.motion import Measurements, MotionFilters, SizeFilters
from a2vis_ros.space.placement import Source
from a2vis_ros.space.profiles import ClassProfile, ProfileTable

STEPS = (0.1, 0.03, 0.0, 0.4, 0.1)
PROFILES = [ClassProfile(acceleration=0.6), ClassProfile(acceleration=2.5, speed_std=6.0), ClassProfile()]
FIRST = np.array([0])


def _covariance(rng: np.random.Generator, scale: float) -> np.ndarray:
    root = rng.normal(size=(3, 3)) * scale
    return root @ root.T + np.eye(3) * scale**2


def _measurements(rng: np.random.Generator, *centres: np.ndarray, source: Source = Source.DEPTH) -> Measurements:
    noises, biases = ([_covariance(rng, scale) for _ in centres] for scale in (0.1, 0.05))
    return Measurements(np.array(centres), np.array(noises), np.array(biases), np.full(len(centres), int(source)))


def _filters(first: Measurements, profiles: list[ClassProfile]) -> MotionFilters:
    filters = MotionFilters()
    filters.add(first, ProfileTable.of(profiles))
    return filters


def _reference(first: Measurements, row: int, profile: ClassProfile) -> KalmanFilter:
    found = KalmanFilter(dim_x=6, dim_z=3)
    found.H = np.eye(3, 6)
    found.x[:3, 0] = first.centre[row]
    found.P = np.diag([0.0] * 3 + [profile.speed_std**2] * 3)
    found.P[:3, :3] = first.noise[row]
    return found


def test_filters_side_by_side_equal_those_of_filterpy() -> None:
    rng = np.random.default_rng(4)
    starts = [rng.normal(size=3) * 5 for _ in PROFILES]
    first = last = _measurements(rng, *starts)
    filters = _filters(first, PROFILES)
    references = [_reference(first, row, profile) for row, profile in enumerate(PROFILES)]
    # In another order than that of the rows.
    rows = np.array([2, 0, 1])
    for step in STEPS:
        filters.predict(step)
        last = _measurements(rng, *(start + rng.normal(size=3) * 0.1 for start in starts))
        assert filters.correct(rows, last.select(rows)).all()
        for row, (reference, profile) in enumerate(zip(references, PROFILES, strict=True)):
            transition = np.eye(6) + np.eye(6, k=3) * step
            noise = Q_continuous_white_noise(dim=2, dt=step, block_size=3, order_by_dim=False)
            reference.predict(F=transition, Q=noise * profile.acceleration**2)
            reference.update(last.centre[row, :, None], R=last.noise[row])
    for row, reference in enumerate(references):
        np.testing.assert_allclose(filters.states[row], reference.x[:, 0], rtol=1e-9)
        expected = reference.P.copy()
        expected[:3, :3] += last.bias[row]
        np.testing.assert_allclose(filters.covariances()[row], expected, rtol=1e-9, atol=1e-12)


def test_one_outlier_concerns_no_other_filter() -> None:
    rng = np.random.default_rng(5)
    filters = _filters(_measurements(rng, np.zeros(3), np.zeros(3)), PROFILES[:2])
    filters.predict(0.1)
    state, spread = filters.states[0].copy(), filters.spreads[0].copy()
    measured, rows = _measurements(rng, np.full(3, 9.0), np.full(3, 0.02)), np.arange(2)
    for _ in range(2):
        assert filters.correct(rows, measured).tolist() == [False, True]
        np.testing.assert_array_equal(filters.states[0], state)
        np.testing.assert_array_equal(filters.spreads[0], spread)
    # The third one after the other is where it is.
    assert filters.correct(rows, measured).tolist() == [True, True]
    np.testing.assert_array_equal(filters.states[0], [9.0, 9.0, 9.0, 0.0, 0.0, 0.0])
    assert np.abs(filters.states[1, :3]).max() < 0.1


def test_another_way_of_measuring_moves_the_place_and_leaves_the_velocity() -> None:
    rng = np.random.default_rng(6)
    filters = _filters(_measurements(rng, np.array([5.0, 0.0, 0.0])), PROFILES[:1])
    for count in range(1, 20):
        filters.predict(0.1)
        filters.correct(FIRST, _measurements(rng, np.array([5.0 + 0.1 * count, 0.0, 0.0])))
    position, velocity = filters.states[0, :3].copy(), filters.states[0, 3:].copy()
    unsure = filters.spreads[0, 3:, 3:].copy()
    assert velocity[0] == pytest.approx(1.0, abs=0.25)
    other = _measurements(rng, position + 0.5, source=Source.GROUND)
    assert filters.correct(FIRST, other).all()
    np.testing.assert_array_equal(filters.states[0, :3], position + 0.5)
    np.testing.assert_array_equal(filters.states[0, 3:], velocity)
    np.testing.assert_array_equal(filters.spreads[0, 3:, 3:], unsure)
    np.testing.assert_array_equal(filters.spreads[0, :3, 3:], np.zeros((3, 3)))


def test_rows_that_are_kept_go_on_as_they_were() -> None:
    """Also how many outliers there were, and how their class moves."""
    rng = np.random.default_rng(7)
    centres = [np.full(3, float(index)) for index in range(3)]
    first, far = _measurements(rng, *centres), _measurements(rng, np.full(3, 50.0))
    filters, alone = _filters(first, PROFILES), _filters(first.select(np.array([2])), PROFILES[2:])
    filters.correct(np.array([2]), far)
    alone.correct(FIRST, far)
    filters.keep(np.array([2]))
    for one in (filters, alone):
        one.predict(0.5)
        assert one.correct(FIRST, far).tolist() == [False]
        assert one.correct(FIRST, far).tolist() == [True]
        one.predict(0.1)
    np.testing.assert_array_equal(filters.covariances(), alone.covariances())
    np.testing.assert_array_equal(filters.states, alone.states)


def test_sizes_are_means_weighted_by_how_sure_they_are() -> None:
    sizes = SizeFilters()
    sizes.add(ProfileTable.of(PROFILES[:2]), 0.0)
    prior, variance = sizes.extents[1].copy(), sizes.variances[1].copy()
    sizes.correct(np.array([1]), np.array([[2.0, 2.0, 2.0]]), np.array([[0.1, 0.1, 1e9]]), 0.0)
    expected = (prior[0] / variance[0] + 2.0 / 0.01) / (1 / variance[0] + 1 / 0.01)
    assert sizes.extents[1] == pytest.approx([expected, expected, prior[2]])
    assert sizes.variances[1, 0] == pytest.approx(1 / (1 / variance[0] + 100))
    np.testing.assert_array_equal(sizes.extents[0], prior)
    sizes.keep(np.array([1]))
    assert sizes.extents.shape == (1, 3)


def test_no_filters_are_no_work() -> None:
    filters = MotionFilters()
    filters.predict(0.1)
    none = Measurements(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, 3, 3)), np.zeros(0, np.intp))
    assert filters.correct(np.zeros(0, np.intp), none).shape == (0,)
    assert filters.covariances().shape == (0, 6, 6)
