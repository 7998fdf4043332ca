"""`a2vis benchmark`, and the accounting of time by part."""

import importlib
import json
import time

import pytest
import torch
from networks import tiny_config, tiny_model
from paths import ROOT

from a2vis_model import load_config, save_weights
from a2vis_model.cli import main
from a2vis_model.commands.info import describe
from a2vis_model.errors import BackendError
from a2vis_model.profiling import EVERY_SLOT, NETWORK_PARTS, PartTimes, network_parts, time_parts
from a2vis_model.sample_video import sample_video


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
    assert main([*given, "--size", "120x64", "--every-slot", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["size"], found["backend"], found["precision"]) == ([120, 64], "eager", "fp32")
    assert found["frames"] == 6
    assert 0 < found["p50_ms"] <= found["p95_ms"]
    assert found["fps"] > 0
    assert {*NETWORK_PARTS, "transfer", "masks", "tracks"} < set(found["parts"])
    assert all(milliseconds > 0 for milliseconds in found["parts"].values())
    assert found["memory_mib"] > 1
    assert found["versions"]["torch"] == torch.__version__
    assert main(given) == 0
    assert "frames per second over 6" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "480"], "give WIDTHxHEIGHT"),
        (["--size", "0x64"], "give WIDTHxHEIGHT"),
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
    modules = network_parts(model)
    assert set(modules) == set(NETWORK_PARTS)
    time_parts(model, modules, config, sample_video(64, 96), stride=1, frames=1, settings=EVERY_SLOT)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.fixture
def gpu_script(monkeypatch):
    """The script as a module: as a program it would import PyTorch first, for seconds."""
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    return importlib.import_module("gpu")


def test_the_gpu_script_measures_what_is_missing_and_counts_right(gpu_script, tmp_path, capsys):
    given = ["--device", "cpu", "--quick", "--backends", "eager", "--output", str(tmp_path)]
    gpu_script.main([*given, "--only", "roofline", "masks"])
    first = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert not [name for name in results if name.startswith("failed")]
    assert all(value["equal_to_cpu"] for name, value in results.items() if name.startswith("masks/"))
    counted = results["roofline/onboard/96x64/fp32"]["parts"]
    expected = describe(load_config("onboard", input_width=96, input_height=64))["gflop"]
    assert counted["backbone"]["flops"] / 1e9 == pytest.approx(expected["frame"]["backbone"])
    assert counted["frame decoder"]["flops"] / 1e9 == pytest.approx(expected["frame"]["frame decoder"])
    assert counted["SAMH"]["flops"] / 1e9 == pytest.approx(expected["clip"]["SAMH"])
    assert "## Roofline of onboard/96x64/fp32" in (tmp_path / "results.md").read_text()
    assert "  roofline/onboard" in first
    gpu_script.main([*given, "--only", "roofline", "times"])
    again = capsys.readouterr().out
    assert "  roofline/onboard" not in again
    assert "  times/onboard/96x64/eager/fp32/3" in again
    results["device"] = "another"
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(SystemExit, match="2"):
        gpu_script.main(given)
    assert "holds results of another; give another folder" in capsys.readouterr().err


def test_the_gpu_script_tries_what_fails_once(gpu_script, tmp_path, monkeypatch):
    tries = []

    def fail(*_, backend, **__):
        tries.append(backend)
        raise BackendError("the compiler failed")

    monkeypatch.setattr(gpu_script, "prepare_backend", fail)
    given = ["--device", "cpu", "--quick", "--output", str(tmp_path), "--backends", "compile"]
    gpu_script.main([*given, "--only", "parity", "times"])
    results = json.loads((tmp_path / "results.json").read_text())
    failed = {name: text for name, text in results.items() if name.startswith("failed/")}
    assert len(failed) == 3
    assert set(failed.values()) == {"BackendError: the compiler failed"}
    assert tries == ["compile"]
