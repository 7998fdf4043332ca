"""Which frames belong together: finds the breaks in a stream of images. No ROS.

The stamps of the images decide, not the clock: the same images make the same epochs live, in replay and offline, and
whether or not anything publishes /clock.
"""

from dataclasses import dataclass

from .frames import Stamp


@dataclass(frozen=True)
class FrameKey:
    """What is compared from frame to frame."""

    stamp: Stamp
    height: int
    width: int
    kind: str
    """Encoding or compressed format."""
    frame_id: str


class EpochGuard:
    """Compares every frame with the one before it.

    Args:
        max_gap_s: seconds without an image after which the scene may have changed; may be set anew at any time.
    """

    def __init__(self, max_gap_s: float) -> None:
        self.max_gap_s = max_gap_s
        self.non_increasing_stamps = 0
        """Frames whose stamp is not later than the stamp before: the same, or an earlier one."""
        self._last: FrameKey | None = None
        self._last_stamp: Stamp | None = None
        """The last that was set."""

    def check(self, key: FrameKey) -> str | None:
        """Take the next frame; why it begins a new epoch, or None. Frames without a stamp have no time to compare; the
        stamps before and behind them are compared with each other."""
        last, self._last = self._last, key
        before = self._last_stamp
        gap = 0.0
        if key.stamp.is_set:
            self._last_stamp = key.stamp
            if before is not None:
                gap = (key.stamp.nanoseconds - before.nanoseconds) * 1e-9
                self.non_increasing_stamps += gap <= 0
        if last is None:
            return None
        if (key.height, key.width) != (last.height, last.width):
            return f"the image size changed from {last.width}x{last.height} to {key.width}x{key.height}"
        if key.kind != last.kind:
            return f"the encoding changed from {last.kind!r:.60} to {key.kind!r:.60}"
        if key.frame_id != last.frame_id:
            return f"frame_id changed from {last.frame_id!r:.60} to {key.frame_id!r:.60}"
        if gap < 0:
            return f"time ran backwards by {-gap:.3f} s"
        if gap > self.max_gap_s:
            what = "image" if last.stamp.is_set else "image with a stamp"
            return f"no {what} for {gap:.3f} s, more than max_gap_s={self.max_gap_s:g}"
        return None

    def forget(self) -> None:
        """Compare the next frame with nothing."""
        self._last = self._last_stamp = None
