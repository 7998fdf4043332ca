"""Running a system over clips with the project's evaluation, and what a result says about where it comes from."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from a2vis_model import __version__
from a2vis_model.config import config_to_dict
from a2vis_model.data.problems import DataError, ProblemLog, quiet_loaders
from a2vis_model.evaluation import ScoreSettings, open_comparison
from a2vis_model.evaluation.baselines import BOX_TRACKERS, System, stand_still
from a2vis_model.evaluation.files import Comparison
from a2vis_model.evaluation.instances import VideoInfo, VideoTracks
from a2vis_model.evaluation.prediction import PredictionSettings
from a2vis_model.evaluation.runner import RANKED, TRACKED, TRUTH, Evaluation, ModelSource, run_evaluation
from a2vis_model.evaluation.video_score import Scope, VideoScore, score_video
from a2vis_model.evaluation.youtube_vis import write_json
from a2vis_model.machine import code_hash, file_hash, processor_name
from a2vis_model.shipped import find_weights
from a2vis_model.weights import read_config
from a2vis_model.workers import LocalWorkers

from .context import Context
from .detections import DetectionMemory, RememberingSource

SETTINGS = ScoreSettings()
_DETECTOR_FIELDS = ("classes", "dim", "mask_dim", "heads", "backbone", "pixel_decoder", "frame_decoder")
"""Fields of a network's configuration that its detector is built from."""


@dataclass(frozen=True)
class Answers:
    """Truth and predictions of a system on some clips, read clip by clip."""

    comparison: Comparison
    parameters: int
    fps: float | None
    """Frames per second in one process, where the clips were timed."""

    def __iter__(self) -> Iterator[tuple[VideoInfo, VideoTracks, VideoTracks, VideoTracks]]:
        """Yield each clip with its truth, ranked predictions and tracks."""
        for video in self.comparison.videos:
            truth, ranked = self.comparison.truth.read(video), self.comparison.ranked.read(video)
            same = self.comparison.tracked is self.comparison.ranked
            yield video, truth, ranked, ranked if same else self.comparison.tracked.read(video)

    def score(
        self, truth: VideoTracks, ranked: VideoTracks, tracked: VideoTracks, *, ranks: bool = False
    ) -> VideoScore:
        """Score one clip; with `ranks` only the average precision."""
        scope = self.comparison.scope
        if ranks:
            scope = replace(scope, tracking=())
        return score_video(truth, ranked, tracked, SETTINGS, scope)

    @property
    def classes(self) -> dict[str, str]:
        """Names of the classes by their number as text."""
        return {str(number): name for number, name in self.comparison.categories.items()}

    @property
    def scope(self) -> Scope:
        """Return what was compared."""
        return self.comparison.scope


def answers(
    context: Context,
    folder: Path,
    weights: str,
    system: System,
    prediction: PredictionSettings,
    name: str,
    memory: DetectionMemory | None = None,
) -> Answers:
    """Run a system over the clips in a folder, resuming what is there, and open its answers.

    Where hidden objects stand still the network is run, and its answers are changed: `name` may be that of the network.

    Args:
        context: the circumstances.
        folder: clips in FISHBOWL's format.
        weights: name or path of the weights.
        system: the network, or a baseline that is built on it.
        prediction: how predictions are made.
        name: name of the work in progress.
        memory: what networks with the same detector have seen; None to remember nothing. Times say nothing with it.
    """
    output = context.scratch / "answers" / name
    output.mkdir(parents=True, exist_ok=True)
    problems = ProblemLog(strict=True)
    evaluation = Evaluation(
        data=str(folder),
        format="fishbowl",
        images=None,
        source=ModelSource(weights) if memory is None else RememberingSource(weights, memory=memory),
        system="network" if system == "still" else system,
        prediction=prediction,
        device="cuda" if torch.cuda.is_available() else "cpu",
        output=str(output),
        pace=f"one process, {torch.get_num_threads()} threads",
        strict=True,
    )
    summary = run_evaluation(evaluation, LocalWorkers(1), problems, quiet=True)
    predicted = output
    if system == "still":
        predicted = output / "still"
        predicted.mkdir(exist_ok=True)
        for file in (RANKED, TRACKED):
            records = json.loads((output / file).read_text("utf-8"))
            write_json(predicted / file, [stand_still(record) for record in records])
    same = prediction.output_mode != "both" or system in BOX_TRACKERS
    with quiet_loaders():
        comparison = open_comparison(
            output / TRUTH,
            predicted / RANKED,
            None if same else predicted / TRACKED,
            SETTINGS,
            problems,
            format="ytvis",
        )
    if len(comparison.videos) != len([path for path in folder.iterdir() if path.is_dir()]):
        raise DataError(next(iter(problems)))
    return Answers(comparison, summary.parameters, summary.fps if memory is None else None)


@functools.cache
def weights_hash(weights: str) -> str:
    """Return the SHA-256 of weights that are given by name or path, as they are when first asked for."""
    return file_hash(find_weights(weights))


@functools.cache
def detector_hash(weights: str) -> str:
    """Return the SHA-256 of the detector in weights that are given by name or path, as it is when first asked for.

    It is of the detector's tensors, in fp32, and of what configures them: what starts from a detector does not depend
    on the video part beside it.
    """
    config = config_to_dict(read_config(weights))
    digest = hashlib.sha256(json.dumps({name: config[name] for name in _DETECTOR_FIELDS}).encode())
    with safe_open(find_weights(weights), framework="pt") as file:
        for name in sorted(name for name in file.keys() if name.startswith("detector.")):  # noqa: SIM118
            tensor = file.get_tensor(name)
            values = tensor.float() if tensor.is_floating_point() else tensor
            digest.update(f"{name} {list(values.shape)} {values.dtype}".encode())
            digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()


def provenance(began: float) -> dict[str, Any]:
    """Return who computed a result that began at `began` of `time.monotonic()`, and how long it took."""
    return {
        "version": __version__,
        "code": code_hash()[:16],
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "minutes": round((time.monotonic() - began) / 60, 2),
    }
