"""Whether an object that cannot be seen is still there. No ROS."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..planner.mask_codec import RunLengthMask, decode_box
from .camera import CameraModel
from .depth_surface import DepthMetres

EMPTY_RATE = 3.0
"""1/s. A place that is seen empty makes it e^-3 times as likely within a second that the object is there."""
_OFFSETS = np.array([-1.5, -0.75, 0.0, 0.75, 1.5])
"""Standard deviations to the side of the expected place at which is looked, too,"""
_WEIGHTS = np.exp(-(_OFFSETS**2) / 2) / np.exp(-(_OFFSETS**2) / 2).sum()
"""and how likely each is."""
_INSIDE = np.array([-0.3, 0.0, 0.3])
"""Where in an object's width and height is looked, as shares of these from the middle."""
_CELL = 4
"""Pixels of a side of the cells in which masks are drawn."""


def decayed(existence: float, seconds: float, half_life_s: float, empty: float) -> float:
    """The belief in a hidden object after some time.

    Objects leave without being seen to: belief halves with each half-life. And where the place is seen, and is empty,
    the odds fall by `EMPTY_RATE`, in proportion to how much of the place is seen.

    Args:
        existence: probability before.
        seconds: since then.
        half_life_s: of the class.
        empty: probability that the object, were it there, would have been seen; in [0, 1].
    """
    existence *= 0.5 ** (seconds / half_life_s)
    if not 0 < existence < 1:
        return existence
    odds = existence / (1 - existence) * math.exp(-EMPTY_RATE * empty * seconds)
    return odds / (1 + odds)


@dataclass(frozen=True)
class ExpectedPlace:
    """Where a hidden object is expected, in the camera's optical frame; lengths in metres."""

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


class View:
    """What one frame shows, as far as it can hide something or be seen to be empty.

    Args:
        camera: of the image.
        depth: [H, W] registered to the image, if there is one.
        visible: the visible masks of all objects.
    """

    def __init__(self, camera: CameraModel, depth: DepthMetres | None, visible: Sequence[RunLengthMask]) -> None:
        self._camera, self._depth, self._visible = camera, depth, visible
        self._cells: NDArray[np.bool_] | None = None

    def covered(self, place: ExpectedPlace) -> float:
        """Share of the expected place over which other objects are seen, in [0, 1]; 0 where it is outside the image."""
        u, v, weights, _ = self._samples(place)
        return float(weights @ self._drawn[v // _CELL, u // _CELL]) if len(u) else 0.0

    def empty(self, place: ExpectedPlace, known_occluder: bool) -> float:
        """Probability that the object would be seen if it were there, in [0, 1]. What is outside the image, behind
        something, or without a depth is not seen.

        Args:
            place: where it is expected.
            known_occluder: it went behind an object that is tracked. Without depth nothing else tells whether the
                background that is seen there is behind the place or before it.
        """
        u, v, weights, distances = self._samples(place)
        if not len(u):
            return 0.0
        if self._depth is not None:
            z = self._depth[v, u].astype(np.float64)
            margin = place.extent[0] / 2 + 2 * place.std[0]
            seen = z * (self._camera.coarse_rays(u, v) @ place.forward)
            # NaN, a hole, is not greater.
            return float(weights @ (seen > distances + margin))
        return float(weights @ ~self._drawn[v // _CELL, u // _CELL]) if known_occluder else 0.0

    def _samples(
        self, place: ExpectedPlace
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
        """Pixels of the place inside the image, their weights, and the place's forward distance at each: [N] each. The
        weights of all pixels, inside the image or not, add up to 1."""
        aside = (_OFFSETS[:, None] * place.std[1] + _INSIDE * place.extent[1]).ravel()
        share = np.repeat(_WEIGHTS, len(_INSIDE)) / len(_INSIDE)
        upwards = _INSIDE * place.extent[2]
        points = place.centre + (aside[:, None, None] * place.left + upwards[:, None] * place.up)
        weights = np.repeat(share, len(upwards)) / len(upwards)
        flat = points.reshape(-1, 3)
        pixels = self._camera.project(flat)
        height, width = self._camera.height, self._camera.width
        with np.errstate(invalid="ignore"):
            inside = ((pixels >= -0.5) & (pixels < (width - 0.5, height - 0.5))).all(axis=1)
        u, v = np.rint(pixels[inside]).astype(np.intp).T
        u, v = np.clip(u, 0, width - 1), np.clip(v, 0, height - 1)
        return u, v, weights[inside], flat[inside] @ place.forward

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
                cells = decode_box(mask)[top::_CELL, left::_CELL]
                y, x = (mask.y + top) // _CELL, (mask.x + left) // _CELL
                self._cells[y : y + cells.shape[0], x : x + cells.shape[1]] |= cells
        return self._cells
