"""Quick validation for choosing weights during training, not for reporting: panoptic quality on a few videos."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from tqdm import tqdm

from ..config import ModelConfig
from ..data.problems import DataError
from ..errors import A2VISError
from ..modeling import ClipPrediction, VideoNetwork
from .augmentation import Augmentation, TrainingSample, augment
from .batch import Batch, MaskKind, Targets
from .config import mask_kind
from .sources import Video


@dataclass
class PanopticQuality:
    """Sum of the IoUs of true positives over their number plus half of that of all errors.

    A prediction is a true positive if its class is right and its masks in all frames together have an IoU above
    one half with the object's.
    """

    overlap: float = 0.0
    hits: int = 0
    errors: int = 0

    @property
    def value(self) -> float:
        """Panoptic quality in [0, 1]."""
        return self.overlap / max(self.hits + self.errors / 2, 1.0)

    def add(
        self,
        tubes: MaskTubes,
        predicted: NDArray[np.int64],
        wanted: NDArray[np.int64],
        labelled: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count a video: classes of slots [Q], negative for none, and of objects [n].

        A slot of a class that is not `labelled` [K] is not counted as an error where it matches no object.
        """
        slots, objects = np.flatnonzero((predicted >= 0) & (tubes.slots > 0)), np.flatnonzero(tubes.objects > 0)
        pairs = np.ix_(slots, objects)
        union = tubes.slots[slots, None] - tubes.unknown[pairs] + tubes.objects[objects] - tubes.overlap[pairs]
        iou = tubes.overlap[pairs] / union
        iou = np.where(predicted[slots, None] == wanted[objects], iou, 0.0)
        rows, columns = linear_sum_assignment(iou, maximize=True)
        hit = iou[rows, columns] > 0.5
        self.overlap += float(iou[rows[hit], columns[hit]].sum())
        self.hits += int(hit.sum())
        missed = np.delete(predicted[slots], rows[hit])
        excused = 0 if labelled is None else int((~labelled[missed]).sum())
        self.errors += len(missed) - excused + len(objects) - int(hit.sum())


@dataclass
class MaskTubes:
    """Areas in cells, summed over the frames of a video."""

    overlap: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))
    """Area [Q, n] common to a slot and an object."""
    slots: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))
    """Area [Q] of each slot."""
    objects: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))
    """Area [n] of each object."""
    unknown: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))
    """Area [Q, n] of a slot where it is unknown whether the cells belong to an object."""

    def add(self, logits: Tensor, covered: Tensor, known: Tensor | None = None) -> None:
        """Count T frames.

        Args:
            logits: mask logits [T, Q, h, w].
            covered: share of the same cells that each object covers, [T, n, h · w].
            known: share of each cell that is known, [T, n, h · w]; None for all of it.
        """
        predicted = (logits.flatten(2) > 0).float()
        wanted = (covered > 0.5).float()
        self.overlap = self.overlap + (predicted @ wanted.transpose(1, 2)).sum(0).double().cpu().numpy()
        hidden = torch.zeros_like(wanted) if known is None else (known < 0.5).float()
        self.unknown = self.unknown + (predicted @ hidden.transpose(1, 2)).sum(0).double().cpu().numpy()
        self.slots = self.slots + predicted.sum(dim=(0, 2)).double().cpu().numpy()
        self.objects = self.objects + wanted.sum(dim=(0, 2)).double().cpu().numpy()


@torch.inference_mode()
def validate_frames(
    model: VideoNetwork, config: ModelConfig, videos: Iterable[Video], *, frames: int
) -> dict[str, float]:
    """Measure the quality of the detector on `frames` frames of each video, spread over its length.

    Broken videos are left out, here and in `validate_videos`.

    Raises:
        A2VISError: every video is broken.
    """
    model.eval()
    quality, kind = PanopticQuality(), mask_kind(config)

    def spread(length: int) -> list[list[int]]:
        indices = np.unique(np.linspace(0, length - 1, frames).round().astype(int))
        return [[index] for index in indices.tolist()]

    for loaded in _sound(videos, spread, config):
        batch = loaded.to(_device(model))
        found = model.detector.detections(model.detector(batch.normalised().flatten(0, 1)))
        tubes = MaskTubes()
        _count(tubes, found.masks, batch.targets(kind))
        quality.add(tubes, _classes(found.classes[0]), batch.classes[0], _labelled(batch))
    return {kind: quality.value}


@torch.inference_mode()
def validate_videos(
    model: VideoNetwork, config: ModelConfig, videos: Iterable[Video], *, frames: int
) -> dict[str, float]:
    """Measure the quality of tracks in the first `frames` frames of each video, clip after clip as in the paper.

    If a video, or `frames`, is shorter than a clip, the last frame is repeated.
    """
    model.eval()
    qualities: dict[str, PanopticQuality] = {}
    at_once = config.offline

    def whole_clips(available: int) -> list[list[int]]:
        count = min(frames, available)
        if not at_once:
            count = max(count // config.clip_length, 1) * config.clip_length
        return [[min(index, available - 1) for index in range(count)]]

    for loaded in _sound(videos, whole_clips, config):
        batch = loaded.to(_device(model))
        length = batch.images.shape[1] if at_once else config.clip_length
        tubes: dict[str, MaskTubes] = {}
        prediction: ClipPrediction | None = None
        state = model.initial_state()
        for start in range(0, batch.images.shape[1], length):
            clip = slice(start, start + length)
            prediction, state = model.step(model.extract(batch.cut(clip).normalised()), state)
            masks: list[tuple[MaskKind, Tensor | None]] = [
                ("visible", prediction.visible),
                ("amodal", prediction.amodal),
            ]
            for kind, logits in masks:
                if logits is not None:
                    _count(tubes.setdefault(kind, MaskTubes()), logits[0], batch.cut(clip).targets(kind))
        for name, tube in tubes.items():
            assert prediction is not None
            classes = _classes(prediction.classes[0])
            qualities.setdefault(name, PanopticQuality()).add(tube, classes, batch.classes[0], _labelled(batch))
    return {name: quality.value for name, quality in qualities.items()}


def _sound(videos: Iterable[Video], choose: Callable[[int], list[list[int]]], config: ModelConfig) -> Iterator[Batch]:
    """Yield the batches of every intact video, one for each list of frames that `choose` makes of its length."""
    sound, reason = False, "there is none"
    for video in videos:
        try:
            batches = [_load(video, indices, config) for indices in choose(video.length)]
        except DataError as error:
            reason = str(error)
            tqdm.write(f"validation: a video is skipped: {error}", file=sys.stderr)
            continue
        sound = True
        yield from batches
    if not sound:
        raise A2VISError(f"no video of --validation can be used ({reason}); run 'a2vis check-data' on it")


def _load(video: Video, indices: Sequence[int], config: ModelConfig) -> Batch:
    sample = video.load(list(indices), seen_only=True)
    unchanged: TrainingSample = augment(
        sample,
        Augmentation.none(),
        height=config.input_height,
        width=config.input_width,
        rng=np.random.default_rng(0),
    )
    return Batch.collate([unchanged])


def _count(tubes: MaskTubes, logits: Tensor, targets: Targets) -> None:
    """Add the frames of the one sequence of a batch."""
    known = targets.known_cells()
    tubes.add(logits, targets.cells[0], None if known is None else known[0])


def _labelled(batch: Batch) -> NDArray[np.bool_] | None:
    """Return the classes [K] that the one sequence of a batch labels; None for all."""
    return None if batch.labelled is None else batch.labelled[0]


def _classes(logits: Tensor) -> NDArray[np.int64]:
    """Return the most probable classes [Q] from logits [Q, K + 1], -1 for "no object"."""
    classes = logits.argmax(dim=-1)
    return np.asarray(torch.where(classes == logits.shape[-1] - 1, -1, classes).cpu().numpy())


def _device(model: VideoNetwork) -> torch.device:
    return next(model.parameters()).device
