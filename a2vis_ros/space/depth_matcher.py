"""Matching of depth images with frames by their stamps; imports no ROS."""

from collections import deque
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")

_ALIVE_S = 1.0
"""Seconds of silence after which a source is no longer waited for."""


class DepthMatcher(Generic[ItemT]):
    """Keeps the last depth images and finds the one whose stamp is nearest to a frame's.

    Args:
        tolerance_s: seconds by which the two stamps may differ; 0 for equal ones.
        capacity: images that are kept.
    """

    def __init__(self, tolerance_s: float, capacity: int) -> None:
        self._tolerance_ns = round(tolerance_s * 1e9)
        self._images: deque[tuple[int, ItemT]] = deque(maxlen=capacity)
        self._arrived: float | None = None

    def add(self, stamp_ns: int, image: ItemT, now: float) -> None:
        """Take a depth image; `now` is of the monotonic clock, in seconds."""
        self._images.append((stamp_ns, image))
        self._arrived = now

    def find(self, stamp_ns: int) -> ItemT | None:
        """The image that belongs to a frame of this stamp, None where there is none yet."""
        nearest = min(self._images, key=lambda known: abs(known[0] - stamp_ns), default=None)
        if nearest is None or abs(nearest[0] - stamp_ns) > self._tolerance_ns:
            return None
        return nearest[1]

    def may_come(self, stamp_ns: int, now: float) -> bool:
        """Return whether a depth image for this stamp may still come: its source is alive, and not past the stamp."""
        if self._arrived is None or now - self._arrived > _ALIVE_S:
            return False
        return self._images[-1][0] < stamp_ns + self._tolerance_ns

    def offset_s(self, stamp_ns: int) -> float | None:
        """Return by how many seconds the nearest image is later than the frame; None without any."""
        nearest = min(self._images, key=lambda known: abs(known[0] - stamp_ns), default=None)
        return None if nearest is None else (nearest[0] - stamp_ns) * 1e-9
