"""Placement, interpolation and cropped masks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask

from a2vis_model.masks.region import RegionMask, logits_to_mask
from a2vis_model.placement import Placement
from a2vis_model.preprocessing import PIXEL_MEAN, PIXEL_STD, FrameTransform


@pytest.mark.parametrize("size", [(256, 384), (320, 480), (720, 1280), (1280, 720), (37, 53), (1, 1), (2000, 100)])
def test_an_image_fits_and_keeps_its_aspect(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    pixels, place = FrameTransform(input_height=256, input_width=384)(image)
    assert pixels.shape == (3, 256, 384)
    assert pixels.dtype == torch.float32
    assert place.scaled_height in (256, place.scaled_height)
    assert place.scaled_width == 384 or place.scaled_height == 256
    scale = min(256 / size[0], 384 / size[1])
    assert abs(place.scaled_height - size[0] * scale) <= 0.5 or place.scaled_height == 1
    assert abs(place.scaled_width - size[1] * scale) <= 0.5 or place.scaled_width == 1
    assert (pixels[:, place.scaled_height :] == 0).all()
    assert (pixels[:, :, place.scaled_width :] == 0).all()


def test_an_image_of_the_input_size_is_only_normalised():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    pixels, _ = FrameTransform(input_height=64, input_width=96)(image)
    expected = (image - np.array(PIXEL_MEAN)) / np.array(PIXEL_STD)
    np.testing.assert_allclose(pixels.permute(1, 2, 0).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_what_is_no_rgb_image_is_refused(image):
    with pytest.raises(ValueError, match="give RGB as uint8"):
        FrameTransform(input_height=64, input_width=96)(image)


def reference_mask(logits, place):
    """Upsample the whole map to the input, cut the padding off, resize to the image: in one step."""
    cells_y = (np.arange(place.image_height) + 0.5) * place.scaled_height / place.image_height / 4 - 0.5
    cells_x = (np.arange(place.image_width) + 0.5) * place.scaled_width / place.image_width / 4 - 0.5
    h, w = logits.shape
    grid_y = torch.tensor((cells_y.clip(0, h - 1) + 0.5) / h * 2 - 1)
    grid_x = torch.tensor((cells_x.clip(0, w - 1) + 0.5) / w * 2 - 1)
    grid = torch.stack(torch.meshgrid(grid_x, grid_y, indexing="xy"), -1)[None].double()
    return F.grid_sample(torch.tensor(logits)[None, None].double(), grid, align_corners=False, padding_mode="border")[
        0, 0
    ]


@pytest.mark.parametrize("image", [(64, 96), (48, 96), (200, 301), (720, 1280), (17, 23)])
@pytest.mark.parametrize("blob", ["corner", "middle", "edge", "dot", "full", "two", "none"])
def test_cropped_interpolation_equals_the_whole(image, blob):
    place = Placement.fit(image_height=image[0], image_width=image[1], input_height=64, input_width=96)
    rng = np.random.default_rng(1)
    logits = (-1 - rng.random((16, 24))).astype(np.float32)
    regions = {
        "corner": [(slice(0, 3), slice(0, 4))],
        "middle": [(slice(5, 11), slice(7, 15))],
        "edge": [(slice(12, 16), slice(10, 24))],
        "dot": [(slice(8, 9), slice(9, 10))],
        "full": [(slice(0, 16), slice(0, 24))],
        "two": [(slice(1, 4), slice(2, 6)), (slice(9, 12), slice(15, 20))],
        "none": [],
    }
    for region in regions[blob]:
        logits[region] = rng.random(logits[region].shape) + 0.5
    mask = logits_to_mask(logits, place)
    reference = reference_mask(logits, place).numpy()
    full = mask.full()
    decided = np.abs(reference) > 1e-4
    assert (full == (reference > 0))[decided].all()
    assert (mask.area > 0) == bool((reference > 1e-4).any())
    if mask.area:
        assert mask.pixels[0].any()
        assert mask.pixels[-1].any()
        assert mask.pixels[:, 0].any()
        assert mask.pixels[:, -1].any()


def test_at_twice_the_stride_the_result_is_torchs_upsampling():
    logits = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    place = Placement.fit(image_height=64, image_width=96, input_height=64, input_width=96)
    expected = F.interpolate(logits[None, None], scale_factor=4, mode="bilinear", align_corners=False)[0, 0]
    full = torch.from_numpy(logits_to_mask(logits.numpy(), place).full())
    assert ((expected > 0) == full)[expected.abs() > 1e-4].all()


def test_masks_go_to_coco_and_back():
    pixels = np.zeros((20, 30), np.bool_)
    pixels[3:7, 5:9] = True
    pixels[5, 6] = False
    pixels[15, 29] = True
    mask = RegionMask.crop(pixels, x=0, y=0, image_height=20, image_width=30)
    assert (mask.box, mask.area) == ((5, 3, 25, 13), 16)
    rle = mask.coco_rle()
    assert (coco_mask.decode(rle).astype(bool) == pixels).all()
    assert coco_mask.area(rle) == mask.area
    empty = RegionMask.crop(np.zeros((20, 30), np.bool_), x=0, y=0, image_height=20, image_width=30)
    assert (empty.area, empty.box) == (0, (0, 0, 0, 0))
    assert coco_mask.area(empty.coco_rle()) == 0


def test_union_is_that_of_the_full_masks():
    rng = np.random.default_rng(0)
    masks = [RegionMask.empty(20, 30)]
    for _ in range(5):
        pixels = np.zeros((20, 30), np.bool_)
        y, x = rng.integers(0, 15, 2)
        pixels[y : y + 5, x : x + 5] = rng.random((5, 5)) > 0.5
        masks.append(RegionMask.crop(pixels, x=0, y=0, image_height=20, image_width=30))
    for a in masks:
        for b in masks:
            assert (a.union(b).full() == (a.full() | b.full())).all()


@pytest.mark.parametrize(
    "move", [(0, 0), (3, -2), (-4, 0), (0, 5), (-7, -9), (6, 12), (-30, 0), (0, 30), (10**9, -(10**9))]
)
def test_a_moved_mask_is_cut_at_the_image(move):
    picture = np.zeros((16, 24), np.bool_)
    picture[4:9, 8:15] = np.random.default_rng(0).random((5, 7)) < 0.6
    picture[4, 8] = picture[8, 14] = True
    rows, columns = np.nonzero(picture)
    expected = np.zeros_like(picture)
    rows, columns = rows + move[0], columns + move[1]
    inside = np.isin(rows, range(16)) & np.isin(columns, range(24))
    expected[rows[inside], columns[inside]] = True
    moved = RegionMask.crop(picture, x=0, y=0, image_height=16, image_width=24).moved(*move)
    np.testing.assert_array_equal(moved.full(), expected)
    assert moved.area == expected.sum()
    if not moved.area:
        assert moved.box == (0, 0, 0, 0)


def test_an_empty_mask_stays_where_it_is():
    assert RegionMask.empty(16, 24).moved(3, 4).box == (0, 0, 0, 0)
