"""Places in space where a hidden object may come out, and how soon; imports no ROS."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .existence import ExpectedPlace, FrameView

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
    view: FrameView, place: ExpectedPlace, velocity: NDArray[np.float64], max_speed: float
) -> tuple[Emergence, ...]:
    """Find where and when a hidden object may come out to the side.

    It is seen as soon as its own side passes the end. That it may come out above, or towards the camera, is left out.

    Args:
        view: what the frame shows.
        place: where the object is expected.
        velocity: [3] of the object in the camera's optical frame, in m/s; the camera stands.
        max_speed: greatest speed of its class, in m/s.

    Returns:
        the ends that are in view, the left one first, in the optical frame; the place itself where nothing hides it.
    """
    sides = view.sides(place)
    if sides is None:
        return ()
    if sides == (0.0, 0.0):
        return (Emergence(place.centre, 0.0, 0.0),)
    speed = float(velocity @ place.left)
    found = []
    for end in sides:
        if end is None:
            continue
        # Until its own side is there.
        way = max(abs(end) - float(place.extent[1]) / 2, 0.0)
        towards = abs(speed) > _LEAST_SPEED and end * speed > 0
        point = place.centre + end * place.left
        found.append(Emergence(point, way / max_speed, way / abs(speed) if towards else math.nan))
    return tuple(found)
