"""Depth images of every kind to metres, and broken ones to words."""

import struct

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rvl_helpers import rvl

from a2vis_ros.space.depth_image import DepthError, compressed_depth, raw_depth

MILLIMETRES = np.array([[0, 1000, 65535], [1500, 2, 0]], np.uint16)
_KIND = "compressedDepth"
METRES = MILLIMETRES.astype(np.float32) / 1000


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
def test_raw_images_of_both_byte_orders_with_padded_rows(encoding: str, padding: int, big: bool) -> None:
    samples = METRES if encoding == "32FC1" else MILLIMETRES
    rows = samples.astype(samples.dtype.newbyteorder(">" if big else "<"))
    data = b"".join(row.tobytes() + bytes(padding) for row in rows)
    step = samples.shape[1] * samples.itemsize + padding
    found = raw_depth(2, 3, encoding, big, step, memoryview(data), (2, 3))
    assert found.dtype == np.float32
    assert np.allclose(found, METRES)


def test_the_last_row_needs_no_padding() -> None:
    data = MILLIMETRES[0].tobytes() + bytes(4) + MILLIMETRES[1].tobytes()
    assert np.allclose(raw_depth(2, 3, "16UC1", False, 10, memoryview(data), (2, 3)), METRES)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoding": "rgb8"}, "'rgb8', which is neither"),
        ({"step": 5}, "a step of 5 bytes"),
        ({"data": memoryview(bytes(11))}, "holds 11 bytes, and 2 rows take 12"),
        ({"expected": (480, 640)}, "is 3x2, and the image that is tracked 640x480: it is not registered"),
        ({"height": 2**31, "width": 2**31}, "not registered"),
    ],
)
def test_raw_images_that_cannot_be_used(changes: dict[str, object], words: str) -> None:
    good = {
        "height": 2,
        "width": 3,
        "encoding": "16UC1",
        "is_bigendian": False,
        "step": 6,
        "data": memoryview(MILLIMETRES.tobytes()),
        "expected": (2, 3),
    }
    raw_depth(**good)  # type: ignore[arg-type]
    with pytest.raises(DepthError, match=words):
        raw_depth(**good | changes)  # type: ignore[arg-type]


def png(samples: NDArray[np.uint16], scale: float = 0.0, offset: float = 0.0) -> bytes:
    return struct.pack("<iff", 0, scale, offset) + cv2.imencode(".png", samples)[1].tobytes()


@pytest.mark.parametrize(
    "name", ["16UC1; compressedDepth png", "16UC1; compressedDepth", "mono16; compressedDepth png"]
)
def test_compressed_millimetres(name: str) -> None:
    assert np.allclose(compressed_depth(name, memoryview(png(MILLIMETRES)), (2, 3)), METRES)


def test_compressed_metres_are_quantised_inverse_depth() -> None:
    # As compressed_depth_image_transport quantises: raw = scale / depth + offset.
    depth = np.array([[0.5, 1.0, 9.0], [2.0, 4.0, 3.0]], np.float32)
    scale, offset = 100 * 101.0, 1 - 101.0 + 50
    raw = np.round(scale / depth + offset).astype(np.uint16)
    raw[0, 0] = 0
    found = compressed_depth("32FC1; compressedDepth png", memoryview(png(raw, scale, offset)), (2, 3))
    assert np.isnan(found[0, 0])
    assert np.allclose(found.ravel()[1:], depth.ravel()[1:], rtol=0.01)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("16UC1; jpeg compressed", png(MILLIMETRES), "lose depth"),
        ("rgb8; compressedDepth png", png(MILLIMETRES), "'rgb8; compressedDepth png'"),
        ("16UC1; compressedDepth png", b"abc", "less than its header"),
        ("16UC1; compressedDepth png", bytes(100), "no PNG"),
        ("16UC1; compressedDepth png", png(np.zeros((3, 3), np.uint16)), "not registered"),
        ("16UC1; compressedDepth png", png(np.zeros((2, 3), np.uint8)), "PNG of 8 bits"),
        ("16UC1; compressedDepth png", png(MILLIMETRES)[:60], "broken"),
        ("32FC1; compressedDepth png", png(MILLIMETRES, float("nan")), "quantised by nan"),
        ("16UC1; compressedDepth rvl", rvl(MILLIMETRES)[:16], "no size"),
        ("16UC1; compressedDepth rvl", rvl(MILLIMETRES)[:-4], "RVL depth image ends before|RVL depth image has runs"),
        ("16UC1; compressedDepth rvl", rvl(np.ones((1, 3), np.uint16)), "not registered"),
    ],
)
def test_compressed_images_that_cannot_be_used(name: str, data: bytes, words: str) -> None:
    with pytest.raises(DepthError, match=words):
        compressed_depth(name, memoryview(data), (2, 3))
