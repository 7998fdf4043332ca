"""Run lengths and polygons, sound and broken."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from dataset_files import (
    HEIGHT,
    WIDTH,
    rle,
)
from pycocotools import mask as coco_mask

from a2vis_model.commands import check_data as check_data
from a2vis_model.data.masks import parse_mask
from a2vis_model.data.problems import RecordError
from a2vis_model.masks.coco import RleMask

# Masks


@pytest.mark.parametrize("density", [0, 0.03, 0.5, 1])
def test_masks_decode_as_pycocotools_does(density: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        height, width = random.integers(1, 70, 2)
        mask = cv2.blur(random.random((height, width)), (3, 3)).reshape(height, width) <= density
        for value in (rle(mask), {"size": [int(height), int(width)], "counts": plain_counts(mask)}):
            parsed = parse_mask(value, int(height), int(width))
            assert (np.zeros_like(mask) if parsed is None else parsed.decode()).tolist() == mask.tolist()
            assert (0 if parsed is None else parsed.area()) == mask.sum()


def plain_counts(mask: np.ndarray) -> list[int]:
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return counts


@pytest.mark.parametrize(
    "counts",
    [
        "",
        "PPf",
        "PPf4PPf4",
        "P\x7f",
        "ab c",
        "oooooooo0",
        "`",
        [768, -1, 1],
        [700],
        [2**62] * 4 + [768],
        [1.5, 766.5],
        "é",
    ],
)
def test_broken_run_lengths_are_named_before_they_are_decoded(counts: Any) -> None:
    for use in (RleMask.decode, RleMask.area):
        with pytest.raises(RecordError, match="broken RLE"):
            use(parse_mask({"size": [HEIGHT, WIDTH], "counts": counts}, HEIGHT, WIDTH))  # type: ignore[arg-type]


def test_damaged_run_lengths_never_decode_to_something_else() -> None:
    random = np.random.default_rng(1)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:15, 8:22] = True
    counts = rle(mask)["counts"].encode()
    for _ in range(500):
        damaged = bytearray(counts)
        damaged[random.integers(len(damaged))] = random.integers(256)
        try:
            decoded = RleMask(HEIGHT, WIDTH, bytes(damaged)).decode()
        except RecordError:
            continue
        by_coco = coco_mask.decode({"size": [HEIGHT, WIDTH], "counts": bytes(damaged)})
        np.testing.assert_array_equal(decoded, by_coco)  # another sound mask, by chance


def test_polygons_are_drawn_as_pycocotools_does() -> None:
    rings: Any = [[2, 2, 20.5, 3, 10, 18], [25, 10, 31, 10, 31, 23, 25, 23]]
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(rings, HEIGHT, WIDTH)))
    mask = parse_mask(rings, HEIGHT, WIDTH)
    bare = parse_mask(rings[0], HEIGHT, WIDTH)
    assert mask is not None
    assert bare is not None
    np.testing.assert_array_equal(mask.decode(), expected)
    assert mask.area() == expected.sum()
    assert 0 < bare.area() < mask.area()


@pytest.mark.parametrize(
    "ring",
    [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 1e9], [1, 2, 3, 4, 5, float("nan")], [None] * 6, [{}] * 6],
)
def test_broken_polygons_are_named(ring: list[Any]) -> None:
    mask = parse_mask([ring], HEIGHT, WIDTH)
    assert mask is not None
    with pytest.raises(RecordError, match="broken polygon"):
        mask.decode()
