"""The masks of the messages: round trips, the drawn examples that the C++ test reads too, and pycocotools."""

import numpy as np
import pytest
from numpy.typing import NDArray
from paths import HELPERS
from pycocotools import mask as coco

from a2vis_model.masks import coco as coco_masks
from a2vis_ros.planner.mask_codec import MaskError, MaskSet, RunLengthMask, decode_image, encode_box, encode_image

EXAMPLES = HELPERS / "masks.txt"


def drawn_examples() -> list[tuple[str, RunLengthMask, NDArray[np.bool_]]]:
    """Name, mask and picture of every example in masks.txt."""
    found = []
    for block in EXAMPLES.read_text(encoding="utf-8").split("mask ")[1:]:
        name, *lines = block.strip().splitlines()
        box = next(line.split()[1:] for line in lines if line.startswith("box"))
        counts = next(line.split()[1:] for line in lines if line.startswith("counts"))
        rows = [line.split()[1] for line in lines if line.startswith("row")]
        picture = np.array([[pixel == "#" for pixel in row] for row in rows])
        found.append((name, RunLengthMask(*map(int, box), np.array(counts, np.uint32)), picture))
    return found


def some_masks() -> list[NDArray[np.bool_]]:
    rng = np.random.default_rng(5)
    masks = [rng.random((rng.integers(1, 40), rng.integers(1, 40))) < share for share in (0.02, 0.3, 0.5, 0.97)] * 10
    return [*masks, np.zeros((7, 9), np.bool_), np.ones((7, 9), np.bool_), np.eye(12, dtype=np.bool_)]


@pytest.mark.parametrize(("name", "mask", "picture"), drawn_examples())
def test_drawn_examples_decode_and_encode(name: str, mask: RunLengthMask, picture: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(decode_image(mask, *picture.shape), picture)
    encoded = encode_image(picture)
    assert (encoded.x, encoded.y, encoded.width, encoded.height) == (mask.x, mask.y, mask.width, mask.height)
    assert encoded.counts.tolist() == mask.counts.tolist()
    assert encoded.area == picture.sum()


def test_the_examples_hold_every_kind() -> None:
    assert len(drawn_examples()) >= 6


@pytest.mark.parametrize("index", range(len(some_masks())))
def test_round_trip(index: int) -> None:
    image = some_masks()[index]
    mask = encode_image(image)
    np.testing.assert_array_equal(decode_image(mask, *image.shape), image)
    assert mask.counts.dtype == np.uint32
    assert mask.counts.sum() == mask.width * mask.height
    # Only the first run may be empty.
    assert (mask.counts[1:] > 0).all()


@pytest.mark.parametrize("index", range(len(some_masks())))
def test_pycocotools_reads_and_writes_the_same_mask(index: int) -> None:
    image = some_masks()[index]
    theirs = coco.encode(np.asfortranarray(image, np.uint8))
    ours = coco_masks.encode_runs(encode_image(image), *image.shape)
    assert ours["counts"].encode() == theirs["counts"]
    assert ours["size"] == list(theirs["size"])
    back = encode_image(coco_masks.decode(theirs))
    np.testing.assert_array_equal(decode_image(back, *image.shape), image)


def test_a_box_that_is_not_contiguous_encodes_like_its_copy() -> None:
    image = np.random.default_rng(1).random((20, 30)) < 0.5
    view = image[3:15, 5:20]
    assert encode_box(view, x=5, y=3).counts.tolist() == encode_box(view.copy(), x=5, y=3).counts.tolist()


@pytest.mark.parametrize("counts", [[], [0, 3], [0, 5], [1, 2, 3]])
def test_runs_that_do_not_fill_the_box_are_refused(counts: list[int]) -> None:
    with pytest.raises(MaskError, match="cover"):
        _ = RunLengthMask(0, 0, 2, 2, np.array(counts, np.uint32)).pixels


def test_runs_whose_sum_overflows_are_refused() -> None:
    with pytest.raises(MaskError, match="cover"):
        _ = RunLengthMask(0, 0, 2, 2, np.array([2**32 - 1, 4, 1], np.uint32)).pixels


def test_a_box_that_no_memory_holds_is_refused() -> None:
    """Its runs fill it: only the size can give it away."""
    side, longest = 4_000_000, 2**32 - 1
    full, rest = divmod(side * side, longest)
    counts = np.array([longest, 0] * full + [rest], np.uint32)
    with pytest.raises(MaskError, match="4000000x4000000 has more than"):
        RunLengthMask(0, 0, side, side, counts).check()


def test_a_box_outside_the_image_is_refused() -> None:
    mask = RunLengthMask(3, 0, 2, 2, np.array([0, 4], np.uint32))
    assert decode_image(mask, 2, 5).sum() == 4
    with pytest.raises(MaskError, match="outside the 4x2"):
        decode_image(mask, 2, 4)


@pytest.mark.parametrize(("height", "width"), [(8192, 8193), (2**32 - 1, 2**32 - 1), (-1, 5)])
def test_an_image_that_no_memory_holds_is_refused(height: int, width: int) -> None:
    mask = RunLengthMask(3, 0, 2, 2, np.array([0, 4], np.uint32))
    for check in (mask.check_inside, lambda *size: decode_image(mask, *size)):
        with pytest.raises(MaskError, match=rf"an image of {width}x{height} has more than 67108864 pixels"):
            check(height, width)


def test_masks_together_are_those_one_by_one() -> None:
    """With odd and even numbers of runs, empty ones among them, and none at all."""
    masks = [encode_image(picture) for picture in some_masks()]
    masks[3:3] = [RunLengthMask.empty()] * 2
    together = MaskSet(masks)
    together.check_inside(40, 40)
    assert together.areas.tolist() == [mask.area for mask in masks]
    for pixels, mask in zip(together.pixels, masks, strict=True):
        np.testing.assert_array_equal(pixels, mask.pixels)
    assert MaskSet([]).pixels == []
    assert MaskSet([]).areas.shape == (0,)


@pytest.mark.parametrize("counts", [[0, 3], [0, 5], [], [2**32 - 1, 2**32 - 1]])
def test_a_damaged_mask_among_others_is_refused(counts: list[int]) -> None:
    good = RunLengthMask(1, 1, 2, 2, np.array([0, 4], np.uint32))
    bad = RunLengthMask(1, 1, 2, 2, np.array(counts, np.uint32))
    for together in (MaskSet([good, bad, good]), MaskSet([bad])):
        with pytest.raises(MaskError, match=f"cover {sum(counts)} pixels"):
            together.check_inside(10, 10)
        with pytest.raises(MaskError, match=f"cover {sum(counts)} pixels"):
            together.pixels  # noqa: B018
    with pytest.raises(MaskError, match="outside the 2x10"):
        MaskSet([good, good]).check_inside(10, 2)
