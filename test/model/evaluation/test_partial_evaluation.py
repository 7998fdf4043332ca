"""What is not known is not counted against a network."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import evaluation_data
import pytest
from evaluation_data import track
from labelled_photographs import CLASSES, write_photographs
from networks import tiny_config, tiny_model
from training_runs import (
    command,
    files,
)

from a2vis_model.cli import main
from a2vis_model.data.problems import ProblemLog
from a2vis_model.evaluation import runner
from a2vis_model.evaluation.prediction import VideoPrediction
from a2vis_model.evaluation.youtube_vis import YtvisGroundTruth
from a2vis_model.training.loop import CHECKPOINT
from a2vis_model.weights import save_weights

__all__ = ["files"]  # a fixture


def test_predictions_of_a_class_that_a_video_does_not_label_do_not_count(tmp_path: Path) -> None:
    here, there = [(4.0, 4.0, 12.0, 12.0)] * 3, [(40.0, 20.0, 12.0, 12.0)] * 3
    first, second = evaluation_data.videos(2, length=3)
    truth = [[track(1, 1, here), track(2, 2, there)], [track(1, 1, here)]]
    # The dog of the second video is not in the truth, and both videos have a dog that is none.
    found = [
        [track(1, 1, here), track(2, 2, there, score=0.5), track(3, 2, here, score=0.3)],
        [track(1, 1, here), track(2, 2, there), track(3, 2, here, score=0.9)],
    ]

    def scores(name: str, *labelled: tuple[int, ...] | None) -> dict[str, Any]:
        infos = [dataclasses.replace(v, labelled=ids) for v, ids in zip((first, second), labelled, strict=True)]
        return dict(evaluation_data.score(*evaluation_data.write_files(tmp_path / name, infos, truth, found)))

    punished, excused = scores("all", None, None), scores("some", None, (1, 3))
    assert punished["boxes.FP"] == 9
    assert excused["boxes.FP"] == 3  # of the video that labels dogs
    assert excused["boxes.TP"] == punished["boxes.TP"] == 9
    assert punished["classes.dog.visible.AP"] < excused["classes.dog.visible.AP"] == pytest.approx(1)
    assert excused["classes.cat.visible.AP"] == pytest.approx(1)
    nothing = scores("wrong", (2,), (2,))
    assert nothing["boxes.TP"] == 9  # what is labelled all the same is found
    document = json.loads((tmp_path / "some" / "truth.json").read_text())
    assert [video.get("labelled") for video in document["videos"]] == [None, ["cat", "never there"]]
    document["videos"][1]["labelled"] = ["bird"]
    (tmp_path / "bird.json").write_text(json.dumps(document))
    problems = ProblemLog()
    assert len(YtvisGroundTruth(tmp_path / "bird.json", problems).videos) == 1
    assert "video 2: labelled: unknown class 'bird'; the classes are cat, dog, never there" in str(next(iter(problems)))


def test_evaluation_knows_what_a_picture_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 20, 10)]}] * 2)
    (tmp_path / "given.yaml").write_text("- files: p1*\n  labelled: [person]\n")
    config = tiny_config(classes=CLASSES)
    save_weights(tmp_path / "weights.safetensors", tiny_model(config), config)
    monkeypatch.setattr(runner, "predict_with", lambda *_: VideoPrediction([], [], 0.5, 1))
    options = ["--weights", str(tmp_path / "weights.safetensors"), "--quiet", "--jobs", "1", "--device", "cpu"]
    hashes = []
    for labels in ([], ["--labels", str(tmp_path / "given.yaml")]):
        output = tmp_path / f"out{len(labels)}"
        assert main(["evaluate", "--data", str(file), "--output", str(output), *labels, *options]) == 0
        document = json.loads((output / "ground_truth.json").read_text())
        assert document["videos"][0].get("labelled") == (["person"] if labels else None)
        assert "labelled" not in document["videos"][1]
        hashes.append(json.loads((output / "results.json").read_text())["provenance"]["hashes"]["data"])
    assert hashes[0] != hashes[1]


def test_command_trains_on_photographs_beside_data_that_know_amodal_masks(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photographs(tmp_path / "photos", [{"boxes": [(1, 5, 5, 40, 30), (2, 30, 30, 20, 20)]}] * 2)
    labels = tmp_path / "some.yaml"
    labels.write_text("- files: p*\n  labelled: [person]\n")
    classes = ["--classes", "person,car,SmallFishA,BigFishA", "--labels", str(labels), "--steps", "1"]
    joint = ["--stage", "joint", "--data", str(photos), str(files / "clips"), *classes]
    validation = ["--validation", str(photos), "--validation-frames", "3"]
    assert command(files, tmp_path / "joint", *joint, *validation) == 0
    labels.write_text("- files: p*\n  labelled: [car]\n")
    assert command(files, tmp_path / "joint", *joint, *validation, "--resume") == 2
    assert "another labels" in capsys.readouterr().err
    alone = ["--data", str(photos), *classes]
    assert command(files, tmp_path / "refused", "--stage", "joint", *alone) == 2
    assert "these data have no amodal masks; add data that have" in capsys.readouterr().err
    assert not (tmp_path / "refused" / CHECKPOINT).exists()
    assert command(files, tmp_path / "absent", "--stage", "frame", *alone, "--labels", "/nowhere.yaml") == 2
    assert "/nowhere.yaml: file: cannot be read" in capsys.readouterr().err
