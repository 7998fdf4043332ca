"""Running a network over a video for evaluation: its tracks as a stream, and all of its slots ranked by score."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import ModelConfig
from ..data import VideoRecord
from ..errors import A2VISError
from ..masks.certainty import loose_area
from ..masks.region import RegionMask
from ..modeling import ClipPrediction, ClipWindow, FrameFeatures, StreamNetwork
from ..placement import Placement
from ..preprocessing import FrameTransform
from ..tracking.observations import PredictionReader
from ..tracking.results import TrackCollector
from ..tracking.settings import TrackSettings
from ..tracking.streaming import OFFLINE_FRAMES, StreamingTracker
from .instances import Kind
from .network_tap import NetworkTap

OutputMode = Literal["both", "video", "stream"]
"""What is scored: average precision on ranked slots and all else on the stream, or everything on one of them."""
OUTPUT_MODES: tuple[OutputMode, ...] = get_args(OutputMode)
ClassScore = Literal["final", "max", "mean"]
"""A slot's class probabilities in a video: those of its last clip (as in the paper), or maximum or mean over its clips.
"""
CLASS_SCORES: tuple[ClassScore, ...] = get_args(ClassScore)

_FRAMES_READ = 32

Record = dict[str, Any]
"""An entry of YouTube-VIS results, without its video_id."""


@dataclass(frozen=True)
class PredictionSettings:
    """Settings for making predictions from a network's output."""

    output_mode: OutputMode = "both"
    class_score: ClassScore = "final"
    top: int = 20
    """Number of (slot, class) pairs of a video that are ranked."""
    stride: int = 0
    """Frames between the stream's clips; 0 stands for the clip length, which gives the paper's clips."""
    tracks: TrackSettings = field(default_factory=TrackSettings)


@dataclass
class VideoPrediction:
    """The predictions of a system for one video."""

    ranked: list[Record]
    tracked: list[Record]
    seconds: float
    """Time the system took: without reading the video, and without ranking where it has a stream."""
    frames: int


def predict_video(
    model: StreamNetwork, config: ModelConfig, video: VideoRecord, settings: PredictionSettings
) -> VideoPrediction:
    """Run a network over a video.

    Raises:
        A2VISError: an offline variant cannot take a video at once.
    """
    if config.offline and video.length > OFFLINE_FRAMES:
        raise A2VISError(
            f"video {video.name}: {video.length} frames, and {config.name} takes {OFFLINE_FRAMES} at once; "
            "cut the video, or choose an online variant"
        )
    with_stream, with_ranking = settings.output_mode != "video", settings.output_mode != "stream"
    tap = NetworkTap(model)
    stream = StreamingTracker(tap, config, stride=settings.stride or config.clip_length, settings=settings.tracks)
    collector, ranking = TrackCollector(config.classes), RankedSlots(model, config, settings)
    transform = FrameTransform(input_height=config.input_height, input_width=config.input_width)
    place = Placement.fit(
        image_height=video.height,
        image_width=video.width,
        input_height=config.input_height,
        input_width=config.input_width,
    )
    seconds = 0.0

    def timed(call: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal seconds
        start = time.perf_counter()
        result = call(*arguments)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds += time.perf_counter() - start
        return result

    def extract(image: NDArray[np.uint8]) -> None:
        with torch.inference_mode():
            tap.extract(transform(image)[0].to(model.device)[None, None])

    for t, image in enumerate(frames_of(video)):
        if with_stream:
            for result in timed(stream.push, image, t / 30):
                collector.add(result)
        else:
            timed(extract, image)
        if with_ranking:
            assert tap.features is not None
            rank: Callable[..., Any] = ranking.push if with_stream else lambda *a: timed(ranking.push, *a)
            rank(tap.features, place)
    if with_stream:
        for result in timed(stream.flush):
            collector.add(result)
    tracked = [_without_states(entry) for entry in collector.youtube_vis()]
    ranked = (ranking.flush() if with_stream else timed(ranking.flush)) if with_ranking else tracked
    return VideoPrediction(ranked, tracked if with_stream else ranked, seconds, video.length)


def frames_of(video: VideoRecord) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a video, RGB uint8 [H, W, 3].

    Several frames are read at a time, because reading a single frame of a video file decodes everything from the
    previous key frame.
    """
    for start in range(0, video.length, _FRAMES_READ):
        yield from video.frames(range(start, min(start + _FRAMES_READ, video.length)))


class RankedSlots:
    """Every slot of a network through a whole video, as the paper evaluates.

    Clip after clip of new frames, without thresholds, no slot used twice. The last clip of a video is its last N_c
    frames, also where the clip before it has decided some of them, see `ClipWindow`.

    Args:
        model: the network.
        config: its configuration.
        settings: how many pairs are ranked, and by which class probabilities.
    """

    def __init__(self, model: StreamNetwork, config: ModelConfig, settings: PredictionSettings) -> None:
        self._model = model
        self._settings = settings
        self._clip = OFFLINE_FRAMES if config.offline else config.clip_length
        self._window = ClipWindow(model, config)
        self._reader = PredictionReader.on(model.device)
        self._waiting: list[Placement] = []
        self._seen = np.zeros(model.slots, np.bool_)
        self._probabilities: list[NDArray[np.float32]] = []
        self._masks: dict[Kind, list[dict[int, RegionMask]]] = {"visible": [], "amodal": []}
        """Masks of each frame by slot. They are encoded for the file when it is known which slots are ranked."""
        self._areas: dict[Kind, NDArray[np.int64]] = {
            "visible": np.zeros((2, model.slots), np.int64),
            "amodal": np.zeros((2, model.slots), np.int64),
        }
        """Pixels of each slot's masks so far, and at the lower threshold of `masks.certainty`."""

    def push(self, features: FrameFeatures, place: Placement) -> None:
        """Take the features of the next frame."""
        self._window.push(features)
        self._waiting.append(place)
        if len(self._waiting) == self._clip:
            self._decode()

    def flush(self) -> list[Record]:
        """End the video and return its best (slot, class) pairs, best first."""
        if self._waiting:
            self._decode()
        if not self._probabilities:
            return []
        clips = np.stack(self._probabilities)
        reduced = {"final": clips[-1], "max": clips.max(axis=0), "mean": clips.mean(axis=0)}
        classes = reduced[self._settings.class_score]
        order = np.argsort(-classes, axis=None, kind="stable")[: self._settings.top]
        records = []
        any_mask = {kind: any(frames) for kind, frames in self._masks.items()}
        encoded = functools.cache(self._encode)  # A slot may be ranked with several classes.
        for position, (slot, class_id) in enumerate(np.stack(np.unravel_index(order, classes.shape), axis=1).tolist()):
            scores = {kind: float(classes[slot, class_id]) * self._certainty(kind, slot) for kind in self._areas}
            record: Record = {
                "track_id": position + 1,
                "category_id": class_id + 1,
                "score": scores["visible"] if any_mask["visible"] else scores["amodal"],
                "segmentations": encoded("visible", slot),
                "amodal_segmentations": encoded("amodal", slot),
            }
            if any_mask["amodal"]:
                record["amodal_score"] = scores["amodal"]
            if any(record["segmentations"]) or any(record["amodal_segmentations"]):
                records.append(record)
        return sorted(records, key=lambda record: -record["score"])

    @torch.inference_mode()
    def _decode(self) -> None:
        prediction, decided = self._window.decode()
        self._probabilities.append(prediction.classes[0].float().softmax(dim=-1)[:, :-1].cpu().numpy())
        for t, place in zip(decided, self._waiting, strict=True):
            self._take(prediction, t, place)
        self._waiting.clear()

    def _take(self, prediction: ClipPrediction, t: int, place: Placement) -> None:
        """Take the masks and class probabilities of all slots in frame `t` of a clip."""
        everything = np.zeros(self._model.slots, np.float32)
        frame = self._reader.read(prediction, t, place, everything, self._settings.tracks.least_part)
        masks = [frame.masks(slot) for slot in range(self._model.slots)]
        # An object begins when it is first seen (paper 3.1); amodal masks alone do not tell when that is.
        self._seen |= np.array([visible is None or visible.area > 0 for visible, _ in masks])
        for column, (kind, logits) in enumerate(_logits(prediction, t).items()):
            found = {slot: pair[column] for slot, pair in enumerate(masks) if self._seen[slot]}
            self._masks[kind].append({slot: mask for slot, mask in found.items() if mask is not None and mask.area})
            if logits is not None:
                areas = torch.stack([(logits > 0).sum(dim=(1, 2)), loose_area(logits)])
                self._areas[kind] += areas.cpu().numpy() * self._seen

    def _encode(self, kind: Kind, slot: int) -> list[Record | None]:
        """Return a slot's masks as the file holds them, and forget them: decoded pixels would stay with each."""
        masks = [frame.pop(slot, None) for frame in self._masks[kind]]
        return [None if mask is None else mask.coco_rle() for mask in masks]

    def _certainty(self, kind: Kind, slot: int) -> float:
        """Return the certainty of a slot's masks of the whole video; 0 without any mask."""
        area, loose = self._areas[kind][:, slot]
        return float(area / max(loose, 1))


def _logits(prediction: ClipPrediction, t: int) -> dict[Kind, Tensor | None]:
    """Return mask logits [Q, h, w] of frame `t`; the amodal mask contains the visible one."""
    visible = None if prediction.visible is None else prediction.visible[0, t].float()
    amodal = None if prediction.amodal is None else prediction.amodal[0, t].float()
    if visible is not None and amodal is not None:
        amodal = torch.maximum(amodal, visible)
    return {"visible": visible, "amodal": amodal}


def _without_states(entry: Record) -> Record:
    return {key: value for key, value in entry.items() if key not in ("states", "category_name", "video_id")}
