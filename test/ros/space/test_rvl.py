"""RVL images decoded at once, held to a decoder that goes from run to run."""

import sys
from types import FrameType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rvl_helpers import coded, decoded, groups_of, packed, rvl

from a2vis_ros.space import rvl as module
from a2vis_ros.space.depth_image import compressed_depth
from a2vis_ros.space.rvl import RvlError, decode_rvl


def compare(groups: list[int], size: int) -> None:
    """Both decoders say the same of these groups: pixels, or what is wrong."""
    data = packed(groups)
    expected = decoded(data, size)
    words = np.frombuffer(data, "<u4")
    if isinstance(expected, str):
        with pytest.raises(RvlError, match=expected):
            decode_rvl(words, size)
    else:
        found = decode_rvl(words, size)
        assert found.dtype == np.uint16
        assert np.array_equal(found, expected)


@pytest.fixture(params=[(1 << 15, 2048), (16, 0), (16, 3)], ids=["as it is", "small blocks", "few steps"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that small images have several of them, and that numbers go on from one to the next."""
    block, steps = request.param
    monkeypatch.setattr(module, "_BLOCK", block)
    monkeypatch.setattr(module, "_STEPS", steps)


pixels = st.lists(
    st.tuples(st.sampled_from([0, 1, 700, 65535]) | st.integers(0, 65535), st.integers(1, 40)), min_size=1, max_size=40
).map(lambda runs: [value for value, length in runs for _ in range(length)])
numbers = st.lists(st.integers(0, 3) | st.integers(0, 40) | st.sampled_from([2**30, 2**31, 2**32, 2**33 - 1]))


@given(pixels)
@settings(max_examples=60, deadline=None)
def test_images(sizes: None, image: list[int]) -> None:
    expected = np.array(image, np.uint16)
    assert np.array_equal(decode_rvl(np.frombuffer(packed(coded(image)), "<u4"), len(image)), expected)
    compare(coded(image), len(image))


@given(numbers, st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_any_numbers(sizes: None, found: list[int], size: int) -> None:
    # No more words than are looked at.
    groups = [group for number in found for group in groups_of(number)][: 8 * size]
    compare(groups, size)


@given(st.lists(st.integers(0, 15) | st.integers(8, 15), max_size=200), st.integers(25, 60))
@settings(max_examples=150, deadline=None)
def test_any_groups(sizes: None, groups: list[int], size: int) -> None:
    compare(groups, size)


@given(pixels, st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_images(sizes: None, image: list[int], data: st.DataObject) -> None:
    groups = coded(image)
    for at in data.draw(st.lists(st.integers(0, len(groups) - 1), max_size=3)):
        groups[at] = data.draw(st.integers(0, 15))
    compare(groups[: data.draw(st.integers(0, len(groups)))], len(image))


@pytest.mark.parametrize("length", [10, 11, 12])
def test_the_longest_number_has_11_groups(length: int) -> None:
    compare([0, 1, *[9] * (length - 1), 1], 1)
    compare([0, 1, 4, *[15] * length], 4)


def picture(kind: str) -> NDArray[np.uint16]:
    rng = np.random.default_rng(0)
    plane = (3000 + 3 * np.arange(120)[:, None] + rng.normal(0, 10, (120, 160))).astype(np.uint16)
    shares = {"full": 0.0, "speckle": 0.2, "half": 0.5, "empty": 1.0}
    if kind == "noise":
        return rng.integers(0, 65536, plane.shape).astype(np.uint16)
    if kind == "grid":
        return np.where(np.indices(plane.shape).sum(axis=0) % 2, plane, 0).astype(np.uint16)
    return np.where(rng.random(plane.shape) < shares[kind], 0, plane).astype(np.uint16)


@pytest.mark.parametrize("kind", ["full", "speckle", "half", "empty", "noise", "grid"])
def test_whole_messages(kind: str) -> None:
    samples = picture(kind)
    found = compressed_depth("16UC1; compressedDepth rvl", memoryview(rvl(samples)), samples.shape)
    assert np.array_equal(found, samples.astype(np.float32) * np.float32(0.001))


def test_no_image_takes_more_words_than_are_looked_at() -> None:
    # Every pixel as far from the last as can be, and the most runs to a pixel.
    for image in ([1, 65535] * 100, [65535], [0, 65535] * 100, [0] * 100, [5, 0] * 100):
        assert len(packed(coded(image))) // 4 <= len(image) + 1
    # More than any memory holds.
    words = np.broadcast_to(np.uint32(0), 10**12)
    with pytest.raises(RvlError, match="do not fit"):
        decode_rvl(words, 6)


def test_runs_are_not_decoded_one_by_one() -> None:
    samples = np.tile(picture("grid"), (4, 4))
    words, runs = np.frombuffer(rvl(samples)[20:], "<u4"), samples.size // 2
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        decode_rvl(words, samples.size)
    finally:
        sys.setprofile(None)
    assert calls < runs / 4, "a call of NumPy for each run takes much longer than all the rest"
