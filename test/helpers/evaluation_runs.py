"""`a2vis evaluate` on rendered clips, with a random network and with an oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evaluation_data import run_command
from networks import tiny_config, tiny_model

from a2vis_model.commands import evaluate as evaluate_command
from a2vis_model.config import ModelConfig
from a2vis_model.evaluation import runner
from a2vis_model.evaluation.prediction import VideoPrediction
from a2vis_model.evaluation.youtube_vis import result_record
from a2vis_model.render import render_clip, write_clip
from a2vis_model.weights import save_weights

FRAMES = 7


EAGER = ("--start-score", "0", "--keep-score", "0")  # random networks are sure of nothing


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fishbowl")
    for number, seed in enumerate((4, 8), 1):
        clip = render_clip(world="aquarium", seed=seed, frames=FRAMES, height=64, width=96)
        assert clip.objects
        write_clip(clip, folder / f"{number:05d}")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors", tiny_config())


def _weights(path: Path, config: ModelConfig) -> Path:
    save_weights(path, tiny_model(config), config)
    return path


def evaluate(data: Path, output: Path, *arguments: str) -> int:
    common = ("--data", str(data), "--output", str(output), "--quiet", "--jobs", "1", "--device", "cpu")
    return run_command(evaluate_command, *common, *arguments)


def oracle(_system: Any, _model: Any, config: ModelConfig, video: Any, _settings: Any) -> VideoPrediction:
    """Says the truth."""
    info = runner.VideoInfo(1, video.name, video.length, video.height, video.width)
    records = [result_record(track, info) for track in runner.truth_tracks(video)]
    for record in records:
        del record["video_id"]
    return VideoPrediction(records, records, 0.5, video.length)
