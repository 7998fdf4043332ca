"""Filters of many tracks side by side say what filterpy's, one by one, do."""

import numpy as np
import pytest
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter

from a2vis_ros.space.motion import Measurement, MotionFilter, correct, covariances, predict
from a2vis_ros.space.placement import Source
from a2vis_ros.space.profiles import ClassProfile

STEPS = (0.1, 0.03, 0.0, 0.4, 0.1)
PROFILES = (ClassProfile(acceleration=0.6), ClassProfile(acceleration=2.5, speed_std=6.0), ClassProfile())


def _covariance(rng: np.random.Generator, scale: float) -> np.ndarray:
    root = rng.normal(size=(3, 3)) * scale
    return root @ root.T + np.eye(3) * scale**2


def _measurement(rng: np.random.Generator, centre: np.ndarray, source: Source = Source.DEPTH) -> Measurement:
    return Measurement(centre, _covariance(rng, 0.1), _covariance(rng, 0.05), np.eye(3), source)


def _reference(first: Measurement, profile: ClassProfile) -> KalmanFilter:
    found = KalmanFilter(dim_x=6, dim_z=3)
    found.H = np.eye(3, 6)
    found.x[:3, 0] = first.centre
    found.P = np.diag([0.0] * 3 + [profile.speed_std**2] * 3)
    found.P[:3, :3] = first.noise
    return found


def test_filters_side_by_side_equal_those_of_filterpy() -> None:
    rng = np.random.default_rng(4)
    starts = [rng.normal(size=3) * 5 for _ in PROFILES]
    first = [_measurement(rng, start) for start in starts]
    filters = [MotionFilter(one, profile) for one, profile in zip(first, PROFILES, strict=True)]
    references = [_reference(one, profile) for one, profile in zip(first, PROFILES, strict=True)]
    last = first
    for step in STEPS:
        predict(filters, step)
        last = [_measurement(rng, start + rng.normal(size=3) * 0.1) for start in starts]
        assert correct(filters, last) == [True] * len(filters)
        for reference, profile, measured in zip(references, PROFILES, last, strict=True):
            transition = np.eye(6) + np.eye(6, k=3) * step
            noise = Q_continuous_white_noise(dim=2, dt=step, block_size=3, order_by_dim=False)
            reference.predict(F=transition, Q=noise * profile.acceleration**2)
            reference.update(measured.centre[:, None], R=measured.noise)
    for one, reference, measured, covariance in zip(filters, references, last, covariances(filters), strict=True):
        np.testing.assert_allclose(one.state, reference.x[:, 0], rtol=1e-9)
        expected = reference.P.copy()
        expected[:3, :3] += measured.bias
        np.testing.assert_allclose(covariance, expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one.position_covariance, expected[:3, :3], rtol=1e-9)


def test_one_outlier_concerns_no_other_filter() -> None:
    rng = np.random.default_rng(5)
    filters = [MotionFilter(_measurement(rng, np.zeros(3)), PROFILES[0]) for _ in range(2)]
    predict(filters, 0.1)
    before = filters[0].state, filters[0].spread
    near, far = _measurement(rng, np.full(3, 0.02)), _measurement(rng, np.full(3, 9.0))
    for _ in range(2):
        assert correct(filters, [far, near]) == [False, True]
        assert filters[0].state is before[0]
        assert filters[0].spread is before[1]
    # The third one after the other is where it is.
    assert correct(filters, [far, near]) == [True, True]
    np.testing.assert_array_equal(filters[0].position, far.centre)
    np.testing.assert_array_equal(filters[0].velocity, np.zeros(3))


def test_another_way_of_measuring_moves_the_place_and_leaves_the_velocity() -> None:
    rng = np.random.default_rng(6)
    filters = [MotionFilter(_measurement(rng, np.array([5.0, 0.0, 0.0])), PROFILES[0])]
    for count in range(1, 20):
        predict(filters, 0.1)
        correct(filters, [_measurement(rng, np.array([5.0 + 0.1 * count, 0.0, 0.0]))])
    velocity = filters[0].velocity
    assert velocity[0] == pytest.approx(1.0, abs=0.25)
    other = _measurement(rng, filters[0].position + 0.5, Source.GROUND)
    assert correct(filters, [other]) == [True]
    np.testing.assert_array_equal(filters[0].position, other.centre)
    np.testing.assert_array_equal(filters[0].velocity, velocity)
    np.testing.assert_array_equal(filters[0].spread[:3, 3:], np.zeros((3, 3)))


def test_no_filters_are_no_work() -> None:
    predict([], 0.1)
    assert correct([], []) == []
    assert covariances([]).shape == (0, 6, 6)
