"""Placement of things in a composed scene: how far away, how far aside, and what is behind them there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .backdrop import Backdrop
from .camera import Array, Camera, vector
from .texture import Rng

Pixels = NDArray[np.uint8]

_SHARP = 1.3  # Largest number of picture pixels per cut-out pixel.
_SPARE = 1.4  # Sprite pixels per picture pixel: cameras zoom and come nearer.
_SIZES = (0.15, 0.9)  # Shares of the picture's height.


@dataclass(frozen=True)
class Stage:
    """A place as `camera` sees it in the middle of the `window` of seconds that a scene lasts."""

    backdrop: Backdrop
    camera: Camera
    window: float

    def place(self, x: float, depth: float, lift: float = 0.0) -> Array:
        """Return the world point [3] `x` metres beside the camera, `depth` ahead of it and `lift` above ground."""
        at = self.camera.position
        return vector(at[0] + x, lift, at[2] + depth)

    def half_view(self, depth: float) -> float:
        """Return the distance in metres from the middle to the side of the picture at a depth."""
        return depth * self.camera.width / 2 / self.camera.focal

    def ground_reach(self, above: float) -> float:
        """Return the depth in metres at which points `above` metres high meet the picture's lower border."""
        pitch = float(np.arcsin(np.clip(self.camera.rotation[2, 1], -1, 1)))
        below = float(np.arctan(self.camera.height / 2 / self.camera.focal)) - pitch
        return max(float(self.camera.position[1]) - above, 0.05) / float(np.tan(np.clip(below, 0.03, 1.4)))

    def sample_depth(self, rng: Rng, tall: float, wide: float, rows: int) -> float:
        """Sample the depth in metres of something `tall` by `wide` metres, whose picture has `rows` rows.

        Sizes in the picture are uniform on a log scale, as far as the ground is in the picture and the picture is sharp
        enough. One in five may have its feet below the lower border.
        """
        focal, height, width = self.camera.focal, self.camera.height, self.camera.width
        low = self.ground_reach(0.6 * tall) if rng.uniform() < 0.2 else 1.02 * self.ground_reach(0)
        low = max(low, tall * focal / (1.6 * height), wide * focal / (1.3 * width), tall * focal / (_SHARP * rows))
        high = 0.95 * self.backdrop.depth
        near, far = (tall * focal / (share * height) for share in _SIZES[::-1])
        if max(low, near) < min(high, far):
            low, high = max(low, near), min(high, far)
        else:
            high = min(high, 1.5 * low)
        return _log_uniform(rng, low, high)

    def sample_border_depth(self, rng: Rng, tall: float, lift: float) -> float:
        """Sample the depth in metres of something whose lower edge must be out of the picture, and some of it inside.

        The lower edge is `lift` metres above the ground.
        """
        lower = self.ground_reach(lift)
        return _log_uniform(rng, min(self.ground_reach(lift + 0.6 * tall), 0.85 * lower), 0.9 * lower)

    def fitted(self, pixels: Pixels, tall: float, depth: float) -> Pixels:
        """Shrink a picture of something `tall` metres high to the resolution that is visible at `depth`."""
        scale = _SPARE * tall * self.camera.focal / max(depth, 0.5) / len(pixels)
        if scale > 0.8:
            return pixels
        size = [max(round(side * scale), 6) for side in pixels.shape[1::-1]]
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)

    def surroundings(self, foot: Array, tall: float) -> Pixels:
        """Return the part of the photograph RGB [h, w, 3] behind and around something `tall` metres high."""
        photo, camera, to_photo = self.backdrop.photo, self.backdrop.camera, self.backdrop.to_photo
        at = camera.to_camera(foot + vector(0, tall / 2, 0))
        at[2] = max(float(at[2]), 0.3)
        x, y, _ = to_photo @ np.array([*camera.to_pixels(at), 1.0])
        reach = int(max(tall * camera.focal / float(at[2]) * to_photo[0, 0], 24))
        sides = ((x, photo.shape[1]), (y, photo.shape[0]))
        left, top = (int(np.clip(v - reach, 0, max(side - 16, 0))) for v, side in sides)
        return photo[top : top + 2 * reach, left : left + 2 * reach]


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    low = max(low, 0.5)
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high, 1.01 * low)))))
