"""Averaged weights beside the raw ones, and what a run without decay needs."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from networks import tiny_config, tiny_model
from safetensors import safe_open
from training_runs import Trainer

from a2vis_model import ConfigError, VideoNetwork, load_weights
from a2vis_model.training.averaging import AveragedNetwork, mean_with
from a2vis_model.training.loop import AVERAGE, BEST, LAST
from a2vis_model.training.optimisation import OptimiserSettings


def notes(path: Path) -> str:
    with safe_open(path, framework="pt") as file:
        return str(file.metadata()["notes"])


@torch.no_grad()
def test_the_average_is_exponential_and_soon_forgets_the_start() -> None:
    model = tiny_model(tiny_config())
    average = AveragedNetwork(model, 0.35)
    weight, statistic = "detector.frame_decoder.class_head.bias", "probe"
    model.register_buffer(statistic, torch.zeros(1))
    average.module.register_buffer(statistic, torch.zeros(1))
    expected = 0.0
    for n, value in enumerate((1.0, 5.0, -2.0, 7.0, 3.0)):
        model.get_parameter(weight).fill_(value)
        model.get_buffer(statistic).fill_(value)
        average.update_parameters(model)
        decay = min(0.35, (1 + n) / (10 + n)) if n else 0.0
        expected = decay * expected + (1 - decay) * value
        torch.testing.assert_close(average.module.get_parameter(weight)[0].item(), expected)
    assert average.module.get_buffer(statistic).item() == 3.0  # statistics are not averaged
    assert model.get_parameter(weight)[0].item() == 3.0


def test_the_mean_of_two_networks_is_between_them() -> None:
    first, second = (tiny_model(tiny_config(), seed) for seed in (0, 1))
    expected = {name: (value + second.state_dict()[name]) / 2 for name, value in first.state_dict().items()}
    mean_with(first, second)
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, expected[name] if value.is_floating_point() else value)
    with pytest.raises(ConfigError, match="weights of different networks have no mean"):
        mean_with(first, tiny_model(tiny_config("minvis")))


def test_an_interrupted_run_goes_on_with_its_average(tmp_path: Path) -> None:
    measured: list[dict[str, torch.Tensor]] = []

    def validate(network: VideoNetwork) -> dict[str, float]:
        measured.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"visible": 0.1 * len(measured)}

    whole = Trainer(tmp_path / "whole", "frame", 3, average=0.9)
    assert whole.run(validate=validate)
    first = Trainer(tmp_path / "parts", "frame", 3, average=0.9)
    assert not first.run(max_minutes=0)
    assert first.checkpoint.step == 1
    assert Trainer(tmp_path / "parts", "frame", 3, average=0.9).run(resume=True)
    ours, theirs = whole.checkpoint.average, first.checkpoint.average
    assert ours is not None
    assert theirs is not None
    assert int(ours["n_averaged"]) == 3
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())

    average, raw = (load_weights(whole.output / name)[0].state_dict() for name in (AVERAGE, LAST))
    name = "detector.frame_decoder.class_head.weight"
    assert torch.equal(average[name], ours[f"module.{name}"])
    assert not torch.equal(average[name], raw[name])
    # What is measured, and kept as the best, is the average.
    assert torch.equal(measured[-1][name], average[name])
    assert torch.equal(load_weights(whole.output / BEST)[0].state_dict()[name], average[name])
    assert notes(whole.output / BEST) == "frame stage, step 3, averaged, quality 0.3000"
    assert notes(whole.output / AVERAGE) == "frame stage, step 3, averaged"
    assert notes(whole.output / LAST) == "frame stage, step 3"


def test_a_run_without_an_average_keeps_none_and_is_another_run(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, "frame", 2)
    assert trainer.run(stop_at=1, validate=lambda _network: {"visible": 0.5})
    assert trainer.checkpoint.average is None
    assert not (tmp_path / AVERAGE).exists()
    assert notes(tmp_path / BEST) == "frame stage, step 1, quality 0.5000"
    with pytest.raises(ValueError, match="another average"):
        Trainer(tmp_path, "frame", 2, average=0.9).run(resume=True)
    assert trainer.run(resume=True)
    assert trainer.checkpoint.step == 2


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_that_averages_nothing_is_refused(tmp_path: Path, decay: float) -> None:
    with pytest.raises(ConfigError, match="choose a decay below 1"):
        Trainer(tmp_path, average=decay)


def test_a_constant_rate_is_warmed_up_and_stays() -> None:
    constant = OptimiserSettings(schedule="constant", warmup=4)
    assert [constant.factor(i, 100) for i in (0, 3, 4, 70, 99)] == pytest.approx([0.2, 0.8, 1, 1, 1])


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="the C library is not glibc")
def test_memory_is_kept_for_the_next_step() -> None:
    """Blocks far above glibc's threshold for mapping come from the heap, which does not shrink when they are freed."""
    code = """
import ctypes
from a2vis_model.training.allocator import keep_memory
libc = ctypes.CDLL(None)
libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
libc.sbrk.argtypes, libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_long], [ctypes.c_size_t], [ctypes.c_void_p]
assert keep_memory()
start = libc.sbrk(0)
block = libc.malloc(2**27)
assert libc.sbrk(0) - start > 2**26
libc.free(block)
assert libc.sbrk(0) - start > 2**26
"""
    subprocess.run([sys.executable, "-c", code], check=True)
