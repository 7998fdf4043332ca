"""Annotations that are broken in one place: the place is named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dataset_files import (
    HEIGHT,
    WIDTH,
    Truth,
    write_coco,
    write_fishbowl,
    write_json,
    write_sailvos,
    write_sailvos_json,
    write_ytvis,
)
from small_datasets import BROKEN, NOTHING, SMALL, assert_named, edit, first, load_all, mask_of, messages, truth

from a2vis_model.commands import check_data as check_data
from a2vis_model.data import (
    DataError,
    open_amodal_coco,
    open_dataset,
    open_sailvos,
    open_ytvis,
    survey,
)

__all__ = ["truth"]


YTVIS_FAULTS = [
    (mask_of("segmentations", 3, SMALL), "annotation 7: visible mask of frame 3: wrong size"),
    (mask_of("segmentations", 3, BROKEN), "annotation 7: visible mask of frame 3: broken RLE"),
    (mask_of("segmentations", 3, [[1, 2, 3]]), "annotation 7: visible mask of frame 3: broken polygon"),
    (mask_of("amodal_segmentations", 3, {}), "annotation 7: amodal mask of frame 3: wrong size: None"),
    (
        mask_of("amodal_segmentations", 3, None),
        "annotation 7: amodal mask smaller than the visible one in 1 of 6 frames",
    ),
    (first("amodal_segmentations", [None]), "annotation 7: 1 amodal masks for 6 frames"),
    (
        lambda document: document["annotations"][0].pop("amodal_segmentations"),
        "annotation 7: has no amodal_segmentations",
    ),
    (first("category_id", 4), "annotation 7: unknown class: category_id 4"),
    (first("video_id", 6), "annotation 7: video_id 6 is not in the file, or broken there"),
    (first("id", 3), "annotation 3: has the id of another object"),
    (lambda document: document["annotations"].append(None), "annotation 2: is None, not an object with fields"),
    (lambda document: document["videos"].append({"id": 5}), "video 1: has no file_names"),
    (lambda document: document["videos"].append(document["videos"][0]), "video_id 5: is there more than once"),
    (
        lambda document: document["videos"].append({**document["videos"][0], "length": 7}),
        "video 1: names 6 files for a",
    ),
    (
        lambda document: document["videos"].append({**document["videos"][0], "width": 10**9}),
        "video 1: width is 1000000",
    ),
    (
        lambda document: document["videos"].append({**document["videos"][0], "file_names": [None]}),
        "video 1: file_names",
    ),
    (lambda document: document["categories"].append({"id": 1}), "category 2: has no name"),
]


@pytest.mark.parametrize(("change", "message"), YTVIS_FAULTS)
def test_faults_of_video_annotations_are_named(tmp_path: Path, truth: Truth, change: Any, message: str) -> None:
    file = write_ytvis(tmp_path, truth)
    edit(file, change)
    dataset = open_ytvis(file)
    survey(dataset.videos())
    assert_named(dataset, file, message)
    assert len(dataset.problems) == 1
    assert 3 in load_all(dataset).object_ids


SAILVOS_FAULTS = [
    (first("visible_mask", None), "annotation 1: visible_mask: None is neither an RLE nor polygons"),
    (first("visible_mask", SMALL), "annotation 1: visible_mask: wrong size"),
    (first("amodal_mask", BROKEN), "instance 3 of a_scene: amodal mask of frame 0: broken RLE"),
    (first("amodal_mask", NOTHING), "instance 3 of a_scene: amodal mask smaller than the visible one in 1 of 6 frames"),
    (first("category_id", 9), "annotation 1: unknown class: category_id 9"),
    (first("image_id", 9), "annotation 1: image_id 9 is not in the file, or broken there"),
    (
        lambda document: document["annotations"][2].update(category_id=1),
        "annotation 11: instance 3 was a BigFishB before",
    ),
    (
        lambda document: document["annotations"][2].update(image_id=100),
        "annotation 11: instance 3 is annotated in this",
    ),
    (lambda document: document["annotations"][0].pop("instance_id"), "annotation 1: has no instance_id"),
    (lambda document: document["images"][5].update(width=5), "image 5: is of another size than the video"),
    (lambda document: document["images"][5].update(video_id=5), "image 5: video_id 5 is not in the file"),
    (lambda document: document["videos"].append({"id": 2}), "video 2: has no images"),
]


@pytest.mark.parametrize(("change", "message"), SAILVOS_FAULTS)
def test_faults_of_frame_by_frame_annotations_are_named(
    tmp_path: Path, truth: Truth, change: Any, message: str
) -> None:
    file = write_sailvos_json(tmp_path, truth)
    edit(file, change)
    dataset = open_sailvos(file)
    survey(dataset.videos())
    assert_named(dataset, file, message)
    kept = load_all(dataset).object_ids.tolist()
    assert 7 in kept
    assert 3 not in kept or not message.startswith(("annotation 1: visible_mask", "annotation 11"))


def test_faults_of_sailvos_folders_are_named(tmp_path: Path, truth: Truth) -> None:
    scene = write_sailvos(tmp_path, truth) / "a_scene"
    maps, person, truck = scene / "visible", scene / "0007_Ped_M_01", scene / "0003_truck"
    (scene / "images" / "000005.bmp").unlink()
    (scene / "0009_").mkdir()
    shutil.copytree(truck, scene / "0003_wreck")
    cv2.imwrite(str(truck / "000001.png"), np.zeros((5, 9), np.uint8))
    dataset = open_sailvos(tmp_path)
    assert dataset[0].load([2, 3]).object_ids.tolist() == [3, 7]
    survey(dataset.videos())
    assert_named(dataset, scene / "images", "frame 000005: is missing")
    assert_named(dataset, scene / "0009_", "object 9: unknown class: its folder's name has no label")
    assert_named(dataset, scene / "0003_wreck", "object 3: has the id of another object")
    assert_named(dataset, truck, r"object 3: amodal mask of frame 1: wrong size: .*000001.png is \(5, 9\)")
    assert len(dataset.problems) == 4

    (person / "000001.png").write_text("no image")
    dataset = open_sailvos(tmp_path)
    survey(dataset.videos())
    assert_named(dataset, person, "object 7: amodal mask of frame 1: .*000001.png cannot be read: not an image")

    (maps / "000003.npy").write_bytes((maps / "000003.npy").read_bytes()[:-9])
    np.save(maps / "000004.npy", np.zeros((HEIGHT, WIDTH)))
    for t, why in ((3, "cannot be read"), (4, "cannot be read: not a map of object ids")):
        dataset = open_sailvos(tmp_path)
        dataset[0].load([2, t])
        assert_named(dataset, maps, f"object 3: visible mask of frame {t}: .*00000{t}.npy {why}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x93NUM", b"PK\x03\x04"),  # poses as a zip file
        (b"(24, 32), }", b"(24, 32(,  "),
        (b"'shape'", b"      5"),
    ],
)
def test_damaged_maps_of_sailvos_are_named(tmp_path: Path, truth: Truth, old: bytes, new: bytes) -> None:
    file = write_sailvos(tmp_path, truth) / "a_scene" / "visible" / "000003.npy"
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))
    dataset = open_sailvos(tmp_path)
    survey(dataset.videos())
    assert_named(dataset, file.parent, "object 3: visible mask of frame 3: .*000003.npy cannot be read")


@pytest.mark.parametrize("write", [write_ytvis, write_sailvos_json, write_coco])
def test_file_names_that_no_file_can_have_are_named(tmp_path: Path, truth: Truth, write: Any) -> None:
    file = write(tmp_path, truth)
    endless = "n" * 5000 + ".png"

    def rename(document: Any) -> None:
        for image in document.get("images", ()):
            image["file_name"] = endless
        for video in document["videos"] if "images" not in document else ():
            video["file_names"][0] = endless

    edit(file, rename)
    dataset = open_dataset(file)
    survey(dataset.videos())
    assert any(re.search("n{500}.* frame 0: cannot be read: File name too long", text) for text in messages(dataset))
    assert max(map(len, messages(dataset))) < 2000


COCO_FAULTS = [
    (first("inmodal_seg", None), "annotation 7: inmodal_seg: None is neither an RLE nor polygons"),
    (first("segmentation", []), r"annotation 7: segmentation: \[\] is neither an RLE nor polygons"),
    (first("segmentation", SMALL), "annotation 7: segmentation: wrong size"),
    (
        first("segmentation", NOTHING),
        "annotation 7: amodal mask smaller than the visible one in 1 of 1 frames: 0 and 32",
    ),
    (lambda document: document["annotations"][0].pop("inmodal_seg"), "annotation 7: has no visible mask, by any name"),
    (first("category_id", 3), "annotation 7: unknown class: category_id 3"),
    (first("id", None), "annotation None: id is None, not int"),
    (first("regions", [None]), "annotation 7, region 0: is not an object with fields"),
    (lambda document: document["images"].append({"id": 2, "file_name": "x"}), "image 1: has no height"),
    (lambda document: document["images"].append(document["images"][0]), "image_id 1: is there more than once"),
]


@pytest.mark.parametrize(("change", "message"), COCO_FAULTS)
def test_faults_of_image_annotations_are_named(tmp_path: Path, truth: Truth, change: Any, message: str) -> None:
    file = write_coco(tmp_path, truth)
    edit(file, change)
    dataset = open_amodal_coco(file)
    survey(dataset.videos())
    assert_named(dataset, file, message)
    assert len(dataset.problems) == 1
    assert 3 in load_all(dataset).object_ids


def test_what_is_no_data_set_is_named(tmp_path: Path, truth: Truth) -> None:
    write_fishbowl(tmp_path / "train", truth)
    write_fishbowl(tmp_path / "val", truth)
    with pytest.raises(DataError, match="name one of its splits, train, val"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="absent: data set: does not exist"):
        open_dataset(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: folder: does not hold one annotation file \(none\)"):
        open_dataset(tmp_path / "empty")
    write_json(tmp_path / "empty" / "a.json", {"videos": []})
    with pytest.raises(DataError, match=r"a\.json: file: lists neither videos nor images"):
        open_dataset(tmp_path / "empty")
    write_json(tmp_path / "empty" / "b.json", [1])
    with pytest.raises(DataError, match=r"does not hold one annotation file \(a.json, b.json\)"):
        open_dataset(tmp_path / "empty")
    with pytest.raises(DataError, match=r"b\.json: file: is not an object with videos or images"):
        open_ytvis(tmp_path / "empty" / "b.json")
    write_json(tmp_path / "empty" / "b.json", {"videos": 1})
    with pytest.raises(DataError, match=r"b\.json: videos: is 1, not a list"):
        open_ytvis(tmp_path / "empty" / "b.json")
    with pytest.raises(DataError, match="unknown format 'mot'"):
        open_dataset(tmp_path / "train", "mot")
    write_json(tmp_path / "classes.json", {"a": 1})
    with pytest.raises(DataError, match=r"classes\.json: file: is not a list of class names"):
        open_dataset(tmp_path / "train")
