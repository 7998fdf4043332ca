"""The ground as a camera sees it, and the distance of what stands on it. No ROS."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .transforms import RigidTransform


class GroundError(ValueError):
    """There is no usable ground plane. The message names the value and the remedy."""


@dataclass(frozen=True)
class GroundPlane:
    """The plane `up · x = -height` in a camera's optical frame."""

    up: NDArray[np.float64]
    """[3] unit vector, in the optical frame."""
    height: float
    """Height of the camera above the ground in metres."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.up).all() and math.isfinite(self.height) and self.height > 0):
            raise GroundError(
                f"the camera is {self.height:.3g} m above the ground plane, and must be above it; check ground_frame "
                "and its transform, or camera_height_m"
            )

    @classmethod
    def from_mounting(cls, height: float, pitch_deg: float, roll_deg: float) -> "GroundPlane":
        """Return the ground plane as a camera mounted so sees it.

        Args:
            height: above the ground, in metres.
            pitch_deg: angle by which the optical axis points below the horizon, in degrees.
            roll_deg: degrees by which the camera is turned clockwise about its optical axis, as seen from behind it.
        """
        pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
        up = np.array([-math.sin(roll) * math.cos(pitch), -math.cos(roll) * math.cos(pitch), -math.sin(pitch)])
        return cls(up, height)

    @classmethod
    def from_transform(cls, ground_from_camera: RigidTransform) -> "GroundPlane":
        """The plane z = 0 of a frame whose z axis points up."""
        return cls(ground_from_camera.rotation[2].copy(), float(ground_from_camera.translation[2]))


def distance_on_ground(depression: NDArray[np.float64], height: float) -> NDArray[np.float64]:
    """Horizontal distances of the points at which rays meet the ground, in metres; infinite at and above the horizon.

    Args:
        depression: [N] angles of the rays below the horizon, in radians.
        height: height of the camera, in metres.
    """
    below = depression > 0
    return np.where(below, height / np.tan(np.where(below, depression, 1.0)), np.inf)


def distance_std(
    distance: NDArray[np.float64], height: float, angle_std: NDArray[np.float64], height_std: float
) -> NDArray[np.float64]:
    """Standard deviations of `distance_on_ground`, to first order, in metres.

    With D = h / tan ε: dD/dε = -(D² + h²) / h and dD/dh = D / h.

    Args:
        distance: [N] D.
        height: h.
        angle_std: [N] standard deviations of ε, from pixels and the camera's attitude together, in radians.
        height_std: standard deviation of h, in metres.
    """
    return np.hypot((distance**2 + height**2) / height * angle_std, distance / height * height_std)
