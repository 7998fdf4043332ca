"""`a2vis benchmark`, and the accounting of time by part."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
from networks import tiny_config, tiny_model
from paths import ROOT

from a2vis_model import load_config, save_weights
from a2vis_model.cli import main
from a2vis_model.commands.info import describe
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


def test_the_tracker_needs_no_pycocotools():
    code = "import sys; sys.modules['pycocotools'] = None; import a2vis_model, a2vis_model.profiling"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_gpu_script_measures_what_is_missing_and_counts_right(tmp_path):
    script = ROOT / "benchmark" / "gpu.py"
    command = [
        sys.executable,
        str(script),
        "--device",
        "cpu",
        "--quick",
        "--backends",
        "eager",
        "--output",
        str(tmp_path),
    ]
    first = subprocess.run([*command, "--only", "roofline", "masks"], check=True, capture_output=True, text=True).stdout
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
    again = subprocess.run([*command, "--only", "roofline", "times"], check=True, capture_output=True, text=True).stdout
    assert "  roofline/onboard" not in again
    assert "  times/onboard/96x64/eager/fp32/3" in again
    results["device"] = "another"
    (tmp_path / "results.json").write_text(json.dumps(results))
    other = subprocess.run(command, check=False, capture_output=True, text=True)
    assert other.returncode == 2
    assert "holds results of another; give another folder" in other.stderr


def test_the_gpu_script_tries_what_fails_once(tmp_path):
    script = ROOT / "benchmark" / "gpu.py"
    command = [sys.executable, str(script), "--device", "cpu", "--quick", "--output", str(tmp_path)]
    environment = {**os.environ, "CXX": shutil.which("false") or "false"}
    ended = subprocess.run(
        [*command, "--backends", "compile", "--only", "parity", "times"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    results = json.loads((tmp_path / "results.json").read_text())
    assert len([name for name in results if name.startswith("failed/")]) == 3
    assert ended.stdout.count("exporting the graphs (step 1 of 3)\n") == 1
