"""Tiny data sets of every format, written here, show the same."""

from __future__ import annotations

import pickle
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import (
    HEIGHT,
    LENGTH,
    WIDTH,
    Truth,
    rle,
    write_coco,
    write_fishbowl,
    write_json,
    write_sailvos,
    write_sailvos_json,
    write_unmerged,
    write_ytvis,
)
from small_datasets import assert_named, assert_shows, edit, load_all, messages, rename, truth

from a2vis_model.commands import check_data as check_data
from a2vis_model.data import (
    open_amodal_coco,
    open_dataset,
    open_fishbowl,
    open_ytvis,
    survey,
)
from a2vis_model.data.fishbowl import found_classes

__all__ = ["truth"]


# Every format, sound


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_fishbowl, "fishbowl"),
        (lambda root, truth: write_fishbowl(root / "final", truth).parent, "fishbowl"),
        (write_unmerged, "fishbowl"),
        (lambda root, truth: write_unmerged(root, truth) / "train", "fishbowl"),
        (write_sailvos, "sailvos"),
        (write_sailvos_json, "sailvos"),
        (write_ytvis, "ytvis"),
        (lambda root, truth: write_ytvis(root, truth).parents[1], "ytvis"),
    ],
)
def test_every_format_shows_the_same(tmp_path: Path, truth: Truth, write: Any, name: str) -> None:
    path = write(tmp_path, truth)
    dataset = open_dataset(path)
    assert dataset.format == name
    assert len(dataset) == 1
    sample = load_all(dataset)
    assert_shows(sample, truth)
    assert name != "ytvis" or dataset.classes == truth.class_names
    names = ["person", "truck"] if path == tmp_path and name == "sailvos" else list(truth.class_names)
    assert [dataset.classes[class_id] for class_id in sample.class_ids[np.argsort(-sample.object_ids)]] == names
    assert sample.first_visible[sample.object_ids == 7] == 2
    assert sample.first_visible[sample.object_ids == 3] == 0
    assert open_dataset(path, name)[0].name == dataset[0].name
    survey(dataset.videos())
    assert not messages(dataset)

    sent = pickle.loads(pickle.dumps(dataset))
    assert len(pickle.dumps(dataset)) < 2000
    assert_shows(load_all(sent), truth)


def test_one_frame_in_the_manners_of_amodal_coco(tmp_path: Path, truth: Truth) -> None:
    file = write_coco(tmp_path, truth)
    assert open_dataset(file).format == "coco"
    assert_shows(load_all(open_amodal_coco(file)), truth, slice(3, 4))

    for amodal, visible in (("segmentation", "i_segmentation"), ("a_segm", "i_segm"), ("segmentation", "visible_mask")):
        edit(write_coco(tmp_path, truth), partial(rename, amodal=amodal, visible=visible))
        assert_shows(load_all(open_amodal_coco(file)), truth, slice(3, 4))

    def to_cocoa(document: Any) -> None:
        rename(document, "segmentation", "visible_mask")
        regions = document.pop("annotations")
        del regions[1]["visible_mask"]  # object 3 is whole
        regions.append({"segmentation": [0, 0, 30, 0, 30, 20], "name": "sky", "isStuff": 1})
        document["annotations"] = [{"id": 9, "image_id": 1, "regions": regions}]
        del document["categories"]

    edit(write_coco(tmp_path, truth), to_cocoa)
    dataset = open_amodal_coco(file)
    sample = load_all(dataset)
    assert dataset.classes == ("object",)
    assert sample.amodal is not None
    np.testing.assert_array_equal(sample.amodal[:, 0], truth.amodal[:, 3])
    np.testing.assert_array_equal(sample.visible[:, 0], truth.visible[:, 3])
    assert load_all(open_amodal_coco(file, ["fish", "object"])).class_ids.tolist() == [1, 1]
    assert not len(load_all(open_amodal_coco(file, ["fish"])).class_ids)
    assert not messages(dataset)


def test_data_without_amodal_masks(tmp_path: Path, truth: Truth) -> None:
    plain = write_coco(tmp_path / "coco", truth)
    edit(plain, lambda document: [annotation.pop("inmodal_seg") for annotation in document["annotations"]])
    fishbowl = write_fishbowl(tmp_path / "fish", truth)
    for k in (0, 1):
        shutil.rmtree(fishbowl / "00012" / f"object00{k}")
    for dataset in (
        open_dataset(plain),
        open_dataset(write_ytvis(tmp_path, truth, amodal=False)),
        open_dataset(fishbowl),
    ):
        assert not dataset.has_amodal
        sample = load_all(dataset)
        assert sample.amodal is None
        assert len(sample.visible) == 2
        assert dataset[0].tracks[0].amodal_mask(0) is None
        assert survey(dataset.videos()).summary()["occlusion"] is None
        assert not messages(dataset)


def test_results_files_without_annotations_have_no_objects(tmp_path: Path, truth: Truth) -> None:
    file = write_ytvis(tmp_path, truth)
    edit(file, lambda document: document.pop("annotations"))
    sample = load_all(open_ytvis(file))
    assert sample.visible.shape == (0, LENGTH, HEIGHT, WIDTH)
    assert len(sample.frames) == LENGTH


def test_the_rule_that_the_unseen_has_no_amodal_mask(tmp_path: Path, truth: Truth) -> None:
    video = open_fishbowl(write_fishbowl(tmp_path, truth))[0]

    def shown(indices: list[int], rule: Any) -> list[bool]:
        sample = video.load(indices, amodal=rule)
        assert sample.amodal is not None
        return sample.amodal[0].any(axis=(1, 2)).tolist()

    assert shown([0, 1, 2, 3], "full") == [True] * 4
    assert shown([0, 1, 2, 3], "video") == [False, False, True, True]
    assert shown([3, 1, 2, 0], "video") == [True, False, True, False]
    assert shown([3, 1, 2, 0], "sample") == [True] * 4
    assert shown([0, 3, 1], "sample") == [False, True, True]
    with pytest.raises(ValueError, match="amodal='first'"):
        shown([0], "first")

    unseen = video.load([1, 0], seen_only=True)
    assert unseen.object_ids.tolist() == [3]
    assert unseen.amodal is not None
    np.testing.assert_array_equal(unseen.amodal[0], truth.amodal[1, [1, 0]])
    assert unseen.first_visible.tolist() == [0]
    assert video.load([0, 5], seen_only=True).object_ids.tolist() == [7, 3]


def test_an_object_that_is_never_seen(tmp_path: Path, truth: Truth) -> None:
    file = write_ytvis(tmp_path, truth)
    edit(file, lambda document: document["annotations"][0].update(segmentations=[None] * LENGTH))
    sample = open_ytvis(file)[0].load([0, LENGTH - 1], amodal="video")
    assert sample.first_visible.tolist() == [LENGTH, 0]
    assert sample.amodal is not None
    assert not sample.amodal[0].any()


def test_classes_of_clips_by_argument_or_file(tmp_path: Path, truth: Truth) -> None:
    root = write_fishbowl(tmp_path / "train", truth)
    for k in ("", "object001"):
        edit(root / "00012" / k / "objects.json", lambda fishes: fishes[0].update(type_name="Vehicle"))
    assert open_fishbowl(root)[0].tracks[0].object_id == 3
    assert found_classes(root)[5:] == ("Vehicle",)
    by_argument = open_fishbowl(root, ["Vehicle", "BigFishB"])
    assert load_all(by_argument).class_ids.tolist() == [0, 1]
    write_json(tmp_path / "classes.json", ["BigFishB", "Vehicle"])
    assert open_fishbowl(root).classes == ("BigFishB", "Vehicle")
    assert load_all(open_fishbowl(root)).class_ids.tolist() == [1, 0]


def test_classes_left_out(tmp_path: Path, truth: Truth) -> None:
    fish = "BigFishB"
    for write, kept in (
        (write_fishbowl, fish),
        (write_ytvis, fish),
        (write_sailvos_json, fish),
        (write_coco, fish),
        (write_sailvos, "truck"),
    ):
        dataset = open_dataset(write(tmp_path / write.__name__, truth), classes=[kept])
        sample = load_all(dataset)
        assert sample.object_ids.tolist() == [3]
        assert sample.class_ids.tolist() == [0]
        assert not messages(dataset)


def test_crowds_are_no_objects(tmp_path: Path, truth: Truth) -> None:
    file = write_coco(tmp_path, truth)
    edit(file, lambda document: document["annotations"][0].update(iscrowd=1))
    assert load_all(open_amodal_coco(file)).object_ids.tolist() == [3]


def test_opening_reads_no_clip_and_reading_decodes_no_mask(tmp_path: Path, truth: Truth) -> None:
    write_fishbowl(tmp_path, truth)
    objects = tmp_path / "00012" / "objects.json"
    edit(objects, lambda fishes: fishes[0]["masks"][4].update(counts="broken"))
    dataset = open_fishbowl(tmp_path)
    video = dataset[0]
    assert not messages(dataset)
    assert len(video.load([3, 5]).visible) == 2
    assert not messages(dataset)
    sample = video.load([3, 4])
    assert sample.object_ids.tolist() == [3]
    np.testing.assert_array_equal(sample.visible[0], truth.visible[1, 3:5])
    assert len(dataset.problems) == 1
    assert_named(dataset, objects, "object 7: visible mask of frame 4: broken RLE: characters that are not part of one")
    objects.write_text("[")
    assert len(open_fishbowl(tmp_path)) == 1


def test_an_object_left_out_leaves_no_trace(tmp_path: Path, truth: Truth) -> None:
    file = write_ytvis(tmp_path, truth)

    def change(document: Any) -> None:
        document["annotations"][0]["amodal_segmentations"][5] = {**rle(truth.amodal[0, 5]), "counts": "0"}
        for key in ("segmentations", "amodal_segmentations"):
            document["annotations"][1][key][4] = None

    edit(file, change)
    sample = open_ytvis(file)[0].load([4, 5])
    assert sample.object_ids.tolist() == [3]
    assert sample.amodal is not None
    for masks in (sample.visible, sample.amodal):
        assert masks.any(axis=(2, 3)).tolist() == [[False, True]]
