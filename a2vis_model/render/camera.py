"""A pinhole camera: world (x right, y up, z any) to camera (x right, y down, z forward) to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def vector(*values: Any) -> Array:
    """Numbers as one float32 array ``[n]``."""
    return np.array(values, np.float32)


def unit(v: Array) -> Array:
    return v / max(float(np.linalg.norm(v)), 1e-9)


def cross(a: Array, b: Array) -> Array:
    """The vector product of two vectors ``[3]``; numpy's own is ten times slower on a single pair."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return vector(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)


@dataclass(frozen=True)
class Camera:
    """``position`` ``[3]`` in the world; rows of ``rotation`` ``[3, 3]`` are right, down, forward; ``focal``
    in pixels."""

    position: Array
    rotation: Array
    focal: float
    height: int
    width: int

    @classmethod
    def look_at(cls, *, eye: Array, target: Array, focal: float, height: int, width: int, roll: float = 0.0) -> Camera:
        """The camera at ``eye`` that has ``target`` in its centre; ``roll`` in radians, clockwise."""
        forward = unit(target - eye)
        level = unit(vector(-forward[2], 0, forward[0]))
        down = cross(forward, level)
        right = level * np.cos(roll) + down * np.sin(roll)
        rotation = np.stack([right, cross(forward, right), forward])
        return cls(np.asarray(eye, np.float32), rotation.astype(np.float32), focal, height, width)

    @property
    def centre(self) -> Array:
        """The principal point ``(x, y)`` in pixels."""
        return vector((self.width - 1) / 2, (self.height - 1) / 2)

    def to_camera(self, points: Array) -> Array:
        """World points ``[..., 3]`` to camera coordinates ``[..., 3]``."""
        return (points - self.position) @ self.rotation.T

    def to_pixels(self, points: Array) -> Array:
        """Camera points ``[..., 3]`` with positive depth to pixels ``[..., 2]``."""
        return points[..., :2] * (self.focal / points[..., 2:]) + self.centre

    def rays(self) -> Array:
        """The world direction through each pixel, ``[H, W, 3]``, with a camera depth of one."""
        x = (np.arange(self.width, dtype=np.float32) - self.centre[0]) / np.float32(self.focal)
        y = (np.arange(self.height, dtype=np.float32) - self.centre[1]) / np.float32(self.focal)
        right, down, forward = self.rotation
        return forward + x[None, :, None] * right + y[:, None, None] * down

    def sees_sphere(self, centre: Array, radius: float) -> bool:
        """Whether a sphere at ``centre`` (camera coordinates) may touch the picture."""
        x, y, z = (float(v) for v in centre)
        if z < -radius:
            return False
        # Distance to the four side planes of the view.
        return all(
            abs(offset) * self.focal - z * side / 2 < radius * float(np.hypot(self.focal, side / 2))
            for offset, side in ((x, self.width), (y, self.height))
        )
