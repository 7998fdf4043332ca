"""What tests of data sets share: the truth, changes to files of it, and what was read of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import (
    HEIGHT,
    LENGTH,
    WIDTH,
    Truth,
    level,
    rle,
    two_objects,
)

from a2vis_model.commands import check_data as check_data
from a2vis_model.data import (
    Dataset,
    Sample,
)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return two_objects()


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def load_all(dataset: Dataset) -> Sample:
    video = dataset[0]
    return video.load(range(video.length))


def messages(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems]


def assert_shows(sample: Sample, truth: Truth, frames: slice = slice(None)) -> None:
    order = [sample.object_ids.tolist().index(object_id) for object_id in truth.ids]
    np.testing.assert_array_equal(sample.visible[order], truth.visible[:, frames])
    assert sample.amodal is not None
    np.testing.assert_array_equal(sample.amodal[order], truth.amodal[:, frames])
    levels = [level(t) for t in range(LENGTH)[frames]]
    np.testing.assert_allclose(sample.frames.mean(axis=(1, 2, 3)), levels, atol=3)


def rename(document: Any, amodal: str, visible: str) -> None:
    for annotation in document["annotations"]:
        annotation[amodal] = annotation.pop("segmentation")
        annotation[visible] = annotation.pop("inmodal_seg")


# Every format, broken


def clip(root: Path, part: str = "") -> Path:
    return root / "00012" / part / "objects.json"


def first(key: str, value: Any) -> Callable[[Any], Any]:
    """Sets a field of the first object of a clip, or the first annotation of a file."""
    return lambda document: (document["annotations"] if isinstance(document, dict) else document)[0].update(
        {key: value}
    )


def mask_of(key: str, frame: int, value: Any) -> Callable[[Any], Any]:
    def change(document: Any) -> None:
        (document["annotations"] if isinstance(document, dict) else document)[0][key][frame] = value

    return change


SMALL = rle(np.ones((2, 2), bool))


NOTHING = rle(np.zeros((HEIGHT, WIDTH), bool))


BROKEN = {**NOTHING, "counts": "0"}


def assert_named(dataset: Dataset, file: Path, message: str) -> None:
    found = messages(dataset)
    assert any(re.match(re.escape(f"{file}: ") + message, text) for text in found), found
