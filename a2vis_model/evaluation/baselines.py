"""Baselines: the frame detector with SORT or ByteTrack, and the assumption that hidden objects stand still.

MinVIS, VITA and GenVIS are variants of the network (`config/presets/variants.yaml`) and run as such. SORT and ByteTrack
come from the `trackers` package, with its default settings.
"""

from __future__ import annotations

import time
from typing import Any, Literal, get_args

import numpy as np
import torch

from ..config import ModelConfig
from ..data import VideoRecord
from ..errors import A2VISError
from ..extras import optional_packages
from ..masks.region import RegionMask
from ..modeling import ClipPrediction, ClipState, FrameFeatures, StreamNetwork, VideoNetwork
from ..preprocessing import FrameTransform
from ..tracking.observations import PredictionReader
from ..tracking.results import track_score
from .prediction import PredictionSettings, Record, VideoPrediction, frames_of, predict_video

System = Literal["network", "still", "visible", "sort", "bytetrack"]
SYSTEMS: tuple[System, ...] = get_args(System)
BOX_TRACKERS: tuple[System, ...] = ("sort", "bytetrack")
"""Trackers that follow the boxes of the frame detector and use no other part of the network."""

LEAST_SCORE = 0.1
"""Score below which a detection is not given to the box trackers. It is low because ByteTrack uses weak detections."""
STILL_FRAMES = 30
"""Number of frames for which the last visible mask is kept after an object was last seen."""


def predict_with(
    system: System, model: StreamNetwork, config: ModelConfig, video: VideoRecord, settings: PredictionSettings
) -> VideoPrediction:
    """Run the network itself or a baseline built on it."""
    if system in BOX_TRACKERS:
        if not isinstance(model, VideoNetwork):
            raise TypeError(f"{system} takes the detector alone; give it the eager network")
        return _track_boxes(system, model, config, video, settings)
    prediction = predict_video(VisibleOnly(model) if system == "visible" else model, config, video, settings)
    if system == "still":
        prediction.ranked = [stand_still(record) for record in prediction.ranked]
        prediction.tracked = [stand_still(record) for record in prediction.tracked]
    return prediction


class VisibleOnly:
    """A network whose amodal masks nobody sees: what its tracks owe to them is what they lose here.

    Args:
        network: the network that computes everything else; it must predict visible masks.
    """

    def __init__(self, network: StreamNetwork) -> None:
        self.slots, self.device = network.slots, network.device
        self.initial_state, self.extract, self.recycle = network.initial_state, network.extract, network.recycle
        self._network = network

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Predict a clip as the network does, without amodal masks."""
        prediction, after = self._network.step(features, state)
        if prediction.visible is None:
            raise A2VISError("system visible: this network predicts no visible masks; choose another system")
        return prediction._replace(amodal=None), after


def stand_still(record: Record) -> Record:
    """Return the record with assumed amodal masks.

    The amodal mask is the visible mask or, where nothing is visible, the last visible one.
    """
    amodal: list[Any] = []
    last, age = None, 0
    for mask in record["segmentations"]:
        last, age = (mask, 0) if mask is not None else (last, age + 1)
        amodal.append(last if age <= STILL_FRAMES else None)
    guessed = {key: value for key, value in record.items() if key != "amodal_score"}
    return {**guessed, "amodal_segmentations": amodal}


def _track_boxes(
    system: System, model: VideoNetwork, config: ModelConfig, video: VideoRecord, settings: PredictionSettings
) -> VideoPrediction:
    """Run the frame detector on each frame and join its detections by their boxes.

    The boxes are amodal where the detector was trained on amodal boxes.
    """
    follow = _box_tracker(system)
    device = next(model.parameters()).device
    transform = FrameTransform(input_height=config.input_height, input_width=config.input_width)
    key = "amodal_segmentations" if config.supervision == "amodal" else "segmentations"
    reader = PredictionReader.on(device)
    tracks: dict[int, dict[str, Any]] = {}
    seconds = 0.0
    for t, image in enumerate(frames_of(video)):
        start = time.perf_counter()
        pixels, place = transform(image)
        with torch.inference_mode():
            found = model.detector.detections(model.detector(pixels.to(device)[None]))
        prediction = ClipPrediction(found.classes, found.masks[:, None], None)
        least = np.full(found.masks.shape[1], LEAST_SCORE, np.float32)
        frame = reader.read(prediction, 0, place, least, settings.tracks.least_part)
        scores, classes = frame.slots.scores, frame.slots.classes
        masks: list[tuple[int, RegionMask]] = []
        for query in range(len(scores)):
            mask, _ = frame.masks(query)
            if mask is not None and mask.area:
                masks.append((query, mask))
        for index, track_id in follow([mask for _, mask in masks], scores[[query for query, _ in masks]]):
            query, mask = masks[index]
            track = tracks.setdefault(track_id, {"scores": [], "votes": {}, "masks": {}})
            track["scores"].append(float(scores[query]))
            votes, class_id = track["votes"], int(classes[query])
            votes[class_id] = votes.get(class_id, 0.0) + float(scores[query])
            track["masks"][t] = mask.coco_rle()
        seconds += time.perf_counter() - start
    nothing = [None] * video.length
    records: list[Record] = [
        {
            "track_id": track_id,
            "category_id": max(track["votes"], key=track["votes"].__getitem__) + 1,
            "score": track_score(track["scores"], video.length),
            "segmentations": nothing,
            "amodal_segmentations": nothing,
            key: [track["masks"].get(t) for t in range(video.length)],
        }
        for track_id, track in sorted(tracks.items())
    ]
    return VideoPrediction(records, records, seconds, video.length)


def _box_tracker(system: System) -> Any:
    """A function from masks and scores of a frame to pairs (index of the mask, ID of its track)."""
    with optional_packages():
        import supervision
        from trackers import ByteTrackTracker, SORTTracker
    tracker = SORTTracker() if system == "sort" else ByteTrackTracker()

    def follow(masks: list[RegionMask], scores: Any) -> list[tuple[int, int]]:
        boxes = np.array([mask.box for mask in masks], np.float64).reshape(-1, 4)
        detections = supervision.Detections(
            xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
            confidence=np.asarray(scores, np.float64).reshape(-1),
            data={"index": np.arange(len(masks))},
        )
        followed = tracker.update(detections)
        if not len(followed):
            return []
        indices, ids = np.asarray(followed.data["index"]), np.asarray(followed.tracker_id)
        pairs = zip(indices.tolist(), ids.tolist(), strict=True)
        return [(index, track_id + 1) for index, track_id in pairs if track_id >= 0]

    return follow
