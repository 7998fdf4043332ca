"""Where a network draws the line between an object and none."""

from pathlib import Path

import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model import ConfigError, VideoNetwork, load_weights
from a2vis_model.calibration import favour_objects
from a2vis_model.cli import main
from a2vis_model.config import ModelConfig
from a2vis_model.weights import save_weights


@torch.inference_mode()
def scores(model: VideoNetwork) -> torch.Tensor:
    """Log-odds of each class against "no object" in a clip of noise, [Q, K]."""
    torch.manual_seed(0)
    features = model.extract(torch.randn(1, 3, 3, 64, 96))
    logits = model.step(features, model.initial_state())[0].classes[0]
    return logits[:, :-1] - logits[:, -1:]


def test_every_class_of_every_slot_gains_against_no_object(model: VideoNetwork) -> None:
    before = scores(model)
    favour_objects(model, 1.5)
    torch.testing.assert_close(scores(model), before + 1.5)


def test_the_command_stores_it(tmp_path: Path, model: VideoNetwork, config: ModelConfig) -> None:
    before, source, target = scores(model), tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_weights(source, model, config)
    assert main(["import-weights", str(source), "--favour-objects", "1.5", "--output", str(target)]) == 0
    torch.testing.assert_close(scores(load_weights(target)[0].eval()), before + 1.5)


def test_other_networks_and_no_numbers_are_refused(model: VideoNetwork) -> None:
    with pytest.raises(ConfigError, match="A2VIS alone"):
        favour_objects(tiny_model(tiny_config("minvis")), 1.0)
    with pytest.raises(ConfigError, match="favour_objects=nan; give a number"):
        favour_objects(model, float("nan"))
