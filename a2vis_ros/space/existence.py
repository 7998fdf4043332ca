"""Belief that an object that cannot be seen is still there; imports no ROS."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..planner.emergence import uncovered_sides
from ..planner.mask_codec import MaskSet
from .camera import CameraModel
from .depth_surface import DepthMetres

EMPTY_RATE = 3.0
"""1/s. A place that is seen empty makes it e^-3 times as likely within a second that the object is there."""
OFFSETS = np.array([-1.5, -0.75, 0.0, 0.75, 1.5])
"""Standard deviations to the side of the expected place at which is looked for a hidden object, too."""
_MIDDLE = len(OFFSETS) // 2
"""Index of the expected place itself."""
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
class ExpectedPlaces:
    """Places where K hidden objects are expected, in the camera's optical frame; lengths in metres."""

    centres: NDArray[np.float64]
    """[K, 3]"""
    axes: NDArray[np.float64]
    """[K, 3, 3] whose columns are unit vectors: forward, horizontally away from the camera, to the left, and up."""
    extents: NDArray[np.float64]
    """[K, 3] along these three."""
    stds: NDArray[np.float64]
    """[K, 3] standard deviations of the centres along these three."""


class FrameView:
    """What one frame shows of the places of hidden objects: what hides them, and what is seen to be empty.

    All places are looked at together, because small arrays cost by the call.

    Args:
        camera: camera of the image.
        depth: [H, W] registered to the image, if there is one.
        visible: the visible masks of all objects.
        places: the places, K of them.
    """

    def __init__(
        self,
        camera: CameraModel,
        depth: DepthMetres | None,
        visible: MaskSet,
        places: ExpectedPlaces,
    ) -> None:
        self._camera, self._depth, self._visible, self.places = camera, depth, visible, places
        self._forward, self._left, up = places.axes.transpose(2, 0, 1)
        self._distances = (places.centres * self._forward).sum(axis=1)
        """[K] metres forward."""
        # Nine points at each of the offsets, [K, 5, 3, 3, 3].
        extents, stds = places.extents[:, None, None, None], places.stds[:, None, None, None]
        aside = OFFSETS[:, None, None] * stds[..., 1] + _INSIDE[:, None] * extents[..., 1]
        upwards = _INSIDE * extents[..., 2]
        points = (
            places.centres[:, None, None, None]
            + aside[..., None] * self._left[:, None, None, None]
            + upwards[..., None] * up[:, None, None, None]
        )
        pixels = camera.project(points.reshape(-1, 3)).reshape(len(points), len(OFFSETS), -1, 2)
        last = np.array((camera.width - 1, camera.height - 1))
        with np.errstate(invalid="ignore"):
            self._inside = np.asarray(((pixels >= -0.5) & (pixels < last + 0.5)).all(axis=3), np.bool_)
        nearest = np.clip(np.rint(np.where(self._inside[..., None], pixels, 0.0)), 0, last).astype(np.intp)
        self._u, self._v = nearest[..., 0], nearest[..., 1]
        """[K, 5, 9] pixels of these points, and above whether they are in the image."""

    def covered(self) -> NDArray[np.float64]:
        """Share of each expected place over which other objects are seen, [K] in [0, 1]; 0 outside the image."""
        u, v, inside = (values[:, _MIDDLE] for values in (self._u, self._v, self._inside))
        return np.asarray((self._drawn[v // _CELL, u // _CELL] & inside).mean(axis=1), np.float64)

    def empty(self, known_occluder: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return for each of `OFFSETS` the probability that the object would be seen if it were there: [K, 5].

        What is outside the image, behind something, or without a depth is not seen.

        Args:
            known_occluder: [K] it went behind an object that is tracked. Without depth nothing else tells whether the
                background that is seen there is behind the place or before it.
        """
        if self._depth is not None:
            ahead = self._camera.coarse_along(self._u, self._v, self._forward.T[:, :, None, None])
            seen_at = self._depth[self._v, self._u] * ahead
            far_sides = self._distances + self.places.extents[:, 0] / 2 + 2 * self.places.stds[:, 0]
            # NaN, a hole, is not greater.
            seen = seen_at > far_sides[:, None, None]
        else:
            seen = ~self._drawn[self._v // _CELL, self._u // _CELL] & known_occluder[:, None, None]
        return np.asarray((seen & self._inside).mean(axis=2), np.float64)

    def ends(self) -> list[list[float]]:
        """Where what hides each place ends beside it, at its distance.

        Returns:
            for each place the ends that are in view, in metres to the left of its centre: one above 0 and one below;
            0 alone where nothing hides the place. None is in view of a place outside the image.
        """
        # The middle one of the nine points is the centre.
        rows, columns = self._v[:, _MIDDLE, 4], self._u[:, _MIDDLE, 4]
        row_u, row_v = np.arange(0, self._camera.width, _CELL), rows[:, None]
        ahead = self._camera.coarse_along(row_u, row_v, self._forward.T[:, :, None])
        if self._depth is None:
            covered = self._drawn[rows // _CELL]
        else:
            near_sides = self._distances - self.places.extents[:, 0] / 2
            # What is behind a hole in the depth image is not seen.
            covered = ~(self._depth[rows, ::_CELL] * ahead > near_sides[:, None])
        with np.errstate(divide="ignore", invalid="ignore"):
            left = self._camera.coarse_along(row_u, row_v, self._left.T[:, :, None])
            aside = self._distances[:, None] * left / ahead
        aside -= (self.places.centres * self._left).sum(axis=1, keepdims=True)
        return [
            _ends(*one) if is_inside else []
            for is_inside, *one in zip(
                self._inside[:, _MIDDLE, 4], covered, (columns // _CELL).tolist(), aside, strict=True
            )
        ]

    @cached_property
    def _drawn(self) -> NDArray[np.bool_]:
        """[ceil(H / 4), ceil(W / 4)] cells in which some object is seen."""
        drawn = np.zeros((-(-self._camera.height // _CELL), -(-self._camera.width // _CELL)), np.bool_)
        for mask, pixels in zip(self._visible.masks, self._visible.pixels, strict=True):
            # The cells' upper left pixels inside the box.
            top, left = -mask.y % _CELL, -mask.x % _CELL
            cells = pixels[top::_CELL, left::_CELL]
            y, x = (mask.y + top) // _CELL, (mask.x + left) // _CELL
            drawn[y : y + cells.shape[0], x : x + cells.shape[1]] |= cells
        return drawn


def _ends(covered: NDArray[np.bool_], at: int, aside: NDArray[np.float64]) -> list[float]:
    """The ends of what hides one place; see `FrameView.ends`.

    Args:
        covered: [W / 4] whether something hides what is behind it, cell by cell of the place's row.
        at: the place's own cell.
        aside: [W / 4] metres from the place to the left; no number where the lens has no ray.
    """
    left, right = uncovered_sides(covered, at)
    if left == right == at:
        return [0.0]
    return [float(aside[end]) for end in (left, right) if end is not None and np.isfinite(aside[end])]
