"""`--strict` in every command that reads data sets: the first damaged frame or record ends it, with status 2."""

import json
from pathlib import Path
from typing import Any

import pytest
from damaged_frames import LENGTH, write_data
from dataset_files import write_json
from jpeg_files import HEIGHT, WIDTH
from networks import tiny_config, tiny_model

from a2vis_model.cli import main
from a2vis_model.weights import save_weights


@pytest.fixture
def evaluate(tmp_path: Path) -> Any:
    """Runs `a2vis evaluate` of a small network on data; returns its status."""
    config = tiny_config(classes=("cat",))
    save_weights(tmp_path / "tiny.safetensors", tiny_model(config), config)

    def run(truth: Path, *options: str) -> int:
        data = ("--data", str(truth), "--images", str(truth.parent / "images"))
        common = ("--weights", str(tmp_path / "tiny.safetensors"), "--device", "cpu", "--no-plots", "--quiet")
        return main(["evaluate", *data, *common, "--output", str(tmp_path / "out"), *options])

    return run


def test_evaluate_names_damaged_frames_and_stops_where_asked(tmp_path: Path, evaluate: Any, capsys: Any) -> None:
    truth = write_data(tmp_path / "damaged", damaged=True)
    assert evaluate(truth, "--jobs", "1") == 1
    output = capsys.readouterr().out
    assert "b/1.jpg: frame 1: is damaged (premature end of data segment)" in output
    assert json.loads((tmp_path / "out" / "results.json").read_text())["videos"] == 1
    for jobs in ("1", "2"):
        assert evaluate(truth, "--strict", "--jobs", jobs, "--start-score", "0.9") == 2
        assert "b/1.jpg: frame 1: is damaged" in capsys.readouterr().err


def test_whole_data_pass_a_strict_evaluation(tmp_path: Path, evaluate: Any) -> None:
    assert evaluate(write_data(tmp_path / "whole", damaged=False), "--strict", "--jobs", "1") == 0


def test_check_data_names_damaged_frames_and_stops_where_asked(tmp_path: Path, capsys: Any) -> None:
    truth = write_data(tmp_path, damaged=True)
    command = ["check-data", str(truth), "--images", str(tmp_path / "images")]
    assert main(command) == 1
    output = capsys.readouterr().out
    for t in (1, 2):
        assert f"b/{t}.jpg: frame {t}: is damaged (premature end of data segment)" in output
    assert "2 problems" in output
    assert main([*command, "--strict"]) == 2
    said = capsys.readouterr()
    assert "b/1.jpg: frame 1: is damaged" in said.err
    assert "problem:" not in said.out


def test_score_stops_at_a_broken_record_where_asked(tmp_path: Path, capsys: Any) -> None:
    truth = write_data(tmp_path, damaged=False)
    document = json.loads(truth.read_text())
    results = [{**record, "score": 0.5} for record in document["annotations"]]
    broken = [{"size": [HEIGHT, WIDTH], "counts": "000"}] * LENGTH
    results.append({**results[0], "segmentations": broken})
    found = write_json(tmp_path / "results.json", results)
    command = ["score", "--ground-truth", str(truth), "--predictions", str(found), "--no-plots", "--quiet"]
    command += ["--jobs", "1"]
    assert main(command) == 1
    assert "broken RLE" in capsys.readouterr().out
    assert main([*command, "--strict"]) == 2
    assert "broken RLE" in capsys.readouterr().err
