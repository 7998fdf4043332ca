"""Constant velocity Kalman filters of objects' positions, and running estimates of their sizes. No ROS.

Each track has a filter of its own. Those of a frame are worked out side by side, in arrays of N: twenty filters one by
one would take ten times as long, nearly all of it spent in calling NumPy.
"""

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

_GATE = 25.0
"""Squared Mahalanobis distance beyond which a measurement is an outlier: once in 65,000 times by chance."""
_OUTLIERS = 3
"""Number of outliers in a row that are taken for the object's place."""
_SIZE_DRIFT = 0.05
"""Change of an object's extent, as it is seen, that is possible within one second, in metres."""
_MEASURE = np.hstack([np.eye(3), np.zeros((3, 3))])


@lru_cache(maxsize=4)
def _step(seconds: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[6, 6] transition over a step in time, and [6, 6] process noise of an acceleration of 1; equal for all tracks."""
    transition = np.eye(6)
    transition[:3, 3:] = np.eye(3) * seconds
    return transition, Q_continuous_white_noise(dim=2, dt=seconds, block_size=3, order_by_dim=False)


@dataclass(frozen=True)
class Measurement:
    """A position in the fixed frame; see `Placement`."""

    centre: NDArray[np.float64]
    """[3] in metres."""
    noise: NDArray[np.float64]
    """[3, 3]"""
    bias: NDArray[np.float64]
    """[3, 3]"""
    axes: NDArray[np.float64]
    """[3, 3] whose columns are the box's axes: along the line of sight, across it, up."""
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
        axes = rotation @ np.array([place.axes for place in placements])
        sources = [place.source for place in placements]
        return [cls(*values) for values in zip(centres, noises, biases, axes, sources, strict=True)]


class MotionFilter:
    """State: position and velocity in the fixed frame, [x, y, z, vx, vy, vz], metres and m/s.

    Time is what stamps say, not the count of frames: the process noise is that of white acceleration, so that one step
    of a second is as uncertain as ten of a tenth.

    Measurements err in two ways. What differs from frame to frame is averaged by the filter. What stays the same, such
    as a camera that is pitched by half a degree more than it is said to be, is not: its covariance is added to the
    filter's, and does not become less with the number of frames.

    `predict` and `correct` of this module go on with it. Its arrays are never written to, only replaced.

    Args:
        measured: the first measurement.
        profile: how objects of the class move.
    """

    def __init__(self, measured: Measurement, profile: ClassProfile) -> None:
        self.profile = profile
        self._begin(measured)

    def _begin(self, measured: Measurement) -> None:
        spread = np.zeros((6, 6))
        spread[:3, :3] = measured.noise
        spread[3:, 3:] = np.eye(3) * self.profile.speed_std**2
        self.state = np.concatenate([measured.centre, np.zeros(3)])
        """[6] position and velocity."""
        self.spread = spread
        """[6, 6] covariance of the state, without the bias."""
        self.bias = measured.bias
        """[3, 3] covariance of what stays the same of the position's error."""
        self._source, self._outliers = measured.source, 0

    @property
    def position(self) -> NDArray[np.float64]:
        """[3] in metres."""
        return self.state[:3]

    @property
    def velocity(self) -> NDArray[np.float64]:
        """[3] in m/s."""
        return self.state[3:]

    @property
    def position_covariance(self) -> NDArray[np.float64]:
        """Covariance of the position in m², [3, 3], bias included."""
        return self.spread[:3, :3] + self.bias

    def take(
        self, measured: Measurement, distance: float, state: NDArray[np.float64], spread: NDArray[np.float64]
    ) -> bool:
        """Go on with what a measurement makes of the state, or leave it out; see `correct`.

        Args:
            measured: the measurement.
            distance: its squared Mahalanobis distance.
            state: [6] corrected by it.
            spread: [6, 6] corrected by it.
        """
        if distance > _GATE:
            self._outliers += 1
            if self._outliers < _OUTLIERS:
                return False
            self._begin(measured)
            return True
        self._outliers = 0
        if measured.source is self._source:
            self.state, self.spread = state, spread
        else:
            self._move(measured)
        self.bias = measured.bias
        return True

    def _move(self, measured: Measurement) -> None:
        """Start again from a place that was found in another way, with the velocity known so far.

        The two ways differ by their biases, which is no movement.
        """
        self._source = measured.source
        spread = np.zeros((6, 6))
        spread[:3, :3], spread[3:, 3:] = measured.noise, self.spread[3:, 3:]
        self.state, self.spread = np.concatenate([measured.centre, self.velocity]), spread


def predict(filters: Sequence[MotionFilter], seconds: float) -> None:
    """Go on by some time, with all filters at once.

    Args:
        filters: of one moment.
        seconds: from that moment on, 0 or more.
    """
    if not filters or seconds <= 0:
        return
    transition, noise = _step(seconds)
    accelerations = np.array([one.profile.acceleration for one in filters])
    states = np.array([one.state for one in filters]) @ transition.T
    spreads = transition @ np.array([one.spread for one in filters]) @ transition.T
    spreads += accelerations[:, None, None] ** 2 * noise
    for one, state, spread in zip(filters, states, spreads, strict=True):
        one.state, one.spread = state, spread


def correct(filters: Sequence[MotionFilter], measured: Sequence[Measurement]) -> list[bool]:
    """Let each filter take a measurement of the moment that it stands at.

    The gain is Kalman's, the covariance that of Joseph's form, which stays positive definite whatever is rounded.

    Args:
        filters: N of them.
        measured: one for each.

    Returns:
        for each whether the measurement was taken; an outlier is left out, until several come one after the other.
    """
    if not filters:
        return []
    states = np.array([one.state for one in filters])
    spreads = np.array([one.spread for one in filters])
    biases = np.array([one.bias for one in filters])
    noises = np.array([one.noise for one in measured])
    steps = (np.array([one.centre for one in measured]) - states[:, :3])[:, :, None]
    innovations = spreads[:, :3, :3] + noises
    gates = innovations + biases + np.array([one.bias for one in measured])
    to_gain, to_distance = np.linalg.inv(np.array([innovations, gates]))
    distances = (steps * (to_distance @ steps)).sum(axis=(1, 2)).tolist()
    gains = spreads[:, :, :3] @ to_gain
    states = states + (gains @ steps)[:, :, 0]
    rest = np.eye(6) - gains @ _MEASURE
    spreads = rest @ spreads @ rest.transpose(0, 2, 1) + gains @ noises @ gains.transpose(0, 2, 1)
    return [one.take(*found) for one, *found in zip(filters, measured, distances, states, spreads, strict=True)]


def covariances(filters: Sequence[MotionFilter]) -> NDArray[np.float64]:
    """Covariances of position and velocity, biases included, [N, 6, 6]."""
    found = np.array([one.spread for one in filters]).reshape(-1, 6, 6)
    found[:, :3, :3] += np.array([one.bias for one in filters]).reshape(-1, 3, 3)
    return found


class SizeFilter:
    """Extents along the line of sight, across it, and upwards, each a running mean weighted by how sure it is.

    `correct_sizes` goes on with it. Its arrays are never written to, only replaced.

    Args:
        profile: what is known before anything is measured.
        seconds: the time of the first measurement.
    """

    def __init__(self, profile: ClassProfile, seconds: float) -> None:
        across, across_std = profile.lateral
        self.extent = np.array([across, across, profile.height])
        """[3] in metres."""
        self.variance = np.array([across_std, across_std, profile.size_std]) ** 2
        """[3] in m²."""
        self.seconds = seconds
        """Time of the last measurement."""


def correct_sizes(sizes: Sequence[SizeFilter], placements: Sequence[Placement], seconds: float) -> None:
    """Let each take what one frame shows.

    Args:
        sizes: N of them.
        placements: one for each.
        seconds: the time of the frame.
    """
    if not sizes:
        return
    since = np.maximum(seconds - np.array([one.seconds for one in sizes]), 0.0)
    variances = np.array([one.variance for one in sizes]) + _SIZE_DRIFT**2 * since[:, None]
    gains = variances / (variances + np.array([place.extent_std for place in placements]) ** 2)
    extents = np.array([one.extent for one in sizes])
    extents = extents + gains * (np.array([place.extent for place in placements]) - extents)
    variances = (1 - gains) * variances
    for one, extent, variance in zip(sizes, extents, variances, strict=True):
        one.extent, one.variance, one.seconds = extent, variance, seconds
