"""What a picture labels, and what is not known of it."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import rle
from labelled_photographs import write_photographs
from training_runs import (
    files,
)

from a2vis_model.cli import main
from a2vis_model.data import DataError, open_dataset
from a2vis_model.data.labels import LabelRules

__all__ = ["files"]  # a fixture


def test_a_plain_file_labels_its_categories_and_knows_no_amodal_masks(tmp_path: Path) -> None:
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 20, 10)]}])
    dataset = open_dataset(file, classes=["dog", "cat", "person"])
    assert not dataset.has_amodal
    assert dataset[0].labelled == (True, False, True)
    sample = dataset[0].load([0])
    assert sample.amodal is None
    assert sample.labelled is not None
    assert sample.labelled.tolist() == [True, False, True]


def test_what_is_labelled_is_said_by_rule_before_picture_before_file(tmp_path: Path) -> None:
    box = [(1, 5, 5, 20, 10)]
    pictures = [
        {"boxes": box, "file_name": "a_1.png"},
        {"boxes": box, "file_name": "a_2.png", "labelled": ["car"]},
        {"boxes": box, "file_name": "b_1.png", "labelled": ["car"]},
        {"boxes": box, "file_name": "b_2.png", "amodal": "unknown"},
    ]
    file = write_photographs(tmp_path, pictures, labelled=["person", "dog"])
    assert [video.labelled_classes for video in open_dataset(file).videos()] == [
        ("person", "dog"),
        ("car",),
        ("car",),
        ("person", "dog"),
    ]
    rules = "- files: a_*\n  labelled: [person]\n- files: '*_1.png'\n  amodal: unknown\n"
    (tmp_path / "other.yaml").write_text(rules)
    expected = [("person",), ("person",), ("car",), ("person", "dog")]
    assert [v.labelled_classes for v in open_dataset(file, labels=tmp_path / "other.yaml").videos()] == expected
    (tmp_path / "labels.yaml").write_text(rules)  # found by its name
    dataset = open_dataset(file)
    assert [video.labelled_classes for video in dataset.videos()] == expected
    again = pickle.loads(pickle.dumps(dataset))  # as a loader process gets it
    assert again[1].labelled_classes == ("person",)


def test_one_file_may_hold_pictures_with_and_without_amodal_masks(tmp_path: Path) -> None:
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 20, 10)]}, {"boxes": [(1, 5, 5, 20, 10)]}])
    document = json.loads(file.read_text())
    document["images"][1]["amodal"] = "unknown"
    smaller = np.zeros((60, 80), np.bool_)
    smaller[5:10, 5:15] = True
    document["annotations"][0]["visible_mask"] = rle(smaller)
    file.write_text(json.dumps(document))
    dataset = open_dataset(file)
    assert dataset.has_amodal
    whole, part = (video.load([0]) for video in dataset.videos())
    assert whole.amodal is not None
    assert (whole.visible.sum(), whole.amodal.sum()) == (50, 200)
    assert part.amodal is None
    assert part.visible.sum() == 200


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ({"labelled": ["cta"]}, "file: labelled: unknown class 'cta'; the classes are person, car, dog"),
        ({"labelled": "person"}, "file: labelled is 'person', not a list of class names"),
        ({"amodal": "maybe"}, "file: amodal is 'maybe'; choose known or unknown"),
        ({"amodal": ["unknown"]}, "choose known or unknown"),
    ],
)
def test_wrong_values_of_a_file_are_errors(tmp_path: Path, top: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(write_photographs(tmp_path, [{"boxes": []}], **top))


def test_a_picture_with_wrong_values_is_left_out_and_named(tmp_path: Path) -> None:
    file = write_photographs(tmp_path, [{"boxes": [], "labelled": ["cta"]}, {"boxes": []}])
    dataset = open_dataset(file)
    assert dataset.names == ["2"]
    assert "image 0: labelled: unknown class 'cta'" in str(next(iter(dataset.problems)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b", "is not a list of rules"),
        ("- labelled: [person]", "rule 1: has no 'files'"),
        ("- files: '*'", "rule 1: states nothing: give 'labelled', 'amodal' or 'pixels'"),
        (
            "- {files: '*', labeled: [person]}",
            "rule 1: unknown key 'labeled'; known are files, labelled, amodal, pixels",
        ),
        (
            "- {files: '*', labelled: [cta]}",
            "labels.yaml: rule 1: labelled: unknown class 'cta'; the classes are person",
        ),
        ("- {files: '*', amodal: no}", "rule 1: amodal is False; choose known or unknown"),
        ("[", "cannot be read as YAML"),
        ("- files: !!int ''", "cannot be read as YAML"),
        ("- files: 2000-99-99", "cannot be read as YAML"),
    ],
)
def test_wrong_rules_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = write_photographs(tmp_path, [{"boxes": []}])
    (tmp_path / "labels.yaml").write_text(text)
    with pytest.raises(DataError, match=message) as error:
        open_dataset(file)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="cannot be read"):
        LabelRules.read(tmp_path / "absent.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(DataError, match=r"cannot be read as YAML: .*is not a regular file"):
        LabelRules.read(tmp_path / "pipe.yaml")
    with pytest.raises(DataError, match="robto: labels: is unknown; choose robot, or a YAML file"):
        LabelRules.read("robto")


def test_labels_of_the_photographs_that_ship_with_the_package() -> None:
    rules, classes = LabelRules.read("robot"), ["person", "bicycle", "car", "motorcycle", "bus", "truck", "cat", "dog"]
    assert rules.of("cocoperson_425226.jpg", classes).labelled == ("person",)
    assert rules.of("coco_36.jpg", classes).labelled == ("person", "bicycle", "car", "motorcycle")
    assert rules.of("voc_2007_002719.jpg", classes).labelled == tuple(name for name in classes if name != "truck")
    assert rules.of("penn_FudanPed00001.jpg", classes).labelled is None


@pytest.mark.parametrize("area", [1e400, float("nan"), 10**400, -1, "large", None])
def test_an_area_that_cannot_be_is_not_known(tmp_path: Path, area: Any) -> None:
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 20, 10)]}])
    assert list(open_dataset(file).video_classes()) == [{0: 200 / 4800}]
    document = json.loads(file.read_text())
    document["annotations"][0]["area"] = area
    file.write_text(json.dumps(document))
    assert list(open_dataset(file).video_classes()) == [{0: 1.0}]


def test_check_data_says_what_is_labelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 20, 10)]}] * 3)
    (tmp_path / "given.yaml").write_text("- files: p1*\n  labelled: [person]\n")
    assert main(["check-data", str(file), "--labels", str(tmp_path / "given.yaml")]) == 0
    out = capsys.readouterr().out
    assert "labelled in 2 videos: all classes\nlabelled in 1 videos: person\n" in out
    assert "amodal masks: unknown in all videos" in out
