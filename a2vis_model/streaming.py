"""Frames in, tracked instances out: the network driven as a stream, with all of its state in one place."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .config import ModelConfig
from .masks import LOGIT_STRIDE, RegionMask, logits_to_mask
from .modeling import ClipPrediction, ClipState, FrameFeatures, StreamNetwork, concatenate
from .preprocessing import FrameTransform, Placement
from .tracks import SlotObservation, Track, TrackedInstance, TrackManager, TrackSettings, TrackState

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
        self._transform = FrameTransform(input_height=config.input_height, input_width=config.input_width)
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
        self._window.append(self._model.extract(pixels.to(self._device)[None, None]))
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
        observations = _Observations(prediction, len(self._pending))
        results = []
        ended: list[int] = []
        for i, frame in enumerate(self._pending):
            tracks = self._manager.update(observations.frame(i))
            instances = tuple(
                self._instance(track, *observations.masks(i, track.slot, frame.place)) for track in tracks
            )
            ended += [track.slot for track in tracks if track.state is TrackState.ENDED]
            place = frame.place
            results.append(
                FrameResult(frame.index, frame.timestamp, self.epoch, place.image_height, place.image_width, instances)
            )
        self._pending.clear()
        self._recycle(ended)
        return results

    def _instance(self, track: Track, visible: RegionMask | None, amodal: RegionMask | None) -> TrackedInstance:
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

    def _recycle(self, slots: list[int]) -> None:
        """Free the slots of ended tracks, unless a new track has already started there in the same clip."""
        live = {track.slot for track in self._manager.tracks}
        free = [slot for slot in slots if slot not in live]
        if free:
            mask = torch.zeros(1, self._model.slots, dtype=torch.bool, device=self._device)
            mask[0, free] = True
            self._state = self._model.recycle(self._state, mask)


class _Observations:
    """The last frames of a clip's prediction, on the CPU, ready for the tracks."""

    def __init__(self, prediction: ClipPrediction, frames: int) -> None:
        visible = None if prediction.visible is None else prediction.visible[0, -frames:]
        amodal = None if prediction.amodal is None else prediction.amodal[0, -frames:]
        if visible is not None and amodal is not None:
            # By definition an amodal mask contains the visible one.
            amodal = torch.maximum(amodal, visible)
        probability = prediction.classes[0].float().softmax(dim=-1)
        scores, classes = probability[:, :-1].max(dim=-1)
        main = visible if visible is not None else amodal
        if main is None:
            raise ValueError("the prediction holds no masks")
        self._overlap = _mask_iou(main).cpu().numpy()
        self._scores = scores.cpu().numpy()
        self._classes = classes.cpu().numpy()
        self._existence = (1 - probability[:, -1]).cpu().numpy()
        self._areas = [None if m is None else _input_area(m).cpu().numpy() for m in (visible, amodal)]
        self._masks = [None if m is None else m.float().cpu().numpy() for m in (visible, amodal)]

    def frame(self, index: int) -> SlotObservation:
        visible_area, amodal_area = (None if area is None else area[index] for area in self._areas)
        return SlotObservation(
            classes=self._classes,
            scores=self._scores,
            existence=self._existence,
            visible_area=visible_area,
            amodal_area=amodal_area,
            overlap=self._overlap[index],
        )

    def masks(self, index: int, slot: int, place: Placement) -> tuple[RegionMask | None, RegionMask | None]:
        """Visible and amodal mask of a slot in image pixels."""
        visible, amodal = (
            None if masks is None else logits_to_mask(masks[index, slot], place) for masks in self._masks
        )
        return visible, amodal


def _input_area(logits: Tensor) -> Tensor:
    """[T, Q, h, w] → [T, Q] area of positive cells in input pixels."""
    return (logits > 0).sum(dim=(-2, -1)) * LOGIT_STRIDE**2


def _mask_iou(logits: Tensor) -> Tensor:
    """[T, Q, h, w] → [T, Q, Q] IoU of positive cells, at half the resolution."""
    masks = (F.max_pool2d(logits.float(), 2) > 0).float().flatten(2)
    intersection = masks @ masks.transpose(1, 2)
    area = masks.sum(dim=-1)
    union = area[:, :, None] + area[:, None] - intersection
    return intersection / union.clamp(min=1)


def track_video(tracker: StreamingTracker, frames: Iterable[tuple[float, NDArray[np.uint8]]]) -> Iterator[FrameResult]:
    """Run a finite video of (timestamp, RGB image) through a tracker, its last partial clip included."""
    for timestamp, image in frames:
        yield from tracker.push(image, timestamp)
    yield from tracker.flush()
