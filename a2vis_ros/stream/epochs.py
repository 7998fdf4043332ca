"""Epochs: finds the breaks in a stream of images, after which tracks have to start again.

The stamps of the images decide, not the clock: the same images make the same epochs live, in replay and offline, and
whether or not anything publishes /clock.
"""

from collections import deque
from dataclasses import dataclass

from .frames import Stamp

_STAMPS_KEPT = 10_000
"""Limit on the number of remembered stamps, for sources that are faster than any camera."""


@dataclass(frozen=True)
class FrameKey:
    """Properties that are compared from frame to frame."""

    stamp: Stamp
    height: int
    width: int
    kind: str
    """Encoding or compressed format."""
    frame_id: str


class EpochGuard:
    """Compares every frame with the previous one.

    Args:
        max_gap_s: seconds without an image after which the scene may have changed; may be changed at any time.
    """

    def __init__(self, max_gap_s: float) -> None:
        self.max_gap_s = max_gap_s
        self.non_increasing_stamps = 0
        """Number of frames whose stamp is not later than the previous stamp."""
        self.frame_ids_in_turn: tuple[str, ...] = ()
        """Frame IDs of sources that take turns, if the last change of frame_id returned to the previous one."""
        self._last: FrameKey | None = None
        self._last_stamp: Stamp | None = None
        """Last stamp that was set."""
        self._frame_id_before: str | None = None
        self._recent: deque[int] = deque(maxlen=_STAMPS_KEPT)
        """Stamps of the last `max_gap_s` seconds up to the last one, in nanoseconds."""

    def late_by(self, key: FrameKey) -> float:
        """Return by how many seconds a frame is late; 0 if it is not. Call it before `check`.

        A late frame is older than the last one by no more than `max_gap_s`, of the same kind, and was not seen before:
        the transport has let others pass it. A stamp that was seen before belongs to a loop.
        """
        last, before = self._last, self._last_stamp
        if last is None or before is None or not key.stamp.is_set or not _alike(key, last):
            return 0.0
        late = (before.nanoseconds - key.stamp.nanoseconds) * 1e-9
        return late if 0 < late <= self.max_gap_s and key.stamp.nanoseconds not in self._recent else 0.0

    def check(self, key: FrameKey) -> str | None:
        """Take the next frame; return why it begins a new epoch, or None.

        Frames without a stamp have no time to compare; the stamps before and after them are compared with each other.
        """
        last, self._last = self._last, key
        before = self._last_stamp
        gap = 0.0
        if key.stamp.is_set:
            self._last_stamp = key.stamp
            if before is not None:
                gap = (key.stamp.nanoseconds - before.nanoseconds) * 1e-9
                self.non_increasing_stamps += gap <= 0
            self._remember(key.stamp.nanoseconds)
        if last is None:
            return None
        if (key.height, key.width) != (last.height, last.width):
            return f"the image size changed from {last.width}x{last.height} to {key.width}x{key.height}"
        if key.kind != last.kind:
            return f"the encoding changed from {last.kind!r:.60} to {key.kind!r:.60}"
        if key.frame_id != last.frame_id:
            back, self._frame_id_before = key.frame_id == self._frame_id_before, last.frame_id
            self.frame_ids_in_turn = tuple(sorted((last.frame_id, key.frame_id))) if back else ()
            return f"frame_id changed from {last.frame_id!r:.60} to {key.frame_id!r:.60}"
        if gap < 0:
            return f"time ran backwards by {-gap:.3f} s"
        if gap > self.max_gap_s:
            what = "image" if last.stamp.is_set else "image with a stamp"
            return f"no {what} for {gap:.3f} s, more than max_gap_s={self.max_gap_s:g}"
        return None

    def forget(self) -> None:
        """Compare the next frame with nothing."""
        self._last = self._last_stamp = self._frame_id_before = None
        self._recent.clear()

    def _remember(self, now: int) -> None:
        oldest = now - round(self.max_gap_s * 1e9)
        while self._recent and not oldest <= self._recent[0] <= now:
            self._recent.popleft()
        self._recent.append(now)


def _alike(one: FrameKey, other: FrameKey) -> bool:
    return (one.height, one.width, one.kind, one.frame_id) == (other.height, other.width, other.kind, other.frame_id)
