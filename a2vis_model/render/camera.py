"""A pinhole camera: world (x right, y up, z any) to camera (x right, y down, z forward) to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def vector(*values: Any) -> Array:
    """Make a float32 array [n] of numbers."""
    return np.array(values, np.float32)


def unit(v: Array) -> Array:
    """Scale a vector [n] to unit length."""
    return v / max(float(np.linalg.norm(v)), 1e-9)


def cross(a: Array, b: Array) -> Array:
    """Return the vector product of two vectors [3]; NumPy's own is ten times slower on a single pair."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return vector(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        position: position [3] in the world.
        rotation: rotation [3, 3], whose rows are right, down and forward.
        focal: focal length in pixels.
        height: height of the picture in pixels.
        width: width of the picture in pixels.
    """

    position: Array
    rotation: Array
    focal: float
    height: int
    width: int

    @classmethod
    def look_at(cls, *, eye: Array, target: Array, focal: float, height: int, width: int, roll: float = 0.0) -> Camera:
        """Make the camera at `eye` with `target` in its centre; `roll` is in radians, clockwise."""
        forward = unit(target - eye)
        level = unit(vector(-forward[2], 0, forward[0]))
        down = cross(forward, level)
        right = level * np.cos(roll) + down * np.sin(roll)
        rotation = np.stack([right, cross(forward, right), forward])
        return cls(np.asarray(eye, np.float32), rotation.astype(np.float32), focal, height, width)

    @property
    def centre(self) -> Array:
        """Principal point (x, y) in pixels."""
        return vector((self.width - 1) / 2, (self.height - 1) / 2)

    def to_camera(self, points: Array) -> Array:
        """Convert world points [..., 3] to camera coordinates [..., 3]."""
        return (points - self.position) @ self.rotation.T

    def to_pixels(self, points: Array) -> Array:
        """Project camera points [..., 3] with positive depth to pixels [..., 2]."""
        return points[..., :2] * (self.focal / points[..., 2:]) + self.centre

    def rays(self) -> Array:
        """Return the world direction through each pixel, [H, W, 3], with a camera depth of one."""
        x = (np.arange(self.width, dtype=np.float32) - self.centre[0]) / np.float32(self.focal)
        y = (np.arange(self.height, dtype=np.float32) - self.centre[1]) / np.float32(self.focal)
        right, down, forward = self.rotation
        return forward + x[None, :, None] * right + y[:, None, None] * down

    def sees_sphere(self, centre: Array, radius: float) -> bool:
        """Return whether a sphere at `centre` (camera coordinates) may touch the picture."""
        x, y, z = (float(v) for v in centre)
        if z < -radius:
            return False
        # Distance to the four side planes of the view.
        return all(
            abs(offset) * self.focal - z * side / 2 < radius * float(np.hypot(self.focal, side / 2))
            for offset, side in ((x, self.width), (y, self.height))
        )
