"""Pipeline from a frame to its published content, shared by the node, the offline evaluation and the benchmark.

    frame → RGB → frame features → clip → prediction → tracks → ProcessedFrame

All but the first and the last step are the tracker's (`a2vis_model.StreamingTracker`).
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from a2vis_model import FrameResult, TrackSettings

from .frame_queue import FAILED, RESET, Ledger
from .frames import Frame
from .image_decoding import Image, ImageError, Pixels, decode_rgb
from .image_motion import ImageMotion, ImageMotionTracker


class Tracker(Protocol):
    """The part of `a2vis_model.StreamingTracker` that the pipeline uses."""

    epoch: int

    def push(self, image: Pixels, timestamp: float) -> list[FrameResult]:
        """Take the next frame and return the frames that are decided."""

    def flush(self) -> list[FrameResult]:
        """Decide the frames that are still open."""

    def reset(self) -> None:
        """Start a new epoch and forget everything seen."""

    def set_track_settings(self, settings: TrackSettings) -> None:
        """Use other thresholds from the next frame on."""

    def set_stride(self, stride: int) -> None:
        """Decode a clip every `stride` frames."""


@dataclass(frozen=True)
class StageTimes:
    """Processing time of a frame by stage, in seconds (see msg/Timings.msg)."""

    queue: float
    decode: float
    clip: float
    track: float


@dataclass(frozen=True)
class ProcessedFrame:
    """A frame with its result: everything that goes into the messages."""

    frame: Frame
    image: Pixels
    """Image, RGB uint8 [H, W, 3]."""
    result: FrameResult
    motions: Mapping[int, ImageMotion]
    """Image motions of the result's instances, by track ID."""
    dropped_since_last: int
    times: StageTimes


@dataclass(frozen=True)
class _OpenFrame:
    frame: Frame
    image: Pixels
    queue: float
    decode: float
    pushed: float


class FramePipeline:
    """Runs frames through a tracker and matches results to frames; only one thread at a time may use it.

    Args:
        tracker: the tracker.
        ledger: counts processed and dropped frames.
        on_epoch: called with the reason when a new epoch begins.
        decode: makes RGB pixels of an image, or raises ImageError.
    """

    def __init__(
        self,
        tracker: Tracker,
        ledger: Ledger,
        *,
        on_epoch: Callable[[str], None],
        decode: Callable[[Image], Pixels] = decode_rgb,
    ) -> None:
        self.tracker = tracker
        self._ledger = ledger
        self._on_epoch = on_epoch
        self._decode = decode
        self._motion = ImageMotionTracker()
        self._open: deque[_OpenFrame] = deque()
        self._segment: int | None = None
        self._last_sequence = 0

    def enter(self, frame: Frame) -> list[ProcessedFrame]:
        """Begin a new epoch if the frame belongs to another segment of the stream than the previous one.

        Call it before `process`: the returned frames can be published whatever becomes of this frame.

        Returns:
            The frames of the previous segment that waited for their clip to fill, oldest first.

        Raises:
            Exception: any error in the model. Those frames are dropped; the new epoch begins all the same.
        """
        before, self._segment = self._segment, frame.segment
        if before is None or frame.segment == before:
            return []
        done = self.flush()
        self.restart(frame.broken_by)
        return done

    def process(self, frame: Frame) -> list[ProcessedFrame]:
        """Take the next frame, after `enter`.

        Returns:
            The frames that are decided now, oldest first: often none, with a stride above 1.

        Raises:
            ImageError: the image turned out to be broken; it is dropped, and the next may come.
            Exception: any error in the model. The frame and those open with it are dropped, and a new epoch
                begins with the next.
        """
        start = time.monotonic()
        try:
            image = self._decode(frame.image)
        except ImageError as error:
            self._ledger.drop(error.cause)
            raise
        pushed = time.monotonic()
        self._open.append(_OpenFrame(frame, image, start - frame.arrived, pushed - start, pushed))
        try:
            results = self.tracker.push(image, frame.stamp.seconds)
        except Exception:
            self._fail()
            raise
        return self._close(results, pushed)

    def flush(self) -> list[ProcessedFrame]:
        """Decide the frames that wait for their clip to fill, as at the end of a video."""
        start = time.monotonic()
        try:
            results = self.tracker.flush()
        except Exception:
            self._fail()
            raise
        return self._close(results, start)

    def restart(self, reason: str) -> None:
        """Begin a new epoch; frames that wait for their clip to fill are dropped."""
        self._ledger.drop(RESET, len(self._open))
        self._open.clear()
        self.tracker.reset()
        self._on_epoch(reason)

    def _close(self, results: list[FrameResult], start: float) -> list[ProcessedFrame]:
        track = time.monotonic() - start
        done = []
        for result in results:
            waiting = self._open.popleft()
            times = StageTimes(waiting.queue, waiting.decode, max(start - waiting.pushed, 0.0), track)
            dropped = waiting.frame.sequence - self._last_sequence - 1
            self._last_sequence = waiting.frame.sequence
            motions = self._motion.update(result)
            done.append(ProcessedFrame(waiting.frame, waiting.image, result, motions, dropped, times))
            self._ledger.process()
        return done

    def _fail(self) -> None:
        """Drop all open frames after an error of the tracker, whose state can no longer be trusted."""
        self._ledger.drop(FAILED, len(self._open))
        self._open.clear()
        self.tracker.reset()
        self._on_epoch("processing failed")
