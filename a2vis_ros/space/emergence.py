"""Where in space a hidden object may come out, and how soon. No ROS."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .existence import ExpectedPlace, View

_LEAST_SPEED = 0.05
"""m/s; an object that is slower goes nowhere."""


@dataclass(frozen=True)
class Emergence:
    """Of the two ends of what hides an object, the one that it can reach earlier."""

    aside: float
    """Metres to the left of the object's expected place, at its distance; below 0 to the right."""
    earliest_s: float
    """Until it may be seen there, at the greatest speed of its class; 0 where nothing hides its place."""
    expected_s: float
    """The same at its velocity; NaN where that leads nowhere out."""


def emergence(view: View, place: ExpectedPlace, velocity: NDArray[np.float64], max_speed: float) -> Emergence | None:
    """Where and when a hidden object may come out to the side.

    It is seen as soon as its own side passes the end. That it may come out above, or towards the camera, is left out.

    Args:
        view: what the frame shows.
        place: where the object is expected.
        velocity: [3] of the object in the camera's optical frame, in m/s; the camera stands.
        max_speed: of its class, in m/s.

    Returns:
        None where the place is outside the image, or neither end is in view.
    """
    sides = view.sides(place)
    ends = [] if sides is None else [end for end in sides if end is not None]
    if not ends:
        return None
    aside = min(ends, key=abs)
    expected, speed = math.nan, float(velocity @ place.left)
    for end in ends:
        if end == 0:
            expected = 0.0
        elif abs(speed) > _LEAST_SPEED and end * speed > 0:
            expected = _way(end, place) / abs(speed)
    return Emergence(aside, _way(aside, place) / max_speed, expected)


def _way(end: float, place: ExpectedPlace) -> float:
    """Metres that the object has to go until its side is at the end."""
    return max(abs(end) - float(place.extent[1]) / 2, 0.0)
