"""Running a system over a data set, one file per video, so that an interrupted run can be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..backends import Backend, BackendName, Precision, prepare_backend
from ..config import ModelConfig, change_config, load_config, parse_changes
from ..data import Dataset, VideoRecord, open_dataset
from ..data.formats import paths_beside
from ..data.labels import LABELS_FILE, labels_file
from ..data.problems import DataError, DataProblem, ProblemLog, RecordError, quiet_loaders
from ..data.video import MaskTrack
from ..errors import A2VISError
from ..files.atomic import replacing
from ..machine import code_hash, file_hash, processor_name
from ..masks.coco import RleMask, encode
from ..modeling import VideoNetwork, build_model, freeze
from ..shipped import DEFAULT_WEIGHTS, find_weights
from ..weights import load_weights, read_config
from ..workers import Workers
from .baselines import System, predict_with
from .instances import Rle, TrackRecord, VideoInfo
from .plots import FrameLoader, Image
from .prediction import PredictionSettings
from .provenance import data_hash
from .youtube_vis import ground_truth_document, ground_truth_record, write_json

TRUTH, RANKED, TRACKED = "ground_truth.json", "predictions.json", "tracks.json"
"""Files that a run writes; `a2vis score` can score all of them again."""
_TRUTH_KEY = "annotations"
_FILES = {"ranked": RANKED, "tracked": TRACKED, _TRUTH_KEY: TRUTH}  # Keys in the file of a video.


@dataclass(frozen=True)
class ModelSource:
    """Source of the network: weights, or a preset without training."""

    weights: str | None = DEFAULT_WEIGHTS
    """Name of shipped weights, or path of a file; None for a network without training."""
    preset: str = "onboard"
    """Preset of a network without training."""
    variant: str | None = None
    """Variant of a network without training; where there are weights, the variant that they must hold."""
    changes: tuple[str, ...] = ()
    """Values to use instead of the preset's or the weights', such as "samh.key_stride=8"."""

    @property
    def file(self) -> Path | None:
        """Return the weight file; None for a network without training."""
        return None if self.weights is None else find_weights(self.weights)

    def config(self) -> ModelConfig:
        """Return the configuration of the network."""
        file = self.file
        if file is None:
            return change_config(load_config(self.preset, self.variant or "a2vis"), parse_changes(self.changes))
        config = read_config(file)
        found = config.name.partition("/")[2] or "a2vis"
        if self.variant is not None and self.variant != found:
            raise A2VISError(f"--variant {self.variant}: {file} holds the variant {found}; leave --variant out")
        return change_config(config, parse_changes(self.changes))

    def load(self) -> tuple[VideoNetwork, ModelConfig]:
        """Load the network and its configuration."""
        file = self.file
        if file is not None:
            return load_weights(file, parse_changes(self.changes))
        torch.manual_seed(0)
        config = self.config()
        return build_model(config), config


@dataclass(frozen=True)
class Evaluation:
    """A system and the data it runs on: everything that a worker process needs."""

    data: str
    format: str
    images: str | None
    source: ModelSource
    system: System
    prediction: PredictionSettings
    device: str
    output: str
    pace: str = ""
    """What shares the videos: the speed depends on it, the predictions do not."""
    backend: BackendName = "eager"
    precision: Precision = "fp32"
    engine_cache: str | None = None
    labels: str | None = None
    """Path of the file that lists the labelled classes of each video; None for the file beside the JSON file."""
    strict: bool = False
    """Whether the first problem of the data is an error that ends the run."""

    def data_hash(self) -> str:
        """Return the SHA-256 of the data set, as `provenance.data_hash` computes it."""
        return data_hash(self._data_folders())

    def _data_folders(self) -> list[Path]:
        """Return the data's folder, those that some formats have beside it, and the file that describes its labels."""
        root = Path(self.data)
        beside = paths_beside(root, self.format)
        labels = root.parent / LABELS_FILE if self.labels is None else labels_file(self.labels)
        others = [*beside, labels if labels.is_file() else None]
        return [root, *(path for path in others if path and not path.is_relative_to(root))]

    def fingerprint(self, computed_by: str) -> str:
        """Return a fingerprint that changes with anything that changes predictions or the ground truth.

        It covers the code, the weights, the data and the options.

        Args:
            computed_by: backend, precision and device, as chosen.
        """
        file = self.source.file
        what = {
            "code": code_hash(),
            "weights": None if file is None else file_hash(file),
            "source": asdict(self.source) if file is None else None,
            "changes": self.source.changes,
            "data": data_hash(self._data_folders(), times=True),
            "images": self.images and [str(Path(self.images).resolve()), data_hash([self.images], times=True)],
            "format": self.format,
            "system": self.system,
            "prediction": asdict(self.prediction),
            "computed by": computed_by,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def pace_here(self) -> str:
        """Describe what the speed on this machine depends on, besides what the predictions depend on too."""
        return f"{processor_name()}, {self.pace}"


@dataclass
class RunSummary:
    """Facts about a finished run."""

    name: str
    """Name in the network's configuration."""
    categories: dict[int, str]
    fps: float | None
    """Frames per second of the system alone in one process; None where no video was timed under this run's conditions.
    """
    parameters: int
    backend: str
    """Backend, precision and device that computed the predictions."""
    data: str
    """Hash of the data when the run began."""


def run_evaluation(evaluation: Evaluation, workers: Workers, problems: ProblemLog, *, quiet: bool) -> RunSummary:
    """Predict every video that is not done yet, and write ground truth and predictions as YouTube-VIS JSON.

    Args:
        evaluation: what is run.
        workers: share the videos.
        problems: log to which broken videos and objects are reported.
        quiet: show no progress bar.
    """
    model, config = evaluation.source.load()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    # The backend is chosen first, so that an engine is built once and an obstacle is reported before any work is done.
    backend = _backend(evaluation, model, config)
    described, computed_by = str(backend), f"{backend.name} {backend.precision} on {backend.device}"
    # What was chosen here is used everywhere: workers that chose for themselves could choose differently.
    evaluation = replace(evaluation, backend=backend.name, precision=backend.precision)
    del model, backend
    with quiet_loaders():
        dataset = _open(evaluation, config, problems)
        data = evaluation.data_hash()
        folder = Path(evaluation.output) / f"videos-{evaluation.fingerprint(computed_by)[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
        missing = [index for index in range(len(dataset)) if not _part(folder, index).is_file()]
        bar = tqdm(
            total=len(dataset), initial=len(dataset) - len(missing), unit="video", desc=config.name, disable=quiet
        )
        with bar:
            results = workers.run(partial(_prepare, evaluation, folder), missing)
            for index, reported in zip(missing, results, strict=True):
                for problem in reported:
                    problems.report(problem)
                if not reported and not _part(folder, index).is_file():
                    raise A2VISError(
                        f"{_part(folder, index)}: a worker on another machine has written it, but it is not here; "
                        "choose an --output that all machines of the cluster share"
                    )
                bar.update()
        categories = {index + 1: name for index, name in enumerate(config.classes)}
        seconds, frames = _assemble(evaluation, folder, dataset.names, categories, problems)
    return RunSummary(config.name, categories, frames / seconds if seconds else None, parameters, described, data)


def open_data(evaluation: Evaluation, config: ModelConfig) -> Dataset:
    """Open the data set with the network's classes."""
    return _open(evaluation, config, ProblemLog())


def _open(evaluation: Evaluation, config: ModelConfig, problems: ProblemLog) -> Dataset:
    return open_dataset(
        evaluation.data,
        evaluation.format,
        config.classes,
        images=evaluation.images,
        labels=evaluation.labels,
        problems=problems,
    )


def _backend(evaluation: Evaluation, model: VideoNetwork, config: ModelConfig) -> Backend:
    return prepare_backend(
        freeze(model.to(torch.device(evaluation.device))),
        config,
        backend=evaluation.backend,
        precision=evaluation.precision,
        cache=None if evaluation.engine_cache is None else Path(evaluation.engine_cache),
    )


class _Worker:
    """A loaded network and an opened data set."""

    def __init__(self, evaluation: Evaluation, folder: Path) -> None:
        # The order of additions, and with it the last bits of a result, depends on the number of threads. With one
        # thread it is the same whatever number of processes and machines share the videos.
        torch.set_num_threads(1)
        self.evaluation = evaluation
        self.folder = folder
        model, self.config = evaluation.source.load()
        self.backend = _backend(evaluation, model, self.config)
        self.problems = ProblemLog(evaluation.strict)
        self.dataset = _open(evaluation, self.config, self.problems)

    def run(self, index: int) -> list[DataProblem]:
        """Predict one video and write its file; return the problem where that is impossible."""
        with quiet_loaders():
            return self._run(index)

    def _run(self, index: int) -> list[DataProblem]:
        before = len(self.problems)
        try:
            video = self.dataset[index]
            labelled = None
            if video.labelled is not None and not all(video.labelled):
                labelled = tuple(number for number, every in enumerate(video.labelled, 1) if every)
            info = VideoInfo(index + 1, video.name, video.length, video.height, video.width, labelled)
            truth = truth_tracks(video)
            settings = self.evaluation.prediction
            if not settings.stride:
                settings = replace(settings, stride=self.config.clip_length)
            prediction = predict_with(self.evaluation.system, self.backend.network, self.config, video, settings)
        except DataError as error:
            self.problems.report(error.problem)  # what the data set has reported already counts once
            return list(self.problems)[before:]
        except A2VISError as error:
            return [DataProblem(self.evaluation.data, self.dataset.names[index], str(error))]
        records = [ground_truth_record(t, info, 100_000 * info.video_id + n) for n, t in enumerate(truth, 1)]
        content = {
            "video": asdict(info),
            _TRUTH_KEY: records,
            "ranked": [{"video_id": info.video_id, **record} for record in prediction.ranked],
            "tracked": [{"video_id": info.video_id, **record} for record in prediction.tracked],
            "seconds": prediction.seconds,
            "frames": prediction.frames,
            "pace": self.evaluation.pace_here(),
            "problems": [vars(problem) for problem in list(self.problems)[before:]],
        }
        write_json(_part(self.folder, index), content)
        return []  # Masks are read from the file, also when the run is resumed.


def truth_tracks(video: VideoRecord) -> list[TrackRecord]:
    """Return the objects of a video that are seen in it; broken ones are reported and left out."""
    tracks = []
    for number, track in enumerate(video.tracks, 1):
        try:
            if track.first_visible == video.length:
                continue  # By the paper's rule there is nothing to find.
            visible = _masks(track.visible)
            amodal = None if track.amodal is None else _masks(track.amodal)
        except DataError as error:
            video.problems.report(error.problem)
            continue
        tracks.append(TrackRecord(number, track.class_id + 1, 1.0, visible=visible, amodal=amodal))
    return tracks


def _masks(track: MaskTrack) -> list[Rle | None]:
    masks: list[Rle | None] = []
    for t, mask in enumerate(track.masks):
        if isinstance(mask, RleMask) and isinstance(mask.counts, bytes) and track.area(t):
            masks.append({"size": [mask.height, mask.width], "counts": mask.counts})
        else:
            pixels = track.decode(t)
            masks.append(encode(pixels) if pixels.any() else None)
    return masks


def _prepare(evaluation: Evaluation, folder: Path) -> Callable[[int], list[DataProblem]]:
    with quiet_loaders():
        return _Worker(evaluation, folder).run


def _part(folder: Path, index: int) -> Path:
    return folder / f"{index + 1:06d}.json"


def _assemble(
    evaluation: Evaluation, folder: Path, names: Sequence[str], categories: dict[int, str], problems: ProblemLog
) -> tuple[float, int]:
    """Join the files of the videos into three, reading one at a time.

    Returns:
        Seconds and frames of the videos that were timed under the same conditions.
    """
    output, pace = Path(evaluation.output), evaluation.pace_here()
    infos: list[VideoInfo] = []
    seconds, frames = 0.0, 0
    parts = {_part(folder, index): name for index, name in enumerate(names) if _part(folder, index).is_file()}
    with ExitStack() as stack:
        paths = {key: stack.enter_context(replacing(output / name)) for key, name in _FILES.items()}
        files = {key: stack.enter_context(open(path, "w", encoding="utf-8")) for key, path in paths.items()}
        separators = {key: '{"annotations": [' if key == _TRUTH_KEY else "[" for key in _FILES}
        for part, name in parts.items():
            content = _read_part(part)
            video, labelled = content["video"], content["video"]["labelled"]
            infos.append(VideoInfo(**{**video, "labelled": None if labelled is None else tuple(labelled)}))
            if infos[-1].name != name:
                raise A2VISError(f"{part}: is of the video {infos[-1].name}, not {name}; delete it and run again")
            if content["pace"] == pace:
                seconds += content["seconds"]
                frames += content["frames"]
            for problem in content["problems"]:
                problems.report(DataProblem(**problem))
            for key, file in files.items():
                for record in content[key]:
                    file.write(separators[key] + json.dumps(record))
                    separators[key] = ",\n"
        document = ground_truth_document(infos, categories, [])
        del document["annotations"]
        for key, file in files.items():
            start = "" if separators[key] == ",\n" else separators[key]
            file.write(start + ("], " + json.dumps(document)[1:] if key == _TRUTH_KEY else "]"))
    if infos and separators[_TRUTH_KEY] != ",\n":
        raise A2VISError(f"no object is of the network's classes, {', '.join(categories.values())}; nothing to score")
    if not infos:
        cause = next(iter(problems), None)
        raise DataError(cause) if cause else A2VISError("the data set holds no usable video")
    return seconds, frames


def _read_part(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        return content
    except (OSError, ValueError) as error:
        raise A2VISError(f"{path}: cannot be read ({error}); delete it and run again") from error


def frame_loader(dataset: Dataset) -> FrameLoader:
    """Return a function that reads frames of the data set for plots of the worst cases."""

    def read(video: VideoInfo, frame: int) -> Image:
        try:
            return dataset[video.video_id - 1].frames([frame])[0]
        except (DataError, RecordError):
            return np.zeros((video.height, video.width, 3), np.uint8)

    return read
