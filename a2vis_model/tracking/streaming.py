"""Streaming tracker: frames in, tracked instances out, with the whole state of the network in one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..config import ModelConfig
from ..masks.region import RegionMask
from ..modeling import ClipWindow, StreamNetwork
from ..placement import Placement
from ..preprocessing import FrameTransform
from ..transfer import upload
from .observations import CELL, FrameObservation, PredictionReader
from .settings import TrackSettings
from .tracks import FrameResult, Track, TrackedInstance, TrackManager, TrackState

OFFLINE_FRAMES = 1024
"""Largest number of frames that an offline variant takes as one video; all their features are kept in memory."""


@dataclass(frozen=True)
class _PendingFrame:
    index: int
    timestamp: float
    place: Placement


class StreamingTracker:
    """Tracks objects through a stream of images of unlimited length.

    Each frame's features are computed once. A clip is the last N_c frames (`ClipWindow`); every `stride` frames it is
    decoded and decides as many new frames. The offline variants (VITA, Mask2Former-VIS) take everything up to `flush()`
    as one clip.

    Args:
        model: the network, or a backend's compiled form of it; a module is put into evaluation mode.
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
        self._transform = FrameTransform(
            input_height=config.input_height, input_width=config.input_width, device=self._device
        )
        self._reader = PredictionReader.on(self._device)
        self._manager = TrackManager(settings or TrackSettings())
        self._window = ClipWindow(model, config)
        self._pending: list[_PendingFrame] = []
        self._frames = 0

    @torch.inference_mode()
    def push(self, image: NDArray[np.uint8], timestamp: float) -> list[FrameResult]:
        """Take the next frame.

        Args:
            image: RGB image, uint8 [H, W, 3], of any size.
            timestamp: seconds, passed through to the result.

        Returns:
            Results of the frames that are decided now, oldest first; often none, with a stride above 1.
        """
        pixels, place = self._transform(image)
        if self.config.offline and len(self._pending) >= OFFLINE_FRAMES:
            raise ValueError(
                f"{self.config.name} takes a video as one clip and has {OFFLINE_FRAMES} frames already; flush() "
                "and reset(), or choose an online variant for longer streams"
            )
        self._window.push(self._model.extract(pixels[None, None]))
        self._pending.append(_PendingFrame(self._frames, timestamp, place))
        self._frames += 1
        if self.config.offline or len(self._pending) < self.stride:
            return []
        return self._decide()

    @torch.inference_mode()
    def flush(self) -> list[FrameResult]:
        """Decide the frames that are still open, as at the end of a video."""
        return self._decide() if self._pending else []

    def set_track_settings(self, settings: TrackSettings) -> None:
        """Use other thresholds from the next frame on; existing tracks continue."""
        self._manager.settings = settings

    def set_stride(self, stride: int) -> None:
        """Decode a clip every `stride` frames, 1 to N_c; the next frame counts those that are already open."""
        if not 1 <= stride <= self.config.clip_length:
            raise ValueError(f"stride={stride} is not between 1 and the clip length {self.config.clip_length}")
        self.stride = stride

    def reset(self) -> None:
        """Start a new epoch: forget everything seen. Open frames are dropped; call `flush()` first to keep them."""
        self.epoch += 1
        self._window.reset()
        self._pending.clear()
        self._manager.reset()

    def _decide(self) -> list[FrameResult]:
        prediction, decided = self._window.decode()
        prototypes, least_part = self._window.state.prototypes[0], self._manager.settings.least_part
        results = []
        for frame, number in zip(self._pending, decided, strict=True):
            place, least_scores = frame.place, self._manager.least_scores(self._model.slots)
            observation = self._reader.read(prediction, number, place, least_scores, least_part, prototypes)
            tracks = self._manager.update(observation.slots, frame.timestamp)
            instances = tuple(self._instance(track, observation, place) for track in tracks)
            results.append(
                FrameResult(frame.index, frame.timestamp, self.epoch, place.image_height, place.image_width, instances)
            )
        self._pending.clear()
        self._recycle()
        return results

    def _instance(self, track: Track, observation: FrameObservation, place: Placement) -> TrackedInstance:
        visible, amodal = observation.masks(track.slot)
        # The slot of a track that is not seen shows another object, and so does the amodal mask in the slot of a lost
        # track.
        if visible is not None and track.frames_since_visible:
            visible = RegionMask.empty(visible.image_height, visible.image_width)
        if amodal is not None:
            if track.state in (TrackState.LOST, TrackState.ENDED):
                amodal = _predicted(track, place)
            elif not track.frames_since_visible:
                # A view would keep the runs of all masks.
                track.memory.trail.last.mask = replace(amodal, counts=amodal.counts.copy())
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
        """Reset the slots of the network that no track needs."""
        free = self._manager.take_released()
        if free:
            mask = torch.zeros(1, self._model.slots, dtype=torch.bool)
            mask[0, free] = True
            self._window.recycle(upload(mask, self._device))


def _predicted(track: Track, place: Placement) -> RegionMask:
    """Return the mask in image pixels of a track that no slot draws; empty where none is expected."""
    forecast = track.forecast
    if forecast is None or forecast.full.mask is None:
        return RegionMask.empty(place.image_height, place.image_width)
    rows, columns = forecast.offset.tolist()
    return forecast.full.mask.moved(
        round(rows * CELL * place.image_height / place.scaled_height),
        round(columns * CELL * place.image_width / place.scaled_width),
    )


def track_video(tracker: StreamingTracker, frames: Iterable[tuple[float, NDArray[np.uint8]]]) -> Iterator[FrameResult]:
    """Run a finite video of (timestamp, RGB image) through a tracker, including its last partial clip."""
    for timestamp, image in frames:
        yield from tracker.push(image, timestamp)
    yield from tracker.flush()
