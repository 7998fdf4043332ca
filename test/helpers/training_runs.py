"""Videos, batches and trainers of a few numbers, for tests of training."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from networks import tiny_config, tiny_model
from paths import HELPERS, ROOT

from a2vis_model import (
    VideoNetwork,
)
from a2vis_model.cli import main
from a2vis_model.config import config_to_dict
from a2vis_model.data.problems import DataError, DataProblem
from a2vis_model.data.video import Sample
from a2vis_model.render import render_clip, write_clip
from a2vis_model.training import (
    Augmentation,
    Batch,
    Checkpoint,
    LossSettings,
    PointSampling,
    Run,
    SequenceDataset,
    TrainingConfig,
    augment,
    train,
)
from a2vis_model.training.loop import CHECKPOINT
from a2vis_model.training.sources import Video

HEIGHT, WIDTH = 64, 96


CPU = torch.device("cpu")


@dataclasses.dataclass
class MemoryVideo:
    """A video with its masks given as arrays [N, F, H, W]."""

    frames: np.ndarray
    visible: np.ndarray
    amodal: np.ndarray | None
    class_ids: np.ndarray
    broken: bool = False

    @property
    def length(self) -> int:
        return len(self.frames)

    def hidden_area(self, t: int) -> int:
        return 0 if self.amodal is None else int((self.amodal[:, t] & ~self.visible[:, t]).sum())

    def load(self, indices: Sequence[int], *, seen_only: bool = False) -> Sample:
        if self.broken:
            raise DataError(DataProblem("video.mp4", "frame 0", "cannot be decoded"))
        visible = self.visible[:, indices]
        kept = visible.any(axis=(1, 2, 3)) if seen_only else np.full(len(visible), True)
        return Sample(
            name="video",
            indices=np.asarray(indices),
            frames=self.frames[list(indices)],
            visible=visible[kept],
            amodal=None if self.amodal is None else self.amodal[:, indices][kept],
            class_ids=self.class_ids[kept],
            object_ids=np.flatnonzero(kept),
            first_visible=np.zeros(int(kept.sum()), np.int64),
        )


class VideoList(list[Video]):
    """A source of training data."""

    has_amodal = True


def moving_squares(
    frames: int = 12, *, height: int = HEIGHT, width: int = WIDTH, hidden: slice | None = None
) -> MemoryVideo:
    """A red square moving right in front of a blue one that stands still; the red one is hidden in some frames."""
    pixels = np.full((frames, height, width, 3), 90, np.uint8)
    visible = np.zeros((2, frames, height, width), np.bool_)
    for t in range(frames):
        visible[1, t, 30:54, 40:70] = True
        left = 4 + 5 * t
        visible[0, t, 8:40, left : left + 24] = True
    amodal = visible.copy()
    visible[1] &= ~visible[0]
    if hidden is not None:
        visible[0, hidden] = False
    pixels[visible[0]] = (250, 20, 20)
    pixels[visible[1]] = (20, 20, 250)
    return MemoryVideo(pixels, visible, amodal, np.array([1, 3]))


def batch_of(videos: Sequence[MemoryVideo], indices: Sequence[int]) -> Batch:
    return Batch.collate(
        [
            augment(
                video.load(indices, seen_only=True),
                Augmentation.none(),
                height=HEIGHT,
                width=WIDTH,
                rng=np.random.default_rng(0),
            )
            for video in videos
        ]
    )


def dataset(frames: int, seed: int = 0, **changes: object) -> SequenceDataset:
    values: dict[str, object] = {
        "sources": [VideoList([moving_squares(), moving_squares(hidden=slice(5, 8))])],
        "weights": [1.0],
        "frames": frames,
        "reach": 12,
        "height": HEIGHT,
        "width": WIDTH,
        "augmentation": Augmentation(),
        "seed": seed,
    }
    return SequenceDataset(**{**values, **changes})  # type: ignore[arg-type]


FEW_POINTS = LossSettings(sampling=PointSampling(points=64))


def training(stage: str, steps: int = 4, **changes: object) -> TrainingConfig:
    values = {"stage": stage, "steps": steps, "batch": 2, "clips": 2, "losses": FEW_POINTS}
    return TrainingConfig(**{**values, **changes})  # type: ignore[arg-type]


class Trainer:
    """The loop on tiny things."""

    def __init__(self, output: Path, stage: str = "video", steps: int = 4, **changes: object) -> None:
        self.output = output
        self.config = training(stage, steps, **changes)
        self.model_config = tiny_config()
        self.model = tiny_model(self.model_config)

    def run(
        self,
        *,
        resume: bool = False,
        validate: Callable[[VideoNetwork], dict[str, float]] | None = None,
        **changes: object,
    ) -> bool:
        values: dict[str, object] = {"output": self.output, "device": CPU, "validate_every": 1, **changes}
        return train(
            self.model,
            self.model_config,
            self.config,
            dataset(self.config.frames_of(self.model_config)),
            validate,
            Run(**values),  # type: ignore[arg-type]
            origin={"data": ["squares"], "validation": None},
            resume=resume,
        )

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.load(self.output / CHECKPOINT)


def run_python(code: str, *, processes: int) -> list[subprocess.CompletedProcess[str]]:
    """Run a program as several processes that `torchrun` could have started."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    path = [str(HELPERS), str(ROOT)]
    shared = {**os.environ, "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    shared |= {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    results = []
    try:
        for process in started:
            out, errors = process.communicate(timeout=600)
            results.append(subprocess.CompletedProcess([], process.returncode, out, errors))
    finally:
        for process in started:
            process.kill()
    return results


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset and a data set of two clips."""
    folder = tmp_path_factory.mktemp("files")
    values = {k: v for k, v in json.loads(json.dumps(config_to_dict(tiny_config()))).items() if k != "name"}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(values))
    for index in range(2):
        clip = render_clip(world="aquarium", seed=index, frames=6, height=HEIGHT, width=WIDTH)
        write_clip(clip, folder / "clips" / f"{index:05d}")
    return folder


def command(files: Path, output: Path, *options: str) -> int:
    required = ["--preset", str(files / "tiny.yaml"), "--data", str(files / "clips"), "--output", str(output)]
    small = ["--batch", "2", "--clips", "2", "--points", "64", "--workers", "0", "--device", "cpu"]
    return main(["train", *required, *small, *options])
