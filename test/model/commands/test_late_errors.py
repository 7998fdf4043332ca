"""What was damaged is named also where another error, of any kind, ends the command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damaged_frames import LENGTH, write_data
from dataset_files import write_json
from jpeg_files import HEIGHT, WIDTH, cut_out, jpeg
from networks import tiny_config, tiny_model

from a2vis_model.cli import main
from a2vis_model.errors import A2VISError
from a2vis_model.weights import save_weights

DAMAGED = "b/1.jpg: frame 1: is damaged"
LATE = [OSError("no space left"), A2VISError("no space left")]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    config = tiny_config(classes=("cat",))
    save_weights(tmp_path / "tiny.safetensors", tiny_model(config), config)
    return tmp_path / "tiny.safetensors"


def ending(real: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """A function that does what the real one does, and raises an error afterwards."""

    def run(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise error

    return run


@pytest.mark.parametrize("error", [*LATE, KeyboardInterrupt()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("command", "function"),
    [
        ("check-data", "check_data.survey"),
        ("evaluate", "evaluate.run_evaluation"),
        ("evaluate", "evaluate.write_results"),
        ("calibrate", "calibrate.slot_outcomes"),
        ("evaluate-images", "evaluate_images.image_precision"),
    ],
)
def test_problems_are_named_before_the_error(
    command: str, function: str, error: BaseException, tmp_path: Path, weights: Path, monkeypatch: Any, capsys: Any
) -> None:
    import importlib

    truth = write_data(tmp_path / "data", damaged=True)
    module, _, name = function.partition(".")
    commands = importlib.import_module(f"a2vis_model.commands.{module}")
    real = _first_frames if command == "evaluate-images" else getattr(commands, name)
    monkeypatch.setattr(commands, name, ending(real, error))
    output = str(tmp_path / "out.safetensors")
    images = ["--images", str(truth.parent / "images")]
    run = ["--weights", str(weights), "--device", "cpu", "--quiet"]
    given = {
        "check-data": [str(truth), *images],
        "evaluate": ["--data", str(truth), *images, *run, "--jobs", "1", "--no-plots", "--output", output],
        "calibrate": ["--data", str(truth), *run, "--output", output],
        "evaluate-images": ["--data", str(truth), *images, *run],
    }
    assert main([command, *given[command]]) == (130 if isinstance(error, KeyboardInterrupt) else 2)
    said = capsys.readouterr()
    assert f"{DAMAGED} (premature end of data segment)" in said.out
    assert said.out.count("problem: ") == said.out.count("frame 1") + said.out.count("frame 2")
    assert ("interrupted" if isinstance(error, KeyboardInterrupt) else "no space left") in said.err


def _first_frames(model: Any, config: Any, dataset: Any, **_: Any) -> None:
    """In place of a detector's run over images: it reads the frames of videos."""
    for video in dataset.videos():
        with video.problems.skipping(dataset.path, video.name):
            video.frames(range(video.length))


def test_score_names_them_where_its_results_cannot_be_written(tmp_path: Path, capsys: Any) -> None:
    truth = write_data(tmp_path, damaged=False)
    results = [{**record, "score": 0.5} for record in json.loads(truth.read_text())["annotations"]]
    results.append({**results[0], "segmentations": [{"size": [HEIGHT, WIDTH], "counts": "000"}] * LENGTH})
    found = write_json(tmp_path / "results.json", results)
    command = ["score", "--ground-truth", str(truth), "--predictions", str(found), "--no-plots", "--quiet"]
    assert main([*command, "--jobs", "1", "--output", str(found)]) == 2
    said = capsys.readouterr()
    assert "broken RLE" in said.out
    assert "results.json" in said.err


@pytest.mark.parametrize("error", [*LATE, KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_predict_counts_the_frames_that_it_has_read(
    error: BaseException, tmp_path: Path, weights: Path, monkeypatch: Any, capsys: Any
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(cut_out(jpeg()) if number == 1 else jpeg())
    monkeypatch.setattr("a2vis_model.commands.predict.write_text", ending(lambda *_: None, error))
    command = ["predict", str(folder), "--output", str(tmp_path / "out"), "--weights", str(weights), "--quiet"]
    assert main(command) == (130 if isinstance(error, KeyboardInterrupt) else 2)
    said = capsys.readouterr().err
    assert f"a2vis predict: {folder}: 1 of 3 frames are damaged (frame 1 1.jpg is damaged" in said
    assert said.index("1 of 3 frames") < said.index("interrupted" if "interrupted" in said else "no space left")
