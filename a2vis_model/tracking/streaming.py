"""Frames in, tracked instances out: the network driven as a stream, with all of its state in one place."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..config import ModelConfig
from ..masks.region import RegionMask
from ..modeling import ClipState, FrameFeatures, StreamNetwork, concatenate
from ..preprocessing import FrameTransform, Placement
from ..transfer import upload
from .observations import FrameObservation, FrameReader
from .tracks import Track, TrackedInstance, TrackManager, TrackSettings, TrackState

OFFLINE_FRAMES = 1024
"""Frames an offline variant takes as one video; their features are all kept in memory."""


@dataclass(frozen=True)
class FrameResult:
    """What is known of one frame."""

    index: int
    """Counts the frames pushed since the tracker was made, from 0."""
    timestamp: float
    """As it was pushed with the frame."""
    epoch: int
    """Tracks of different epochs have nothing to do with each other."""
    height: int
    """Of the image, in pixels."""
    width: int
    instances: tuple[TrackedInstance, ...]
    """Every live track, also the hidden ones; a track that ended is said once more."""


@dataclass(frozen=True)
class _PendingFrame:
    index: int
    timestamp: float
    place: Placement


class StreamingTracker:
    """Follows objects through a stream of images that may never end.

    Each frame's features are computed once. A clip is the last N_c frames; every `stride` frames it is decoded
    and decides as many new frames. Until N_c frames have come, the oldest stands in for the missing ones. The
    offline variants (VITA, Mask2Former-VIS) take everything up to `flush()` as one clip.

    Args:
        model: the network, or what a backend has made of it; a module is put into evaluation mode.
        config: its configuration.
        stride: frames between clips, 1 (an answer for every frame at once) to N_c (the paper's clips).
        settings: thresholds of the tracks.
    """

    def __init__(
        self,
        model: StreamNetwork,
        config: ModelConfig,
        *,
        stride: int = 1,
        settings: TrackSettings | None = None,
    ) -> None:
        self.config = config
        self.set_stride(stride)
        self.epoch = 0
        self._model = model
        self._device = model.device
        if isinstance(model, nn.Module):
            model.eval()
        self._offline = config.association in ("offline", "joint")
        self._transform = FrameTransform(
            input_height=config.input_height, input_width=config.input_width, device=self._device
        )
        self._reader = FrameReader.on(self._device)
        self._manager = TrackManager(settings or TrackSettings())
        self._window: deque[FrameFeatures] = deque(maxlen=None if self._offline else config.clip_length)
        self._pending: list[_PendingFrame] = []
        self._state: ClipState = self._initial_state()
        self._frames = 0

    @torch.inference_mode()
    def push(self, image: NDArray[np.uint8], timestamp: float) -> list[FrameResult]:
        """Take the next frame.

        Args:
            image: RGB, uint8 [H, W, 3], of any size.
            timestamp: seconds, passed through to the result.

        Returns:
            results of the frames now decided, oldest first; often none, with a stride above 1.
        """
        pixels, place = self._transform(image)
        if self._offline and len(self._pending) >= OFFLINE_FRAMES:
            raise ValueError(
                f"{self.config.name} takes a video as one clip and has {OFFLINE_FRAMES} frames already; flush() "
                "and reset(), or choose an online variant for longer streams"
            )
        self._window.append(self._model.extract(pixels[None, None]))
        self._pending.append(_PendingFrame(self._frames, timestamp, place))
        self._frames += 1
        if self._offline or len(self._pending) < self.stride:
            return []
        return self._decide()

    @torch.inference_mode()
    def flush(self) -> list[FrameResult]:
        """Decide the frames that are still open, as at the end of a video."""
        return self._decide() if self._pending else []

    def set_track_settings(self, settings: TrackSettings) -> None:
        """Use other thresholds from the next frame on; tracks go on living."""
        self._manager.settings = settings

    def set_stride(self, stride: int) -> None:
        """Decode a clip every `stride` frames, 1 to N_c; the next frame counts those that are open already."""
        if not 1 <= stride <= self.config.clip_length:
            raise ValueError(f"stride={stride} is not between 1 and the clip length {self.config.clip_length}")
        self.stride = stride

    def reset(self) -> None:
        """Start a new epoch: forget everything seen. Open frames are dropped; call `flush()` first for them."""
        self.epoch += 1
        self._window.clear()
        self._pending.clear()
        self._manager.reset()
        self._state = self._initial_state()

    @torch.inference_mode()
    def _initial_state(self) -> ClipState:
        return self._model.initial_state()

    def _decide(self) -> list[FrameResult]:
        window = list(self._window)
        if not self._offline:
            window = [window[0]] * (self.config.clip_length - len(window)) + window
        prediction, self._state = self._model.step(concatenate(window), self._state)
        prototypes, least_part = self._state.prototypes[0], self._manager.settings.least_part
        results = []
        for i, frame in enumerate(self._pending):
            place, least_scores = frame.place, self._manager.least_scores(self._model.slots)
            number = i - len(self._pending)
            observation = self._reader.read(prediction, number, place, least_scores, least_part, prototypes)
            tracks = self._manager.update(observation.slots)
            instances = tuple(self._instance(track, observation) for track in tracks)
            results.append(
                FrameResult(frame.index, frame.timestamp, self.epoch, place.image_height, place.image_width, instances)
            )
        self._pending.clear()
        self._recycle()
        return results

    def _instance(self, track: Track, observation: FrameObservation) -> TrackedInstance:
        visible, amodal = observation.masks(track.slot)
        # What the slot of a track that is not seen shows, and that of a lost one draws, is something else.
        if visible is not None and track.frames_since_visible:
            visible = RegionMask.empty(visible.image_height, visible.image_width)
        if amodal is not None and track.state in (TrackState.LOST, TrackState.ENDED):
            amodal = RegionMask.empty(amodal.image_height, amodal.image_width)
        return TrackedInstance(
            track_id=track.track_id,
            slot=track.slot,
            state=track.state,
            class_id=track.class_id,
            class_name=self.config.classes[track.class_id],
            score=track.score,
            existence=track.existence,
            age=track.age,
            frames_since_visible=track.frames_since_visible,
            visible=visible,
            amodal=amodal,
        )

    def _recycle(self) -> None:
        """Give the network the slots back that no track needs."""
        free = self._manager.take_released()
        if free:
            mask = torch.zeros(1, self._model.slots, dtype=torch.bool)
            mask[0, free] = True
            self._state = self._model.recycle(self._state, upload(mask, self._device))


def track_video(tracker: StreamingTracker, frames: Iterable[tuple[float, NDArray[np.uint8]]]) -> Iterator[FrameResult]:
    """Run a finite video of (timestamp, RGB image) through a tracker, its last partial clip included."""
    for timestamp, image in frames:
        yield from tracker.push(image, timestamp)
    yield from tracker.flush()
