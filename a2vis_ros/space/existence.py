"""Belief that an object that cannot be seen is still there; imports no ROS."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..planner.emergence import uncovered_sides
from ..planner.mask_codec import RunLengthMask
from .camera import CameraModel
from .depth_surface import DepthMetres

EMPTY_RATE = 3.0
"""1/s. A place that is seen empty makes it e^-3 times as likely within a second that the object is there."""
OFFSETS = np.array([-1.5, -0.75, 0.0, 0.75, 1.5])
"""Standard deviations to the side of the expected place at which is looked for a hidden object, too."""
_PRIOR = np.exp(-(OFFSETS**2) / 2) / np.exp(-(OFFSETS**2) / 2).sum()
_INSIDE = np.array([-0.3, 0.0, 0.3])
"""Places in an object at which is looked, as shares of its width and height from the middle."""
_CELL = 4
"""Pixels of a side of the cells in which masks are drawn."""


class HiddenBelief:
    """The belief that a hidden object is still there.

    It may be at its expected place or somewhat to either side: each of these is a hypothesis, which moves on at a
    constant velocity of its own. Objects leave without being seen to, so belief halves with every half-life. And where
    a hypothesis' place is seen, and is empty, that hypothesis fades, and those that are still behind something stay.

    Args:
        existence: probability when the object was last seen.
        half_life_s: half-life of its class, in seconds.
    """

    def __init__(self, existence: float, half_life_s: float) -> None:
        self._masses = existence * _PRIOR
        self._absent = 1.0 - existence
        self._half_life_s = half_life_s

    @property
    def existence(self) -> float:
        """Probability that the object is there."""
        present = float(self._masses.sum())
        total = present + self._absent
        return present / total if total > 0 else 0.0

    def watch(self, seconds: float, empty: NDArray[np.float64]) -> None:
        """Go on by some time.

        Args:
            seconds: since the last time.
            empty: [5] for each of `OFFSETS` the probability, in [0, 1], that the object would be seen if it were there.
        """
        stay = 0.5 ** (seconds / self._half_life_s)
        self._absent += float(self._masses.sum()) * (1 - stay)
        self._masses = self._masses * stay * np.exp(-EMPTY_RATE * empty * seconds)


@dataclass(frozen=True)
class ExpectedPlace:
    """Place where a hidden object is expected, in the camera's optical frame; lengths in metres."""

    centre: NDArray[np.float64]
    """[3]"""
    forward: NDArray[np.float64]
    """[3] unit vector, horizontally away from the camera."""
    left: NDArray[np.float64]
    """[3] unit vector."""
    up: NDArray[np.float64]
    """[3] unit vector."""
    extent: NDArray[np.float64]
    """[3] along these three."""
    std: NDArray[np.float64]
    """[3] standard deviation of the centre along these three."""


class FrameView:
    """What one frame shows, as far as it can hide something or be seen to be empty.

    Args:
        camera: camera of the image.
        depth: [H, W] registered to the image, if there is one.
        visible: the visible masks of all objects.
    """

    def __init__(self, camera: CameraModel, depth: DepthMetres | None, visible: Sequence[RunLengthMask]) -> None:
        self._camera, self._depth, self._visible = camera, depth, visible
        self._cells: NDArray[np.bool_] | None = None

    def covered(self, place: ExpectedPlace) -> float:
        """Share of the expected place over which other objects are seen, in [0, 1]; 0 where it is outside the image."""
        u, v, inside, _ = self._samples(place)
        middle = len(OFFSETS) // 2
        return float((self._drawn[v // _CELL, u // _CELL] & inside)[middle].mean())

    def empty(self, place: ExpectedPlace, known_occluder: bool) -> NDArray[np.float64]:
        """Return for each of `OFFSETS` the probability that the object would be seen if it were there: [5], in [0, 1].

        What is outside the image, behind something, or without a depth is not seen.

        Args:
            place: where it is expected.
            known_occluder: it went behind an object that is tracked. Without depth nothing else tells whether the
                background that is seen there is behind the place or before it.
        """
        u, v, inside, distances = self._samples(place)
        if self._depth is not None:
            z = self._depth[v, u].astype(np.float64)
            margin = place.extent[0] / 2 + 2 * place.std[0]
            rays = self._camera.coarse_rays_at(u.ravel(), v.ravel()) @ place.forward
            # NaN, a hole, is not greater.
            seen = z * rays.reshape(z.shape) > distances + margin
        elif known_occluder:
            seen = ~self._drawn[v // _CELL, u // _CELL]
        else:
            return np.zeros(len(OFFSETS))
        return np.asarray((seen & inside).mean(axis=1), np.float64)

    def sides(self, place: ExpectedPlace) -> tuple[float | None, float | None] | None:
        """How far to the left and to the right what hides the place ends, at its distance.

        Returns:
            metres to the left of the place's centre: one above 0 and one below, None for a side on which the end is
            not in view, 0 twice where nothing hides the place. None where the place is outside the image.
        """
        pixel = self._camera.project(place.centre[None])[0]
        width, height = self._camera.width, self._camera.height
        if not (-0.5 <= pixel[0] < width - 0.5 and -0.5 <= pixel[1] < height - 0.5):
            return None
        row = round(float(pixel[1]))
        u = np.arange(0, width, _CELL)
        v = np.full(len(u), row)
        rays = self._camera.coarse_rays_at(u, v)
        ahead = rays @ place.forward
        distance = float(place.centre @ place.forward)
        if self._depth is None:
            covered = self._drawn[row // _CELL]
        else:
            seen = self._depth[row, ::_CELL] * ahead
            # What is behind a hole in the depth image is not seen.
            covered = ~(seen > distance - place.extent[0] / 2)
        ends = uncovered_sides(covered, round(float(pixel[0])) // _CELL)
        with np.errstate(divide="ignore", invalid="ignore"):
            aside = distance * (rays @ place.left) / ahead - float(place.centre @ place.left)
        left, right = (None if end is None or not np.isfinite(aside[end]) else float(aside[end]) for end in ends)
        return (0.0, 0.0) if ends[0] is not None and ends[0] == ends[1] else (left, right)

    def _samples(
        self, place: ExpectedPlace
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_], NDArray[np.float64]]:
        """Return nine points of the place at each of `OFFSETS`, [5, 9] each.

        These are pixels u and v, whether they are inside the image, and forward distances in metres.
        """
        aside = OFFSETS[:, None, None] * place.std[1] + _INSIDE[:, None] * place.extent[1]
        upwards = np.broadcast_to(_INSIDE * place.extent[2], (1, 1, len(_INSIDE)))
        points = place.centre + aside[..., None] * place.left + upwards[..., None] * place.up
        points = points.reshape(len(OFFSETS), -1, 3)
        pixels = self._camera.project(points.reshape(-1, 3)).reshape(*points.shape[:2], 2)
        last = (self._camera.width - 1, self._camera.height - 1)
        with np.errstate(invalid="ignore"):
            inside = np.asarray(((pixels >= -0.5) & (pixels < np.add(last, 0.5))).all(axis=2), np.bool_)
        nearest = np.clip(np.rint(np.where(inside[..., None], pixels, 0.0)), 0, last).astype(np.intp)
        return nearest[..., 0], nearest[..., 1], inside, points @ place.forward

    @property
    def _drawn(self) -> NDArray[np.bool_]:
        """[ceil(H / 4), ceil(W / 4)] cells in which some object is seen. Drawn when first asked for."""
        if self._cells is None:
            shape = (-(-self._camera.height // _CELL), -(-self._camera.width // _CELL))
            self._cells = np.zeros(shape, np.bool_)
            for mask in self._visible:
                if not mask.area:
                    continue
                # The cells' upper left pixels inside the box.
                top, left = -mask.y % _CELL, -mask.x % _CELL
                cells = mask.pixels[top::_CELL, left::_CELL]
                y, x = (mask.y + top) // _CELL, (mask.x + left) // _CELL
                self._cells[y : y + cells.shape[0], x : x + cells.shape[1]] |= cells
        return self._cells
