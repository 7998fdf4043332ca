"""Constant velocity Kalman filters of objects' positions, and running estimates of their sizes. No ROS.

Each track has a filter of its own. All of them are worked out side by side, in arrays of N with one row for each track:
twenty filters one by one would take ten times as long, nearly all of it spent in calling NumPy.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from a2vis_model.extras import optional_packages

from .placement import Placements
from .profiles import ProfileTable
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


class Measurements(NamedTuple):
    """Positions of M objects in the fixed frame; see `Placements`."""

    centre: NDArray[np.float64]
    """[M, 3] in metres."""
    noise: NDArray[np.float64]
    """[M, 3, 3]"""
    bias: NDArray[np.float64]
    """[M, 3, 3]"""
    source: NDArray[np.intp]
    """[M]"""

    @classmethod
    def of(cls, placements: Placements, fixed_from_camera: RigidTransform) -> "Measurements":
        """Placements, seen from the fixed frame."""
        rotation = fixed_from_camera.rotation
        noise, bias = rotation @ np.array([placements.noise, placements.bias]) @ rotation.T
        return cls(fixed_from_camera.apply(placements.centre), noise, bias, placements.source)

    def select(self, rows: NDArray[np.intp]) -> "Measurements":
        """Those of some of the objects."""
        return Measurements(self.centre[rows], self.noise[rows], self.bias[rows], self.source[rows])


class MotionFilters:
    """Filters of N tracks. State: position and velocity in the fixed frame, [x, y, z, vx, vy, vz], metres and m/s.

    Time is what stamps say, not the count of frames: the process noise is that of white acceleration, so that one step
    of a second is as uncertain as ten of a tenth.

    Measurements err in two ways. What differs from frame to frame is averaged by the filter. What stays the same, such
    as a camera that is pitched by half a degree more than it is said to be, is not: its covariance is added to the
    filter's, and does not become less with the number of frames.
    """

    def __init__(self) -> None:
        self.states = np.zeros((0, 6))
        """[N, 6] position and velocity."""
        self.spreads = np.zeros((0, 6, 6))
        """[N, 6, 6] covariance of the state, without the bias."""
        self.biases = np.zeros((0, 3, 3))
        """[N, 3, 3] covariance of what stays the same of the position's error."""
        self._sources = np.zeros(0, np.intp)
        self._outliers = np.zeros(0, np.intp)
        """[N] number of outliers in a row."""
        self._speed_variances = np.zeros(0)
        self._accelerations = np.zeros(0)

    def add(self, measured: Measurements, profiles: ProfileTable) -> None:
        """Begin filters behind the last row.

        Args:
            measured: the first measurement of each.
            profiles: how objects of their classes move.
        """
        count, new = len(self.states), len(measured.centre)
        self.states = np.concatenate([self.states, np.zeros((new, 6))])
        self.spreads = np.concatenate([self.spreads, np.zeros((new, 6, 6))])
        self.biases = np.concatenate([self.biases, measured.bias])
        self._sources = np.concatenate([self._sources, measured.source])
        self._outliers = np.concatenate([self._outliers, np.zeros(new, np.intp)])
        self._speed_variances = np.concatenate([self._speed_variances, profiles.speed_std**2])
        self._accelerations = np.concatenate([self._accelerations, profiles.acceleration])
        self._begin(np.arange(count, count + new), measured)

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Forget all filters but these, which get this order."""
        self.states, self.spreads, self.biases = self.states[rows], self.spreads[rows], self.biases[rows]
        self._sources, self._outliers = self._sources[rows], self._outliers[rows]
        self._speed_variances, self._accelerations = self._speed_variances[rows], self._accelerations[rows]

    def covariances(self) -> NDArray[np.float64]:
        """Covariances of position and velocity, biases included, [N, 6, 6]."""
        found = self.spreads.copy()
        found[:, :3, :3] += self.biases
        return found

    def predict(self, seconds: float) -> None:
        """Go on by some time, 0 or more."""
        if seconds <= 0:
            return
        transition, noise = _step(seconds)
        self.states = self.states @ transition.T
        self.spreads = transition @ self.spreads @ transition.T + self._accelerations[:, None, None] ** 2 * noise

    def correct(self, rows: NDArray[np.intp], measured: Measurements) -> NDArray[np.bool_]:
        """Let filters take measurements of the moment that they stand at.

        The gain is Kalman's, the covariance that of Joseph's form, which stays positive definite whatever is rounded.

        Args:
            rows: [M] which filters, each at most once.
            measured: one for each of them.

        Returns:
            [M] whether each measurement was taken; an outlier is left out, until several come one after the other.
        """
        if not len(rows):
            return np.zeros(0, np.bool_)
        states, spreads = self.states[rows], self.spreads[rows]
        steps = (measured.centre - states[:, :3])[:, :, None]
        innovations = spreads[:, :3, :3] + measured.noise
        gates = innovations + self.biases[rows] + measured.bias
        to_gain, to_distance = np.linalg.inv(np.array([innovations, gates]))
        far = (steps * (to_distance @ steps)).sum(axis=(1, 2)) > _GATE
        gains = spreads[:, :, :3] @ to_gain
        rest = np.eye(6) - gains @ _MEASURE
        states += (gains @ steps)[:, :, 0]
        spreads = rest @ spreads @ rest.transpose(0, 2, 1) + gains @ measured.noise @ gains.transpose(0, 2, 1)
        self._outliers[rows] = outliers = np.where(far, self._outliers[rows] + 1, 0)
        begins = outliers >= _OUTLIERS
        moves = ~far & (measured.source != self._sources[rows])
        goes_on = ~far & ~moves
        self.states[rows[goes_on]], self.spreads[rows[goes_on]] = states[goes_on], spreads[goes_on]
        if moves.any():
            self._move(rows[moves], measured.select(np.flatnonzero(moves)))
        if begins.any():
            self._begin(rows[begins], measured.select(np.flatnonzero(begins)))
        taken = ~far | begins
        self.biases[rows[taken]], self._sources[rows[taken]] = measured.bias[taken], measured.source[taken]
        return np.asarray(taken, np.bool_)

    def _begin(self, rows: NDArray[np.intp], measured: Measurements) -> None:
        """Stand at measurements, at a velocity of which nothing is known but the class."""
        spreads = np.zeros((len(rows), 6, 6))
        spreads[:, :3, :3] = measured.noise
        spreads[:, 3:, 3:] = np.eye(3) * self._speed_variances[rows, None, None]
        self.states[rows] = np.hstack([measured.centre, np.zeros_like(measured.centre)])
        self.spreads[rows], self._outliers[rows] = spreads, 0

    def _move(self, rows: NDArray[np.intp], measured: Measurements) -> None:
        """Start again from places that were found in another way, with the velocities known so far.

        The two ways differ by their biases, which is no movement.
        """
        spreads = np.zeros((len(rows), 6, 6))
        spreads[:, :3, :3], spreads[:, 3:, 3:] = measured.noise, self.spreads[rows, 3:, 3:]
        self.states[rows, :3], self.spreads[rows] = measured.centre, spreads


class SizeFilters:
    """Extents of N tracks, each a running mean weighted by how sure what was seen is."""

    def __init__(self) -> None:
        self.extents = np.zeros((0, 3))
        """[N, 3] along the line of sight, across it, and upwards, in metres."""
        self.variances = np.zeros((0, 3))
        """[N, 3] in m²."""
        self._seconds = np.zeros(0)
        """[N] time of the last measurement."""

    def add(self, profiles: ProfileTable, seconds: float) -> None:
        """Begin estimates behind the last row, with what is known of the classes."""
        extents = np.array([profiles.lateral, profiles.lateral, profiles.height]).T
        stds = np.array([profiles.lateral_std, profiles.lateral_std, profiles.size_std]).T
        self.extents = np.concatenate([self.extents, extents])
        self.variances = np.concatenate([self.variances, stds**2])
        self._seconds = np.concatenate([self._seconds, np.full(len(extents), seconds)])

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Forget all estimates but these, which get this order."""
        self.extents, self.variances, self._seconds = self.extents[rows], self.variances[rows], self._seconds[rows]

    def correct(
        self,
        rows: NDArray[np.intp],
        extents: NDArray[np.float64],
        stds: NDArray[np.float64],
        seconds: float,
    ) -> None:
        """Take what one frame shows.

        Args:
            rows: [M] of which tracks, each at most once.
            extents: [M, 3]
            stds: [M, 3] their standard deviations.
            seconds: the time of the frame.
        """
        since = np.maximum(seconds - self._seconds[rows], 0.0)
        variances = self.variances[rows] + _SIZE_DRIFT**2 * since[:, None]
        gains = variances / (variances + stds**2)
        self.extents[rows] += gains * (extents - self.extents[rows])
        self.variances[rows], self._seconds[rows] = (1 - gains) * variances, seconds
