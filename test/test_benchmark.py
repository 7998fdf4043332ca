"""`a2vis benchmark`, and the accounting of time by part."""

import json
import subprocess
import sys
import time

import pytest
import torch
from conftest import tiny_config, tiny_model

from a2vis_model import save_weights
from a2vis_model.cli import main
from a2vis_model.profiling import EVERY_SLOT, NETWORK_PARTS, PartTimes, network_parts, time_parts


@pytest.fixture
def weights(tmp_path):
    config = tiny_config()
    path = tmp_path / "tiny.safetensors"
    save_weights(path, tiny_model(config), config)
    return str(path)


def test_the_figures_of_a_network(weights, capsys):
    given = [
        "benchmark",
        "--weights",
        weights,
        "--backend",
        "eager",
        "--device",
        "cpu",
        "--stride",
        "3",
        "--frames",
        "7",
    ]
    assert main([*given, "--size", "128x64", "--every-slot", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["size"], found["backend"], found["precision"]) == ([128, 64], "eager", "fp32")
    assert found["frames"] == 6
    assert 0 < found["p50_ms"] <= found["p95_ms"]
    assert found["fps"] > 0
    assert {*NETWORK_PARTS, "transfer", "masks", "tracks"} < set(found["parts"])
    assert all(milliseconds > 0 for milliseconds in found["parts"].values())
    assert found["memory_mib"] > 1
    assert found["versions"]["torch"] == torch.__version__
    assert main(given) == 0
    assert "frames a second over 6" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "480"], "give WIDTHxHEIGHT"),
        (["--size", "100x64"], "multiple of 32"),
        (["--stride", "4"], "choose 1 to 3"),
        (["--frames", "0"], "choose 1 or more"),
        (["--threads", "0"], "choose 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_named(weights, arguments, message, capsys):
    assert main(["benchmark", "--weights", weights, "--device", "cpu", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_part_has_the_time_that_parts_inside_it_have_not():
    times = PartTimes(torch.device("cpu"))
    with times.part("outer"):
        time.sleep(0.02)
        with times.part("inner"):
            time.sleep(0.05)
        with times.part("inner"):
            pass
    assert set(times.seconds) == {"outer", "inner"}
    assert times.seconds["inner"] >= 0.05
    assert 0.02 <= times.seconds["outer"] < times.seconds["inner"]


def test_timing_leaves_no_hooks_behind():
    config = tiny_config()
    model = tiny_model(config)
    time_parts(model, config, stride=1, frames=1, settings=EVERY_SLOT)
    assert set(network_parts(model)) == set(NETWORK_PARTS)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_the_tracker_needs_no_pycocotools():
    code = "import sys; sys.modules['pycocotools'] = None; import a2vis_model, a2vis_model.profiling"
    subprocess.run([sys.executable, "-c", code], check=True)
