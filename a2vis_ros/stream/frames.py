"""An image message as the rest of the package sees it."""

from dataclasses import dataclass

from .image_decoding import Image


@dataclass(frozen=True)
class Stamp:
    """A header's time, kept exactly as it came so that it can be returned bit for bit."""

    sec: int
    nanosec: int

    @property
    def nanoseconds(self) -> int:
        """Time since the clock's zero, in nanoseconds."""
        return self.sec * 1_000_000_000 + self.nanosec

    @property
    def seconds(self) -> float:
        """Time since the clock's zero, in seconds."""
        return self.sec + self.nanosec * 1e-9

    @property
    def is_set(self) -> bool:
        """Whether the source has set it."""
        return self.nanoseconds != 0

    @property
    def is_valid(self) -> bool:
        """Whether it is a valid time."""
        return self.sec >= 0 and 0 <= self.nanosec < 1_000_000_000


@dataclass(frozen=True)
class Frame:
    """An accepted image on its way to the model."""

    sequence: int
    """Number of the image among all received ones, from 1, so that a gap tells how many were dropped."""
    stamp: Stamp
    frame_id: str
    """Text of `wire.cdr.text_of`, which keeps bytes that are not UTF-8."""
    image: Image
    height: int
    width: int
    arrived: float
    """Arrival time by the monotonic clock, in seconds."""
    segment: int
    """Number of the segment of the stream.

    It increases with every break: frames of different segments are unrelated.
    """
    broken_by: str
    """Reason of the last break; empty before the first."""
