"""Annotations that refer to the pixels as the file holds them, where the declared size cannot tell."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import rle
from PIL import Image

from a2vis_model.data import DataError, open_dataset
from a2vis_model.data.labels import LabelRules, Labels
from a2vis_model.files.images import turn_upright

SIDE = 16
UPRIGHT_BY_SIZE = (2, 3, 4)
"""Orientations that mirror a picture or turn it by 180 degrees, which change no size."""


def stored_picture(width: int = SIDE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = np.zeros((SIDE, width, 3), np.uint8)
    image[: SIDE // 2, : width // 2] = 200
    image[SIDE // 2 :, : width // 2] = 90
    return image


def write(folder: Path, suffix: str, orientation: int, width: int = SIDE, **keys: Any) -> Path:
    """One picture of COCO's; `keys` are its own."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    (folder / "images").mkdir(parents=True, exist_ok=True)
    Image.fromarray(stored_picture(width)).save(folder / "images" / f"0{suffix}", exif=exif)
    mask = rle(np.ones((SIDE, width), np.bool_))
    document = {
        "images": [{"id": 1, "width": width, "height": SIDE, "file_name": f"0{suffix}", **keys}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": mask}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "truth.json").write_text(json.dumps(document))
    return folder / "truth.json"


def read(file: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    dataset = pickle.loads(pickle.dumps(open_dataset(file)))  # as a loader process gets it
    return np.asarray(dataset[0].frames([0])[0], np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_square_picture_is_read_as_stored_where_it_is_said(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = stored_picture().astype(int)
    assert np.abs(read(write(tmp_path, suffix, orientation, pixels="stored")) - stored).mean() < 12
    upright = turn_upright(stored_picture(), orientation)
    assert np.abs(read(write(tmp_path, suffix, orientation)).astype(int) - upright).mean() < 12


@pytest.mark.parametrize("orientation", UPRIGHT_BY_SIZE)
def test_a_mirrored_picture_is_read_as_stored_where_it_is_said(tmp_path: Path, orientation: int) -> None:
    file = write(tmp_path, ".png", orientation, 24, pixels="stored")
    assert np.array_equal(read(file), stored_picture(24))


def test_a_picture_whose_size_decides_is_read_upright_where_it_is_said(tmp_path: Path) -> None:
    file = write(tmp_path, ".png", 6, 24, pixels="upright")
    with pytest.raises(DataError, match="wrong size: 16x24, not 24x16"):
        read(file)


def test_the_file_and_the_rules_of_a_labels_file_say_it_too(tmp_path: Path) -> None:
    file = write(tmp_path, ".png", 3)
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "pixels": "stored"}))
    assert np.array_equal(read(file), stored_picture())
    (tmp_path / "labels.yaml").write_text("- files: '*.png'\n  pixels: upright\n")
    assert np.array_equal(read(file), turn_upright(stored_picture(), 3))
    file.write_text(json.dumps(document))
    (tmp_path / "labels.yaml").write_text("- files: '*'\n  pixels: stored\n")
    assert LabelRules.find(file).of("0.png", ["cat"]) == Labels(stored=True)
    assert np.array_equal(read(file), stored_picture())


def test_another_word_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path, ".png", 3)
    (tmp_path / "labels.yaml").write_text("- files: '*'\n  pixels: raw\n")
    with pytest.raises(DataError, match="pixels is 'raw'; choose upright or stored"):
        open_dataset(file)
