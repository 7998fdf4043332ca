"""`a2vis evaluate`: data of every format, runs that go on, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from dataset_files import (
    LENGTH,
    two_objects,
    write_fishbowl,
    write_sailvos,
    write_sailvos_json,
    write_unmerged,
    write_ytvis,
)
from evaluation_data import read_json, run_command
from evaluation_runs import EAGER, FRAMES, _weights, data, evaluate, oracle, weights
from networks import tiny_config, tiny_model

from a2vis_model.commands import score as score_command
from a2vis_model.data import FISHBOWL_CLASSES
from a2vis_model.errors import A2VISError
from a2vis_model.evaluation import runner
from a2vis_model.evaluation.prediction import VideoPrediction

__all__ = ["data", "weights"]


def test_the_truth_scores_full_marks(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(runner, "predict_with", oracle)
    assert evaluate(data, tmp_path / "out", "--weights", str(weights), "--export", "mot", "--export", "mots") == 0
    values = read_json(tmp_path / "out" / "results.json")
    for key in (
        "amodal.AP",
        "amodal.AP75",
        "visible.AP",
        "boxes.HOTA",
        "boxes.IDF1",
        "boxes.MOTA",
        "visible_boxes.HOTA",
    ):
        assert values[key] == pytest.approx(1), key
    assert values["boxes.IDs"] == values["boxes.FP"] == 0
    assert values["fps"] == pytest.approx(FRAMES / 0.5)
    assert values["parameters"] == sum(parameter.numel() for parameter in tiny_model(tiny_config()).parameters())
    assert set(values["provenance"]["hashes"]) == {"weights", "data"}
    assert values["provenance"]["backend"] == "eager fp32 on cpu (named)"
    assert "| 100.00 |" in capsys.readouterr().out
    for kind, key in (("mot", "boxes.HOTA"), ("mots", "masks.HOTA")):
        folder = tmp_path / "out" / kind
        arguments = ("--predictions", str(folder / "predictions"), "--ground-truth", str(folder / "gt"), "--quiet")
        assert run_command(score_command, *arguments, "--jobs", "1", "--output", str(folder / "scored")) == 0
        assert read_json(folder / "scored" / "results.json")[key] == pytest.approx(1)
    stated = next((tmp_path / "out" / "mots").rglob("seqinfo.ini")).read_text()
    assert "classes=" + ",".join(str(number) for number in range(1, len(FISHBOWL_CLASSES) + 1)) in stated


@pytest.mark.parametrize(
    ("write", "format", "classes"),
    [
        (write_fishbowl, "fishbowl", ("SmallFishA", "BigFishB")),
        (write_sailvos, "sailvos", ("person", "truck")),
        (write_sailvos_json, "sailvos", ("SmallFishA", "BigFishB")),
        (write_ytvis, "ytvis", ("SmallFishA", "BigFishB")),
    ],
)
def test_every_format_is_evaluated(
    write: Callable[..., Path], format: str, classes: tuple[str, ...], tmp_path: Path, monkeypatch: Any
) -> None:
    data = write(tmp_path / "data", two_objects())
    weights = _weights(tmp_path / "tiny.safetensors", tiny_config(classes=classes))
    common = ("--format", format, "--weights", str(weights), "--amodal-truth", "full", "--no-plots")
    assert evaluate(data, tmp_path / "network", *common, *EAGER) == 0
    assert read_json(tmp_path / "network" / "results.json")["frames"] == LENGTH
    monkeypatch.setattr(runner, "predict_with", oracle)
    assert evaluate(data, tmp_path / "oracle", *common) == 0
    values = read_json(tmp_path / "oracle" / "results.json")
    assert values["objects"] == 2
    assert values["visible.AP"] == values["amodal.AP"] == pytest.approx(1)
    assert values["hidden.IoU"] == pytest.approx(1)


def test_a_network_is_evaluated_and_its_files_score_the_same(data: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert evaluate(data, output, "--weights", str(weights), *EAGER) == 0
    values = read_json(output / "results.json")
    assert values["videos"] == 2
    assert values["fps"] > 0
    assert read_json(output / "tracks.json")
    assert 0 < values["boxes.DetA"] < 1
    arguments = ["--predictions", str(output / "predictions.json"), "--tracks", str(output / "tracks.json")]
    arguments += ["--ground-truth", str(output / "ground_truth.json"), "--output", str(tmp_path / "again")]
    assert run_command(score_command, *arguments, "--quiet", "--jobs", "1", "--no-plots") == 0
    again = read_json(tmp_path / "again" / "results.json")
    own = {"name", "fps", "parameters", "provenance"}
    assert {k: v for k, v in again.items() if k not in own} == {k: v for k, v in values.items() if k not in own}


def test_an_interrupted_run_goes_on(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any) -> None:
    asked: list[str] = []

    def watched(*arguments: Any) -> VideoPrediction:
        asked.append(arguments[3].name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return oracle(*arguments)

    monkeypatch.setattr(runner, "predict_with", watched)
    with pytest.raises(KeyboardInterrupt):
        evaluate(data, tmp_path, "--weights", str(weights), "--no-plots")
    assert not (tmp_path / "predictions.json").exists()
    assert evaluate(data, tmp_path, "--weights", str(weights), "--no-plots") == 0
    assert asked == ["00001", "00002", "00002"]
    # Nothing is left to do, and other settings make other predictions.
    assert evaluate(data, tmp_path, "--weights", str(weights), "--no-plots") == 0
    assert len(asked) == 3
    assert evaluate(data, tmp_path, "--weights", str(weights), "--no-plots", "--top", "3") == 0
    assert len(asked) == 5


def test_a_run_goes_on_with_the_same_data_alone(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(runner, "predict_with", oracle)
    clips, output = tmp_path / "clips", tmp_path / "out"
    shutil.copytree(data, clips)
    hashes = []

    def evaluated() -> dict[str, Any]:
        assert evaluate(clips, output, "--weights", str(weights), "--no-plots") == 0
        hashes.append(read_json(output / "results.json")["provenance"]["hashes"]["data"])
        return read_json(output / "ground_truth.json")

    def names(truth: dict[str, Any]) -> list[str]:
        return [video["file_names"][0].split("/")[0] for video in truth["videos"]]

    before = evaluated()
    assert names(before) == ["00001", "00002"]
    # A clip that takes the number of another.
    shutil.copytree(data / "00002", clips / "00000")
    assert names(evaluated()) == ["00000", "00001", "00002"]
    # An annotation that changes.
    shutil.rmtree(clips / "00000")
    file = clips / "00001" / "objects.json"
    objects = read_json(file)
    changed = next(name for name in FISHBOWL_CLASSES if name != objects[0]["type_name"])
    file.write_text(json.dumps([{**objects[0], "type_name": changed}, *objects[1:]]))
    after = evaluated()
    assert names(after) == ["00001", "00002"]
    old, new = (truth["annotations"][0]["category_id"] for truth in (before, after))
    assert new == FISHBOWL_CLASSES.index(changed) + 1 != old
    assert len(set(hashes)) == 3


def test_masks_beside_the_split_and_images_elsewhere_are_data_too(
    weights: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    asked: list[str] = []

    def counted(*arguments: Any) -> VideoPrediction:
        asked.append(arguments[3].name)
        return oracle(*arguments)

    monkeypatch.setattr(runner, "predict_with", counted)
    common = ("--weights", str(weights), "--no-plots")
    clips = write_unmerged(tmp_path / "fish", two_objects())
    masks = next((clips / "train_objects").glob("*/objects.json"))
    for change, expected in (("", 1), ("", 1), ("\n", 2)):
        masks.write_text(masks.read_text() + change)
        assert evaluate(clips / "train", tmp_path / "beside", *common) == 0
        assert len(asked) == expected
    asked.clear()
    file = write_ytvis(tmp_path / "data", two_objects())
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "data" / "train" / "JPEGImages", other)
    for images, expected in ((), 1), (("--images", str(other)), 2), (("--images", str(other)), 2):
        assert evaluate(file, tmp_path / "elsewhere", *common, *images) == 0
        assert len(asked) == expected


def test_a_file_of_another_video_is_refused(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(runner, "predict_with", oracle)
    assert evaluate(data, tmp_path, "--weights", str(weights), "--no-plots") == 0
    (folder,) = tmp_path.glob("videos-*")
    shutil.copy(folder / "000001.json", folder / "000002.json")
    with pytest.raises(A2VISError, match=r"000002\.json: is of the video 00001, not 00002; delete it and run again"):
        evaluate(data, tmp_path, "--weights", str(weights), "--no-plots")


def test_speed_is_of_videos_timed_alike(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The oracle says that it took half a second a video."""
    monkeypatch.setattr(runner, "predict_with", oracle)
    common = ("--weights", str(weights), "--no-plots")
    assert evaluate(data, tmp_path, *common) == 0
    assert read_json(tmp_path / "results.json")["fps"] == 2 * FRAMES
    assert evaluate(data, tmp_path, *common, "--jobs", "2") == 0
    assert read_json(tmp_path / "results.json")["fps"] is None
    (folder,) = tmp_path.glob("videos-*")
    (folder / "000002.json").unlink()
    monkeypatch.setattr(runner, "predict_with", lambda *arguments: replace(oracle(*arguments), seconds=0.1))
    assert evaluate(data, tmp_path, *common, "--jobs", "2") == 0
    assert read_json(tmp_path / "results.json")["fps"] == pytest.approx(10 * FRAMES)


@pytest.mark.parametrize("options", [("--jobs", "2"), ("--ray", "local")])
def test_whoever_shares_the_videos_the_results_are_the_same(
    data: Path, weights: Path, tmp_path: Path, options: tuple[str, str]
) -> None:
    if "--ray" in options:
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'a2vis_ros[ray]'")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # as on any computer with more than one core
    try:
        assert evaluate(data, tmp_path / "alone", "--weights", str(weights), "--no-plots", *EAGER) == 0
        assert evaluate(data, tmp_path / "shared", "--weights", str(weights), "--no-plots", *EAGER, *options) == 0
    finally:
        torch.set_num_threads(threads)
    for name in (runner.TRUTH, runner.RANKED, runner.TRACKED):
        assert (tmp_path / "shared" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name
    alone, shared = (read_json(tmp_path / name / "results.json") for name in ("alone", "shared"))
    assert alone["boxes.FP"], "a network that finds nothing would prove nothing"
    for found in (alone, shared):
        del found["fps"], found["provenance"]["command"]
    assert shared == alone


def test_a_cluster_that_shares_no_folder_is_named(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(runner, "write_json", lambda *_: None)  # as if written elsewhere
    with pytest.raises(A2VISError, match=r"000001\.json: a worker on another machine .* choose an --output that all"):
        evaluate(data, tmp_path, "--weights", str(weights), "--no-plots")


def test_a_broken_clip_is_named_and_left_out(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "00002" / "objects.json").write_text("[{]")
    monkeypatch.setattr(runner, "predict_with", oracle)
    assert evaluate(tmp_path / "data", tmp_path / "out", "--weights", str(weights), "--no-plots") == 1
    assert "00002/objects.json: file: cannot be read" in capsys.readouterr().out
    values = read_json(tmp_path / "out" / "results.json")
    assert values["videos"] == 1
    assert values["amodal.AP"] == pytest.approx(1)


def test_a_broken_object_is_named_also_when_nothing_is_left_to_do(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    shutil.copytree(data, tmp_path / "data")
    file = tmp_path / "data" / "00001" / "objects.json"
    objects = read_json(file)
    objects[0]["masks"][2]["counts"] = "000"
    file.write_text(json.dumps(objects))
    monkeypatch.setattr(runner, "predict_with", oracle)
    for _ in range(2):
        assert evaluate(tmp_path / "data", tmp_path / "out", "--weights", str(weights), "--no-plots") == 1
        assert "visible mask of frame 2: broken RLE" in capsys.readouterr().out


def test_data_of_other_classes_are_refused(data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    weights = _weights(tmp_path / "other.safetensors", tiny_config(classes=("teapot",)))
    monkeypatch.setattr(runner, "predict_with", oracle)
    with pytest.raises(A2VISError, match="no object is of the network's classes, teapot"):
        evaluate(data, tmp_path / "out", "--weights", str(weights))


def test_what_cannot_be_used_is_one_error(data: Path, weights: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("--weights", str(weights), "--system", "sort", "--backend", "compile"), "sort takes the detector alone"),
        (("--weights", str(weights), "--backend", "tensorrt"), "NVIDIA GPUs only"),
        (("--weights", str(weights), "--stride", "9"), "--stride 9: choose 1 to 3"),
        (("--weights", str(weights), "--variant", "vita"), "holds the variant a2vis"),
        (("--weights", str(weights), "--top", "0"), "--top 0"),
        (("--weights", str(weights), "--start-score", "7"), "start_score=7"),
        (("--weights", str(tmp_path / "none.safetensors")), "no such file"),
        (
            ("--weights", "r50"),
            "r50: no such file; give a weight file or the name of weights that ship: onboard, ",
        ),
        (("--preset", "r50", "--variant", "vita"), "--preset r50: weights know their own; add --untrained"),
    ):
        with pytest.raises(A2VISError, match=message):
            evaluate(data, tmp_path / "out", *arguments)
