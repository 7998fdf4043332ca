"""Data sets that are odd or hostile: what is read all the same, and what is refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dataset_files import LENGTH, two_objects, write_fishbowl, write_sailvos_json, write_ytvis

from a2vis_model.data import DataError, ProblemLog, open_dataset


def edit(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("polygons", [[], [[]], [[4, 4, 16, 4, 16, 16], []]])
def test_an_empty_ring_costs_one_frames_mask_and_not_the_thing(tmp_path: Path, polygons: list[Any]) -> None:
    truth = two_objects()

    def break_ytvis(document: Any) -> None:
        document["annotations"][0]["segmentations"][2] = polygons

    path = write_ytvis(tmp_path / "ytvis", truth)
    edit(path, break_ytvis)
    dataset = open_dataset(tmp_path / "ytvis", problems=(problems := ProblemLog()))
    assert len(dataset[0].load(range(LENGTH)).object_ids) == 2
    assert any("visible mask of frame 2" in problem.message for problem in problems)
    assert dataset[0].tracks[0].visible.masks[2] is None

    clip = next((write_fishbowl(tmp_path / "fishbowl", truth)).glob("*/objects.json"))
    edit(clip, lambda document: document[0]["masks"].__setitem__(2, polygons))
    dataset = open_dataset(tmp_path / "fishbowl", problems=(problems := ProblemLog()))
    assert len(dataset[0].load(range(LENGTH)).object_ids) == 2
    assert any("visible mask of frame 2" in problem.message for problem in problems)


def test_an_empty_ring_of_one_annotation_leaves_the_instance(tmp_path: Path) -> None:
    folder = write_sailvos_json(tmp_path, two_objects())
    path = folder if folder.is_file() else next(tmp_path.rglob("*.json"))
    before = len(open_dataset(path, "sailvos")[0].tracks)
    edit(path, lambda document: document["annotations"][0].update(visible_mask=[]))
    dataset = open_dataset(path, "sailvos", problems=(problems := ProblemLog()))
    assert len(dataset[0].tracks) == before
    assert any("visible_mask: [] is neither" in problem.message for problem in problems)


def test_null_stands_for_no_annotations(tmp_path: Path) -> None:
    path = write_ytvis(tmp_path, two_objects())
    edit(path, lambda document: document.update(annotations=None))
    dataset = open_dataset(tmp_path, problems=ProblemLog(strict=True))
    assert not dataset[0].tracks


def test_json_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = write_ytvis(tmp_path, two_objects())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(open_dataset(tmp_path, problems=ProblemLog(strict=True))[0].tracks) == 2


@pytest.mark.parametrize("name", ["/etc/passwd", "../../secret.png", "clip/../../secret.png"])
def test_files_outside_the_folder_of_images_are_refused(tmp_path: Path, name: str) -> None:
    path = write_ytvis(tmp_path, two_objects())
    edit(path, lambda document: document["videos"][0]["file_names"].__setitem__(1, name))
    dataset = open_dataset(tmp_path, problems=(problems := ProblemLog()))
    assert not list(dataset.videos())
    assert any("is not inside the folder of images" in problem.message for problem in problems)


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = write_ytvis(tmp_path, two_objects())
    frame = next(tmp_path.rglob("*.png"))
    frame.unlink()
    os.mkfifo(frame)
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError, match="is not a regular file"):
        dataset[0].load(range(LENGTH))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="is not a regular file"):
        open_dataset(tmp_path)


def test_what_macos_leaves_beside_files_is_ignored(tmp_path: Path) -> None:
    path = write_ytvis(tmp_path, two_objects())
    path.with_name(f"._{path.name}").write_bytes(b"\0\x05\x16\x07")
    assert len(open_dataset(tmp_path)) == 1
