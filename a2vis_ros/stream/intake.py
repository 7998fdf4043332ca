"""Intake of images: checks an image before it costs anything, and assigns it to a segment of the stream."""

import time

from .epochs import EpochGuard, FrameKey
from .frame_queue import Ledger
from .frames import Frame, Stamp
from .image_decoding import Image, ImageError, image_kind, image_size


class FrameIntake:
    """Turns the images of one source, in the order of arrival, into frames; the ledger counts every image.

    Args:
        ledger: counts received and dropped images.
        max_gap_s: see `EpochGuard`.
        max_image_side: largest width or height in pixels; larger images are refused.
    """

    def __init__(self, ledger: Ledger, *, max_gap_s: float, max_image_side: int) -> None:
        self.guard = EpochGuard(max_gap_s)
        self.unstamped = 0
        """Number of frames without a stamp, for which gaps and loops cannot be found."""
        self.breaks = 0
        """Number of new epochs that were caused by the images themselves."""
        self._ledger = ledger
        self._max_image_side = max_image_side
        self._segment = 0
        self._broken_by = ""

    def accept(self, stamp: Stamp, frame_id: str, image: Image) -> Frame:
        """Take the next image.

        Raises:
            ImageError: it cannot be used; it is counted as dropped.
        """
        sequence = self._ledger.receive()
        try:
            if not stamp.is_valid:
                raise ImageError(
                    "impossible stamp",
                    f"header.stamp is {stamp.sec} s {stamp.nanosec} ns; seconds are 0 or more, nanoseconds under 10^9",
                )
            height, width = image_size(image, max_side=self._max_image_side)
            key = FrameKey(stamp, height, width, image_kind(image), frame_id)
            self._refuse_late(key)
        except ImageError as error:
            self._ledger.drop(error.cause)
            raise
        self.unstamped += not stamp.is_set
        broken = self.guard.check(key)
        if broken is not None:
            self.breaks += 1
            self.begin_segment(broken)
        return Frame(sequence, stamp, frame_id, image, height, width, time.monotonic(), self._segment, self._broken_by)

    def refuse(self, error: ImageError) -> None:
        """Count an image that could not even be read."""
        self._ledger.receive()
        self._ledger.drop(error.cause)

    def _refuse_late(self, key: FrameKey) -> None:
        late = self.guard.late_by(key)
        if late:
            self.guard.non_increasing_stamps += 1
            raise ImageError(
                "late image",
                f"its stamp is {late:.3f} s before that of an image that came earlier; the transport lets images pass "
                "each other, or two cameras publish here",
            )

    def begin_segment(self, reason: str) -> None:
        """Let a new segment begin with the next frame."""
        self._segment += 1
        self._broken_by = reason
