"""Places in space where a hidden object may come out, and how soon; imports no ROS."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .existence import FrameView
from .transforms import RigidTransform

_LEAST_SPEED = 0.05
"""m/s; an object that is slower goes nowhere."""


@dataclass(frozen=True)
class Emergence:
    """One end of what hides an object."""

    point: NDArray[np.float64]
    """[3] in metres: that end, at the distance of the object's expected place; the place where nothing hides it."""
    earliest_s: float
    """Until it may be seen there, at the greatest speed of its class; 0 where nothing hides its place."""
    expected_s: float
    """The same at its velocity; NaN where that leads elsewhere."""


def emergences(
    view: FrameView,
    velocities: NDArray[np.float64],
    max_speeds: Sequence[float],
    fixed_from_camera: RigidTransform,
) -> list[tuple[Emergence, ...]]:
    """Find where and when each of K hidden objects may come out to the side.

    It is seen as soon as its own side passes the end. That it may come out above, or towards the camera, is left out.

    Args:
        view: what the frame shows of the places where they are expected.
        velocities: [K, 3] of the objects in the camera's optical frame, in m/s; the camera stands.
        max_speeds: greatest speeds of their classes, in m/s.
        fixed_from_camera: takes points to the frame that they are wanted in.

    Returns:
        for each object the ends that are in view, the left one first; the place itself where nothing hides it.
    """
    places = view.places
    lefts = places.axes[:, :, 1]
    speeds = (velocities * lefts).sum(axis=1).tolist()
    ends = view.ends()
    owner = [index for index, one in enumerate(ends) for _ in one]
    aside = np.array([end for one in ends for end in one])
    points = iter(fixed_from_camera.apply(places.centres[owner] + aside[:, None] * lefts[owner]) if owner else ())
    found = []
    for one, speed, max_speed, across in zip(ends, speeds, max_speeds, places.extents[:, 1].tolist(), strict=True):
        coming_out = []
        for end in one:
            # Until its own side is there; it is there already where nothing hides the place.
            way = max(abs(end) - across / 2, 0.0)
            expected = way / abs(speed) if abs(speed) > _LEAST_SPEED and end * speed > 0 else math.nan
            coming_out.append(Emergence(next(points), way / max_speed, expected if end else 0.0))
        found.append(tuple(coming_out))
    return found
