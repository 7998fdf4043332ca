"""Clips that are broken in one place: the place is named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dataset_files import (
    LENGTH,
    Truth,
    write_fishbowl,
    write_unmerged,
    write_video,
    write_ytvis,
)
from small_datasets import BROKEN, NOTHING, SMALL, assert_named, clip, edit, first, load_all, mask_of, messages, truth

from a2vis_model.commands import check_data as check_data
from a2vis_model.data import (
    DataError,
    Dataset,
    ProblemLog,
    open_dataset,
    open_fishbowl,
    survey,
)

__all__ = ["truth"]


FISHBOWL_FAULTS = [
    ("objects.json", mask_of("masks", 1, None), "object 7: visible mask of frame 1: is null"),
    ("objects.json", mask_of("masks", 1, SMALL), r"object 7: visible mask of frame 1: wrong size: \[2, 2\] where the "),
    (
        "objects.json",
        mask_of("masks", 1, {"size": [24, 32]}),
        "object 7: visible mask of frame 1: broken RLE: counts is",
    ),
    (
        "objects.json",
        mask_of("masks", 1, BROKEN),
        "object 7: visible mask of frame 1: broken RLE: its runs do not cover",
    ),
    ("objects.json", mask_of("masks", 1, "x"), "object 7: visible mask of frame 1: 'x' is neither an RLE nor polygons"),
    ("objects.json", first("masks", [NOTHING]), "object 7: 1 visible masks for 6 frames"),
    ("objects.json", first("masks", None), "object 7: masks is None, not list"),
    (
        "objects.json",
        first("type_name", "Shark"),
        "object 7: unknown class 'Shark'; the classes are SmallFishA, Medium",
    ),
    ("objects.json", first("type_name", 3), "object 7: type_name is 3, not str"),
    ("objects.json", first("id", "7"), "object '7': id is '7', not int"),
    ("objects.json", first("id", 2**70), "object [0-9]+: id is [0-9]+, not int"),
    ("objects.json", lambda fishes: fishes[0].pop("id"), "entry 0: has no id"),
    ("objects.json", lambda fishes: fishes.insert(0, []), r"entry 0: is \[\], not an object with fields"),
    ("objects.json", lambda fishes: fishes.append(fishes[1]), "object 3: has the id of another object"),
    ("object001/objects.json", mask_of("masks", 2, None), "object001: amodal mask of frame 2: is null"),
    ("object001/objects.json", mask_of("masks", 2, BROKEN), "object 7: amodal mask of frame 2: broken RLE"),
    (
        "object001/objects.json",
        mask_of("masks", 3, NOTHING),
        "object 7: amodal mask smaller than the visible one in 1 of 6 frames: 0 and 32 pixels in frame 3",
    ),
    ("object001/objects.json", first("id", 3), "object001: object 3 has amodal masks already"),
    ("object001/objects.json", lambda fishes: fishes.clear(), "object001: is not a list of one object"),
]


@pytest.mark.parametrize(("name", "change", "message"), FISHBOWL_FAULTS)
def test_faults_of_clips_are_named(tmp_path: Path, truth: Truth, name: str, change: Any, message: str) -> None:
    file = write_fishbowl(tmp_path, truth) / "00012" / name
    edit(file, change)
    dataset = open_fishbowl(tmp_path)
    assert survey(dataset.videos()).videos == 1
    assert_named(dataset, file, message)
    assert 3 in load_all(dataset).object_ids
    with pytest.raises(DataError) as raised:
        survey(open_fishbowl(tmp_path, problems=ProblemLog(strict=True)).videos())
    assert raised.value.problem == next(iter(dataset.problems))


def test_amodal_masks_without_visible_ones_and_the_reverse(tmp_path: Path, truth: Truth) -> None:
    write_fishbowl(tmp_path, truth)
    shutil.rmtree(tmp_path / "00012" / "object000")
    edit(tmp_path / "00012" / "object001" / "objects.json", first("id", 8))
    dataset = open_fishbowl(tmp_path)
    assert not dataset[0].tracks
    file = tmp_path / "00012" / "objects.json"
    for message in (
        "object 7: has no amodal masks",
        "object 3: has no amodal",
        "object 8: has amodal masks and no vis",
    ):
        assert_named(dataset, file, message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("objects.json", "{", "file: cannot be read as JSON: "),
        ("objects.json", "[" * 100_000, "file: cannot be read as JSON: "),
        ("objects.json", "{}", "file: is not a list of objects"),
        ("objects.json", None, "file: cannot be read as JSON: "),
        ("video.mp4", "no video", "video: cannot be read: "),
        ("video.mp4", None, "video: cannot be read: No such file"),
    ],
)
def test_an_unusable_clip_is_named_and_skipped(
    tmp_path: Path, truth: Truth, name: str, content: str | None, message: str
) -> None:
    write_fishbowl(tmp_path, truth, "00001")
    write_fishbowl(tmp_path, truth, "00002")
    file = tmp_path / "00001" / name
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    dataset = open_fishbowl(tmp_path)
    assert [video.name for video in dataset.videos()] == ["00002"]
    assert_named(dataset, file, message)
    with pytest.raises(DataError, match=re.escape(str(file))):
        dataset[0]


def test_missing_frames_are_named(tmp_path: Path, truth: Truth) -> None:
    data = write_unmerged(tmp_path / "a", truth)
    frames = data / "train_frames" / "00012"
    (frames / "00003.png").unlink()
    dataset: Dataset = open_fishbowl(data)
    assert not list(dataset.videos())
    assert_named(dataset, frames, "frame 3: is missing")

    write_video(write_fishbowl(tmp_path / "b", truth) / "00012" / "video.mp4", LENGTH - 1)
    dataset = open_fishbowl(tmp_path / "b")
    assert not dataset[0].tracks
    assert_named(dataset, clip(tmp_path / "b"), "object 7: 6 visible masks for 5 frames")

    images = write_ytvis(tmp_path / "c", truth).parents[1] / "train" / "JPEGImages" / "clip"
    (images / "00001.png").unlink()
    (images / "00002.png").write_bytes(b"")
    cv2.imwrite(str(images / "00004.png"), np.zeros((5, 9, 3), np.uint8))
    dataset = open_dataset(tmp_path / "c")
    assert len(dataset[0].load([0, 3, 5]).frames) == 3
    with pytest.raises(DataError, match=r"00001.png: frame 1: cannot be read: No such file"):
        dataset[0].load([0, 1])
    survey(dataset.videos(), read_frames=False)
    assert not messages(dataset)
    survey(dataset.videos())
    assert_named(dataset, images / "00001.png", "frame 1: cannot be read: No such file or directory")
    assert_named(dataset, images / "00002.png", "frame 2: cannot be read: not an image")
    assert_named(dataset, images / "00004.png", "frame 4: wrong size: 9x5, not 32x24")
    assert len(dataset.problems) == 3
