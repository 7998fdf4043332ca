"""A constant velocity Kalman filter of one object's position, and running estimates of its size. No ROS."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from a2vis_model.extras import optional_packages

from .placement import Placement, Source
from .profiles import ClassProfile
from .transforms import RigidTransform

with optional_packages():
    from filterpy.common import Q_continuous_white_noise
    from filterpy.kalman import KalmanFilter

_GATE = 25.0
"""Squared Mahalanobis distance beyond which a measurement is an outlier: once in 65,000 times by chance."""
_OUTLIERS = 3
"""So many outliers one after the other are where the object is."""
_SIZE_DRIFT = 0.05
"""By which an object's extent, as it is seen, may change within one second, in metres."""
_MEASURE = np.hstack([np.eye(3), np.zeros((3, 3))])


@lru_cache(maxsize=4)
def _step(seconds: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[6, 6] transition over a step in time, and [6, 6] process noise of an acceleration of 1; equal for all tracks."""
    transition = np.eye(6)
    transition[:3, 3:] = np.eye(3) * seconds
    return transition, Q_continuous_white_noise(dim=2, dt=seconds, block_size=3, order_by_dim=False)


class MotionFilter:
    """State: position and velocity in the fixed frame, [x, y, z, vx, vy, vz], metres and m/s.

    Time is what stamps say, not the count of frames: the process noise is that of white acceleration, so that one step
    of a second is as uncertain as ten of a tenth.

    Measurements err in two ways. What differs from frame to frame is averaged by the filter. What stays the same, such
    as a camera that is pitched by half a degree more than it is said to be, is not: its covariance is added to the
    filter's, and does not become less with the number of frames.

    Args:
        measured: the first measurement.
        profile: how objects of the class move.
        seconds: the time of the measurement.
    """

    def __init__(self, measured: "Measurement", profile: ClassProfile, seconds: float) -> None:
        self._profile = profile
        self._filter = KalmanFilter(dim_x=6, dim_z=3)
        self._filter.H = _MEASURE
        self._seconds = seconds
        self._outliers = 0
        self._source, self._bias = measured.source, measured.bias
        self._begin(measured)

    @property
    def position(self) -> NDArray[np.float64]:
        """[3] in metres."""
        position: NDArray[np.float64] = self._filter.x[:3, 0]
        return position

    @property
    def velocity(self) -> NDArray[np.float64]:
        """[3] in m/s."""
        velocity: NDArray[np.float64] = self._filter.x[3:, 0]
        return velocity

    @property
    def covariance(self) -> NDArray[np.float64]:
        """[6, 6] of position and velocity."""
        covariance: NDArray[np.float64] = self._filter.P.copy()
        covariance[:3, :3] += self._bias
        return covariance

    @property
    def position_covariance(self) -> NDArray[np.float64]:
        """Covariance of the position in m², [3, 3], bias included."""
        covariance: NDArray[np.float64] = self._filter.P[:3, :3] + self._bias
        return covariance

    def predict(self, seconds: float) -> None:
        """Go on to a time, which is not before the last."""
        step = seconds - self._seconds
        self._seconds = seconds
        if step <= 0:
            return
        transition, noise = _step(step)
        self._filter.predict(F=transition, Q=noise * self._profile.acceleration**2)

    def correct(self, measured: "Measurement") -> bool:
        """Take a measurement of the time predicted to.

        Returns:
            whether it was taken; an outlier is left out, until several come one after the other.
        """
        step = measured.centre - self.position
        spread = self.position_covariance + measured.noise + measured.bias
        if float(step @ np.linalg.solve(spread, step)) > _GATE:
            self._outliers += 1
            if self._outliers < _OUTLIERS:
                return False
            self._begin(measured)
            return True
        self._outliers = 0
        if measured.source is self._source:
            self._filter.update(measured.centre[:, None], R=measured.noise)
        else:
            self._move(measured)
        self._bias = measured.bias
        return True

    def _begin(self, measured: "Measurement") -> None:
        self._outliers = 0
        self._source, self._bias = measured.source, measured.bias
        self._filter.x = np.concatenate([measured.centre, np.zeros(3)])[:, None]
        self._filter.P = np.zeros((6, 6))
        self._filter.P[:3, :3] = measured.noise
        self._filter.P[3:, 3:] = np.eye(3) * self._profile.speed_std**2

    def _move(self, measured: "Measurement") -> None:
        """Start again from a place that was found in another way, with the velocity known so far.

        The two ways differ by their biases, which is no movement.
        """
        self._source = measured.source
        self._filter.x[:3, 0] = measured.centre
        self._filter.P[:3, :3] = measured.noise
        self._filter.P[:3, 3:] = self._filter.P[3:, :3] = 0.0


@dataclass(frozen=True)
class Measurement:
    """A position in the fixed frame; see `Placement`."""

    centre: NDArray[np.float64]
    """[3] in metres."""
    noise: NDArray[np.float64]
    """[3, 3]"""
    bias: NDArray[np.float64]
    """[3, 3]"""
    source: Source

    @classmethod
    def of(cls, placements: Sequence[Placement], fixed_from_camera: RigidTransform) -> "list[Measurement]":
        """Placements, seen from the fixed frame."""
        if not placements:
            return []
        rotation = fixed_from_camera.rotation
        centres = fixed_from_camera.apply(np.array([place.centre for place in placements]))
        noises = rotation @ np.array([place.noise for place in placements]) @ rotation.T
        biases = rotation @ np.array([place.bias for place in placements]) @ rotation.T
        sources = [place.source for place in placements]
        return [cls(*values) for values in zip(centres, noises, biases, sources, strict=True)]


class SizeFilter:
    """Extents along the line of sight, across it, and upwards, each a running mean weighted by how sure it is.

    Args:
        profile: what is known before anything is measured.
        seconds: the time of the first measurement.
    """

    def __init__(self, profile: ClassProfile, seconds: float) -> None:
        across, across_std = profile.lateral()
        self.extent = np.array([across, across, profile.height])
        """[3] in metres."""
        self._variance = np.array([across_std, across_std, profile.size_std]) ** 2
        self._seconds = seconds

    @property
    def std(self) -> NDArray[np.float64]:
        """[3] in metres."""
        return np.sqrt(self._variance)

    def correct(self, placement: Placement, seconds: float) -> None:
        """Take what one frame shows."""
        self._variance = self._variance + _SIZE_DRIFT**2 * max(seconds - self._seconds, 0.0)
        self._seconds = seconds
        gain = self._variance / (self._variance + placement.extent_std**2)
        self.extent = self.extent + gain * (placement.extent - self.extent)
        self._variance = (1 - gain) * self._variance
