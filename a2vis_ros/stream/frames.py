"""What one image message is to the rest of the package. No ROS."""

from dataclasses import dataclass

from .image_decoding import Image


@dataclass(frozen=True)
class Stamp:
    """A header's time, kept as it came so that it can be given back bit for bit."""

    sec: int
    nanosec: int

    @property
    def nanoseconds(self) -> int:
        """Since the clock's zero."""
        return self.sec * 1_000_000_000 + self.nanosec

    @property
    def seconds(self) -> float:
        """Since the clock's zero."""
        return self.sec + self.nanosec * 1e-9

    @property
    def is_set(self) -> bool:
        """Whether the source has filled it in."""
        return self.nanoseconds != 0

    @property
    def is_valid(self) -> bool:
        """Whether it is a time at all."""
        return self.sec >= 0 and 0 <= self.nanosec < 1_000_000_000


@dataclass(frozen=True)
class Frame:
    """An image that was let in, on its way to the model."""

    sequence: int
    """Counts all images received, from 1, so that a gap tells how many were dropped."""
    stamp: Stamp
    frame_id: str
    image: Image
    height: int
    width: int
    arrived: float
    """By the monotonic clock, in seconds."""
    clip: int
    """Goes up with every break in the stream: frames of different clips do not belong together."""
    broken_by: str
    """Why the last break was one; empty before the first."""
