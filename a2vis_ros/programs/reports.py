"""What a status in /diagnostics is made of: levels, rates, and counts of what happened lately. No ROS."""

import resource
import threading
from collections import deque
from dataclasses import dataclass

WINDOW_S = 5.0
"""Rates are of this many seconds."""
EVENTS_KEPT = 1000
"""Rates are of no more events than these, however many come at once or bear the same time."""
ALARM_S = 30.0
"""What has gone wrong is a warning for this many seconds."""


class Level:
    """Levels of diagnostic_msgs/DiagnosticStatus."""

    OK, WARN, ERROR, STALE = range(4)


class RateMeter:
    """Events a second over the last seconds. Safe to use from several threads."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._times: deque[float] = deque(maxlen=EVENTS_KEPT)
        self._lock = threading.Lock()

    def count(self, now: float) -> None:
        """An event; `now` is of any clock, in seconds."""
        with self._lock:
            self._times.append(now)
            self._forget(now)

    def rate(self, now: float | None = None) -> float:
        """Events a second in the window that ends now, or with the last event; 0 with fewer than two."""
        with self._lock:
            if now is not None:
                self._forget(now)
            if len(self._times) < 2:
                return 0.0
            span = self._times[-1] - self._times[0]
            return (len(self._times) - 1) / span if span > 0 else 0.0

    def _forget(self, now: float) -> None:
        while self._times and not now - self._window_s <= self._times[0] <= now:
            self._times.popleft()


class RecentCount:
    """How often something happened within the last `ALARM_S` seconds. Safe to use from several threads."""

    def __init__(self) -> None:
        self._events: deque[tuple[float, int]] = deque(maxlen=EVENTS_KEPT)
        self._lock = threading.Lock()

    def add(self, now: float, count: int = 1) -> None:
        """Count events that happened at `now`, by the monotonic clock in seconds."""
        with self._lock:
            self._events.append((now, count))

    def count(self, now: float) -> int:
        """How often within the seconds before `now`."""
        with self._lock:
            return sum(count for at, count in self._events if now - at <= ALARM_S)


@dataclass(frozen=True)
class Report:
    """A diagnostic status, ready to be put in a message."""

    level: int
    message: str
    values: tuple[tuple[str, str], ...]


def resident_mib() -> float:
    """Memory of this process in MiB."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        # Not Linux: the most it ever was, in KiB.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
