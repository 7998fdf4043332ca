"""Where a hidden object is: its last full amodal mask, moved on at the velocity that it had. Needs no torch."""

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..masks.region import RegionMask
from .association import Cells, centre, shifted

_WINDOW_S = 1.0
"""Seconds before an object was last seen in which its full mask is looked for."""
_FULL = 0.9
"""Share of the largest area of that time from which a mask is full."""
_LEAST_SPAN_S = 0.3
"""Seconds that an object must have been seen for to have a velocity: a new track's masks grow, and jump."""
LEAST_SEEN_S = 0.5
"""Seconds between the first and the last sighting from which a track's mask is worth moving on.

Most of the tracks that are lost sooner followed nothing: on clips of validation their masks were false alarms.
"""
_MOST = 64
"""Sightings that are kept at most: images may come fast, or without stamps."""


@dataclass
class Sighting:
    """The amodal mask of an object in a frame in which it was seen."""

    seconds: float
    """Stamp of the frame."""
    whole: Cells
    """[h, w]"""
    area: int
    """Cells of it."""
    mask: RegionMask | None = None
    """The same in image pixels, once somebody has made it."""


@dataclass(frozen=True)
class Forecast:
    """A full mask, and where it has moved to since."""

    full: Sighting
    offset: NDArray[np.float64]
    """(y, x) in cells."""

    @property
    def whole(self) -> Cells:
        """The mask there, [h, w]; what has left the image is lost."""
        return shifted(self.full.whole, self.offset)


@dataclass
class Trail:
    """What is kept of an object's last second in view."""

    _steps: deque[tuple[float, NDArray[np.float64]]] = field(default_factory=lambda: deque(maxlen=_MOST))
    """Stamp and centre (y, x) in cells of every amodal mask."""
    _sightings: deque[Sighting] = field(default_factory=lambda: deque(maxlen=_MOST))
    """Those that no later one exceeds in area, for a later one is the better of two: areas fall from first to last."""
    _began: float = math.inf
    """Stamp of the first sighting."""

    @property
    def seen_s(self) -> float:
        """Seconds between the first and the last sighting."""
        return self._steps[-1][0] - self._began

    @property
    def last(self) -> Sighting:
        """The newest sighting."""
        return self._sightings[-1]

    def see(self, whole: Cells, seconds: float) -> None:
        """Take the amodal mask [h, w], not empty, of a frame in which the object is seen.

        Args:
            whole: the mask.
            seconds: the frame's stamp; not earlier than the one before.
        """
        self._began = min(self._began, seconds)
        area = int(whole.sum())
        while self._sightings and self._sightings[-1].area <= area:
            self._sightings.pop()
        # A view would keep the masks of all slots.
        self._sightings.append(Sighting(seconds, whole.copy(), area))
        self._steps.append((seconds, centre(whole)))
        while self._sightings[0].seconds < seconds - _WINDOW_S:
            self._sightings.popleft()

    def forecast(self, seconds: float) -> Forecast:
        """Return where the object is expected at a time, after at least one sighting.

        What hides an object covers it bit by bit: its last mask may be a remnant, and the middle of remnants moves with
        what hides it. So both mask and velocity are of the time before.
        """
        enough = _FULL * self._sightings[0].area
        full = next(sighting for sighting in reversed(self._sightings) if sighting.area >= enough)
        return Forecast(full, self._velocity(full.seconds) * max(seconds - full.seconds, 0.0))

    def _velocity(self, until: float) -> NDArray[np.float64]:
        """Return the velocity (y, x) in cells a second: the median of the slopes between all frames (Theil-Sen)."""
        steps = [step for step in self._steps if until - _WINDOW_S < step[0] <= until]
        times, centres = np.array([t for t, _ in steps]), np.array([c for _, c in steps])
        if not steps or times[-1] - times[0] < _LEAST_SPAN_S:
            return np.zeros(2)
        first, second = np.triu_indices(len(steps), 1)
        seconds = times[second] - times[first]
        told = seconds > 0
        slopes = (centres[second[told]] - centres[first[told]]) / seconds[told][:, None]
        return np.asarray(np.median(slopes, axis=0))
