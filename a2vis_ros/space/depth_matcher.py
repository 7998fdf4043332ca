"""Matching of depth images with frames by their stamps; imports no ROS."""

from collections import deque
from itertools import pairwise
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
        """The image that is nearest to a frame of this stamp, None where none is near enough."""
        nearest = self._nearest(stamp_ns)
        if nearest is None or abs(nearest[0] - stamp_ns) > self._tolerance_ns:
            return None
        return nearest[1]

    def may_come(self, stamp_ns: int, now: float) -> bool:
        """Return whether an image may still come that belongs to this stamp more than those that are there.

        It may while the source is alive, and until its next image would be too late for the stamp, or further from it
        than one that is there. The next one is expected no sooner than any has followed another.
        """
        nearest = self._nearest(stamp_ns)
        if self._arrived is None or nearest is None or now - self._arrived > _ALIVE_S:
            return False
        newest, distance = self._images[-1][0], abs(nearest[0] - stamp_ns)
        if distance > self._tolerance_ns:
            return newest < stamp_ns + self._tolerance_ns
        return distance > 0 and newest + self._least_interval() < stamp_ns + distance

    def offset_s(self, stamp_ns: int) -> float | None:
        """Return by how many seconds the nearest image is later than the frame; None without any."""
        nearest = self._nearest(stamp_ns)
        return None if nearest is None else (nearest[0] - stamp_ns) * 1e-9

    def _nearest(self, stamp_ns: int) -> tuple[int, ItemT] | None:
        return min(self._images, key=lambda known: abs(known[0] - stamp_ns), default=None)

    def _least_interval(self) -> int:
        """Least nanoseconds from one image to the next that came; 0 while it is not known."""
        stamps = [stamp for stamp, _ in self._images]
        # It is none where the stamps jump back, as in a bag that loops.
        return min((after - before for before, after in pairwise(stamps) if after > before), default=0)
