"""What slots show in streams: the scores of slots beside the objects that their masks are on."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from ..calibration import SlotOutcomes
from ..config import ModelConfig
from ..data import Dataset, VideoRecord
from ..masks import coco
from ..masks.outlines import positive_cells
from ..modeling import StreamNetwork
from ..placement import Placement
from ..tracking.observations import PredictionReader, frame_masks, slot_certainty
from ..tracking.settings import TrackSettings
from ..tracking.streaming import StreamingTracker
from .network_tap import NetworkTap
from .prediction import frames_of

_TURN = 6
"""In videos every sixth frame is looked at: neighbours tell the same."""
_SHOWINGS = 5
"""Number of times that a photograph is shown, as to a camera that stands still; the last time is looked at."""
_ON = 0.5
"""IoU of visible masks from which a slot shows an object."""
_OFF = 0.2
"""IoU of visible masks below which a slot shows nothing; between the two it is neither right nor wrong."""


def slot_outcomes(
    model: StreamNetwork, config: ModelConfig, dataset: Dataset, *, settings: TrackSettings, quiet: bool = True
) -> SlotOutcomes:
    """Run a network over every video of a data set as a stream, clip stride 1, and look at what its slots show.

    Slots without a visible mask, on which no track can start, are left out, and so is what would be of a class that a
    picture does not label. Videos that cannot be read are left out; the data set reports them.

    Args:
        model: the network, on its device.
        config: its configuration.
        dataset: opened with the network's classes; a video of one frame is a photograph.
        settings: thresholds of tracks; they decide which slots of the network are reset.
        quiet: show no progress bar.
    """
    stream = _Stream(model, config, settings)
    parts = []
    for video in tqdm(dataset.videos(), total=len(dataset), unit="video", desc=config.name, disable=quiet):
        with video.problems.skipping(dataset.path, video.name):
            parts += stream.watch(video)
    return SlotOutcomes.join(parts, len(config.classes))


class _Stream:
    """A tracker and a reader of all its slots."""

    def __init__(self, model: StreamNetwork, config: ModelConfig, settings: TrackSettings) -> None:
        self._tap = NetworkTap(model)
        self._tracker = StreamingTracker(self._tap, config, settings=settings)
        self._reader = PredictionReader.on(model.device)
        self._config, self._settings = config, settings

    def watch(self, video: VideoRecord) -> list[SlotOutcomes]:
        """Run a video and return the outcomes of the frames that are looked at."""
        self._tracker.reset()
        photograph = video.length == 1
        frames = list(frames_of(video)) * _SHOWINGS if photograph else frames_of(video)
        turn = _SHOWINGS if photograph else _TURN
        place = Placement.fit(
            image_height=video.height,
            image_width=video.width,
            input_height=self._config.input_height,
            input_width=self._config.input_width,
        )
        parts = []
        for number, image in enumerate(frames, start=1):
            self._tracker.push(image, number / 30)
            if number % turn == 0:
                parts.append(self._outcomes(place, video, 0 if photograph else number - 1))
        return parts

    @torch.inference_mode()
    def _outcomes(self, place: Placement, video: VideoRecord, t: int) -> SlotOutcomes:
        """Compare the slots of the newest frame, `t` of the video, with the objects in it."""
        prediction = self._tap.prediction
        assert prediction is not None
        logits = prediction.classes[0].float().cpu().numpy()
        everything = np.zeros(len(logits), np.float32)
        frame = self._reader.read(prediction, -1, place, everything, self._settings.least_part)
        masks = [next(mask for mask in frame.masks(slot) if mask is not None).coco_rle() for slot in range(len(logits))]
        iou, nothing = np.zeros(len(logits)), logits.shape[1] - 1
        shown = np.full(len(logits), nothing, np.int64)
        objects = [
            (track.class_id, coco.encode(mask)) for track in video.tracks if (mask := track.visible_mask(t)).any()
        ]
        if objects:
            overlap = coco.iou(masks, [mask for _, mask in objects])
            iou = overlap.max(axis=1)
            shown = np.where(iou >= _ON, np.array([c for c, _ in objects])[overlap.argmax(axis=1)], nothing)
        known = (iou >= _ON) | (iou < _OFF)
        if video.labelled is not None:
            known &= (shown != nothing) | np.array(video.labelled)[logits[:, :-1].argmax(axis=1)]
        area = frame.slots.amodal_area if frame.slots.visible_area is None else frame.slots.visible_area
        assert area is not None
        chosen = known & (area >= self._settings.min_area)
        kinds = frame_masks(prediction, -1)
        certainty = slot_certainty(kinds, positive_cells(kinds).flatten(-2).sum(dim=-1)).cpu().numpy()
        return SlotOutcomes(logits[chosen], certainty[chosen], shown[chosen])
