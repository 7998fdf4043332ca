"""Training the networks of the claims side by side: all see the same frames, and one detector looks at them.

Rendering the frames and running the detector take more time than the video part of one network. Done once for all of
them they cost little, and networks differ by nothing but what the claims are about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from a2vis_model.config import ModelConfig, change_config, load_config, parse_changes
from a2vis_model.errors import A2VISError
from a2vis_model.files.atomic import replacing
from a2vis_model.importers.torch_file import load_torch
from a2vis_model.modeling import Detector, DetectorOutput, build_model
from a2vis_model.training.allocator import keep_memory
from a2vis_model.training.augmentation import Augmentation
from a2vis_model.training.batch import Batch, MaskKind
from a2vis_model.training.config import mask_kind
from a2vis_model.training.initialisation import initialise, warm_start
from a2vis_model.training.loop import put_channels_last, seed_step
from a2vis_model.training.losses import PointSampling
from a2vis_model.training.objectives import FrameObjective, Losses, LossSettings, Seen, VideoObjective
from a2vis_model.training.optimisation import (
    OptimiserSettings,
    build_optimiser,
    select_trainable,
    set_learning_rate,
    set_mode,
)
from a2vis_model.training.sequences import SequenceDataset, load_batches
from a2vis_model.training.sources import open_source
from a2vis_model.weights import save_weights

from .context import Context, OutOfTime
from .evaluating import detector_hash

SEQUENCE_FRAMES = 10
"""Frames of a sequence: ten clips of one frame, three of three (the last frame is left out), or two of five."""
DETECTOR_FRAMES = slice(0, 8, 2)
"""Four frames of a sequence, which are what a network without a video part learns from."""
BATCH = 1
"""Sequences of a step."""
REACH = 24
"""Largest distance of a sequence's frames from a random one among them, in frames."""
VIDEO = OptimiserSettings(learning_rate=5e-4, schedule="cosine", warmup=20)
DETECTOR = OptimiserSettings(learning_rate=3e-4, backbone_factor=0.3, schedule="cosine", warmup=20)
"""For networks without a video part, of which the detector is trained."""
LOSSES = LossSettings(sampling=PointSampling(points=1024))
_CHECKPOINT = "checkpoint.pt"
_CHECKPOINT_STEPS = 25


@dataclass(frozen=True)
class Lesson:
    """What the networks learn from, and for how long."""

    classes: tuple[str, ...]
    size: tuple[str, ...]
    """Changes of the preset that set the size of the networks' input."""
    steps: int
    seed: int
    dwell: int = 8
    """Most times, drawn at random, that a clip is run again before the next, as in the training of what ships.

    A sequence has ten clips of one frame, three of three or two of five, and a video that is measured has more: without
    it networks would meet states in streams that are older than any they have learned from.
    """

    def key(self) -> dict[str, Any]:
        """Return all values that determine what is learned, besides the videos and the starts."""
        return {
            "classes": self.classes,
            "size": self.size,
            "steps": self.steps,
            "seed": self.seed,
            "batch": BATCH,
            "frames": SEQUENCE_FRAMES,
            "detector frames": len(range(SEQUENCE_FRAMES)[DETECTOR_FRAMES]),
            "reach": REACH,
            "dwell": self.dwell,
            "optimisers": [asdict(VIDEO), asdict(DETECTOR)],
            "losses": asdict(LOSSES),
        }


class Scene:
    """What all networks learn from in a step. What some of them need alike is computed when the first one asks for it.

    Args:
        batch: B sequences of `SEQUENCE_FRAMES` frames.
        detected: output of the frozen detector for all of them.
    """

    def __init__(self, batch: Batch, detected: DetectorOutput) -> None:
        self._batch, self._detected = batch, detected
        self._cut: dict[range, Batch] = {}
        self._seen: dict[tuple[range, MaskKind], Seen] = {}

    def batch(self, frames: slice) -> Batch:
        """Return some frames of every sequence; the batch keeps their targets."""
        which = range(SEQUENCE_FRAMES)[frames]
        if which not in self._cut:
            self._cut[which] = self._batch.cut(frames)
        return self._cut[which]

    def seen(self, objective: VideoObjective, frames: slice) -> Seen:
        """Return what the detector, which is the same in all networks, sees in some frames of every sequence."""
        which = range(SEQUENCE_FRAMES)[frames], objective.kind
        if which not in self._seen:
            output = _cut(self._detected, len(self._batch.images), frames)
            self._seen[which] = objective.see(self.batch(frames), output)
        return self._seen[which]


class Learner:
    """A network in training.

    Args:
        variant: its variant of preset `onboard`.
        lesson: what it learns from.
        start: weights with the detector, from which the network starts.
    """

    def __init__(self, variant: str, lesson: Lesson, start: Path) -> None:
        self.lesson = lesson
        self.config = change_config(load_config("onboard", variant, classes=lesson.classes), parse_changes(lesson.size))
        torch.manual_seed(lesson.seed)
        self.model = build_model(self.config)
        initialise(self.model, start)
        put_channels_last(self.model)
        kind = mask_kind(self.config)
        self.objective: FrameObjective | VideoObjective
        if "video" in self.model.stages:
            warm_start(self.model)
            select_trainable(self.model, "video")
            self.settings = VIDEO
            # An offline network takes the sequence for one clip.
            length = SEQUENCE_FRAMES if self.config.offline else self.config.clip_length
            clips = SEQUENCE_FRAMES // length
            self.frames = slice(clips * length)
            self.objective = VideoObjective(
                self.model, kind, clips, LOSSES, nullcontext, train_detector=False, dwell=lesson.dwell
            )
        else:
            select_trainable(self.model, "frame")
            self.settings = DETECTOR
            self.frames = DETECTOR_FRAMES
            self.objective = FrameObjective(self.model, kind, LOSSES, nullcontext)
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimiser = build_optimiser(self.model, self.settings)

    def losses(self, scene: Scene) -> Losses:
        """Compute the losses in the network's own frames of a scene, by name."""
        own = scene.batch(self.frames)
        if isinstance(self.objective, FrameObjective):
            return self.objective(own)
        return self.objective(own, scene.seen(self.objective, self.frames))

    def learn(self, scene: Scene, step: int) -> None:
        """Take a step, whose number counts from 0."""
        # All networks draw the same random numbers, whatever is trained beside them.
        seed_step(self.lesson.seed, step)
        set_mode(self.model)
        rate = self.settings.learning_rate * self.settings.factor(step, self.lesson.steps)
        set_learning_rate(self.optimiser, rate)
        torch.stack(list(self.losses(scene).values())).sum().backward()
        clip_grad_norm_(self.trained, self.settings.clip_norm, error_if_nonfinite=True)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Return what is needed to continue."""
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])


def train_side_by_side(
    context: Context, name: str, data: str, lesson: Lesson, starts: Mapping[str, Path]
) -> dict[str, Path]:
    """Train networks in a folder of `scratch/runs`, or continue, and return their weights by variant.

    Args:
        context: the circumstances.
        name: name of the run, one for each kind of videos; a hash of lesson, variants and detectors is added to it.
        data: source of rendered videos (see `open_source`).
        lesson: what the networks learn from.
        starts: weights with the detector, from which each variant starts; the detector is the same in all of them.

    Raises:
        OutOfTime: the deadline came first.
        A2VISError: no variant has a video part.
        RuntimeError: a gradient is not finite.
    """
    made_of = [lesson.key(), {variant: detector_hash(str(start)) for variant, start in starts.items()}]
    digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
    folder = context.scratch / "runs" / f"{name}-{digest[:12]}"
    results = {variant: folder / f"{variant}.safetensors" for variant in starts}
    if all(path.is_file() for path in results.values()):
        return results
    folder.mkdir(parents=True, exist_ok=True)
    keep_memory()
    torch.set_flush_denormal(True)  # Denormal numbers are too small to matter, and very slow on a CPU.
    learners = {variant: Learner(variant, lesson, start) for variant, start in starts.items()}
    checkpoint, first = folder / _CHECKPOINT, 0
    if checkpoint.is_file():
        with open(checkpoint, "rb") as file:
            saved = load_torch(file)
        first = saved["step"]
        for variant, learner in learners.items():
            learner.restore(saved["networks"][variant])
    detector = _shared_detector(learners.values())
    loading = load_batches(
        _sequences(data, lesson, next(iter(learners.values())).config),
        range(first, lesson.steps),
        batch=BATCH,
        rank=0,
        world_size=1,
        workers=0,
        device=torch.device("cpu"),
    )
    with loading as batches, tqdm(total=lesson.steps, initial=first, desc=name) as bar:
        for step, batch in enumerate(batches, first):
            if not context.minutes_left():
                _save(checkpoint, step, learners)
                raise OutOfTime
            with torch.no_grad():
                scene = Scene(batch, detector(batch.normalised().flatten(0, 1)))
            for learner in learners.values():
                learner.learn(scene, step)
            bar.update()
            if (step + 1) % _CHECKPOINT_STEPS == 0:
                _save(checkpoint, step + 1, learners)
    for variant, learner in learners.items():
        save_weights(results[variant], learner.model, learner.config, notes=f"{name}, {lesson.steps} steps")
    checkpoint.unlink(missing_ok=True)
    return results


def _shared_detector(learners: Iterable[Learner]) -> Detector:
    """Return the frozen detector of one of the networks."""
    for learner in learners:
        if isinstance(learner.objective, VideoObjective):
            return learner.objective.detector
    raise A2VISError("none of the networks has a video part; train a detector with 'a2vis train'")


def _sequences(data: str, lesson: Lesson, config: ModelConfig) -> SequenceDataset:
    source = open_source(data, lesson.classes, frames=2 * REACH + 1, seed=lesson.seed, gigabytes=0)
    return SequenceDataset(
        sources=[source],
        weights=[1.0],
        frames=SEQUENCE_FRAMES,
        reach=REACH,
        height=config.input_height,
        width=config.input_width,
        augmentation=Augmentation(),
        seed=lesson.seed,
    )


def _cut(detected: DetectorOutput, sequences: int, frames: slice) -> DetectorOutput:
    """Return what was detected in some frames of every sequence, which are stored one after the other."""

    def cut(x: Tensor) -> Tensor:
        return x.unflatten(0, (sequences, -1))[:, frames].flatten(0, 1)

    return DetectorOutput(pixels=cut(detected.pixels), queries=[cut(queries) for queries in detected.queries])


def _save(path: Path, step: int, learners: Mapping[str, Learner]) -> None:
    content = {"step": step, "networks": {variant: learner.state() for variant, learner in learners.items()}}
    with replacing(path) as temporary:
        torch.save(content, temporary)
