"""Progress messages of a build: the current stage and the remaining time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ReportProgress = Callable[[str], None]
"""Function that takes a line of text; it may be called from another thread."""

EVERY_S = 15.0


class Progress:
    """Reports the stages of a build when they begin, and repeatedly while they last.

    Args:
        report: called with each line.
        shares: the stages by name, in order, with the share of the whole time that each usually takes.
        clock: clock in seconds.
    """

    def __init__(
        self, report: ReportProgress, shares: dict[str, float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report = report
        self._shares = shares
        self._clock = clock
        self._start = clock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Run one of the stages."""
        started = self._clock()
        over = threading.Event()

        def repeat() -> None:
            while not over.wait(EVERY_S):
                self._report(self.text(name, started))

        self._report(self.text(name, started))
        thread = threading.Thread(target=repeat, name="a2vis build progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def text(self, name: str, started: float) -> str:
        """Describe a stage that began at `started`."""
        number = list(self._shares).index(name)
        done = sum(list(self._shares.values())[:number]) / sum(self._shares.values())
        where = f"{name} (step {number + 1} of {len(self._shares)})"
        spent = self._clock() - started
        if spent >= 1:
            where += f", {duration_text(spent)} so far"
        if not done:
            return where
        total = (started - self._start) / done
        left = total - (self._clock() - self._start)
        return f"{where}, about {duration_text(left)} left" if left >= 0 else f"{where}, longer than expected"


def duration_text(seconds: float) -> str:
    """Format a duration in words: "40 seconds", "3 minutes"."""
    if seconds < 90:
        count, unit = max(round(seconds), 1), "second"
    elif seconds < 5400:
        count, unit = round(seconds / 60), "minute"
    else:
        count, unit = round(seconds / 3600), "hour"
    return f"{count} {unit}{'s' if count != 1 else ''}"
