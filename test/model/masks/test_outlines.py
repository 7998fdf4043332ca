"""Masks of a whole frame against the reference, which interpolates them one by one."""

import dataclasses

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model import StreamingTracker, TrackSettings
from a2vis_model.masks.certainty import certainty, loose_area
from a2vis_model.masks.outlines import OutlineCapacity, PixelGrid, positive_cells, trace
from a2vis_model.masks.region import RegionMask, logits_to_mask
from a2vis_model.masks.run_lengths import MaskRuns, Segments
from a2vis_model.modeling import ClipPrediction
from a2vis_model.placement import Placement
from a2vis_model.tracking import observations
from a2vis_model.tracking.observations import PredictionReader, pack

PLENTY = OutlineCapacity(2**10, 2**13, 2**16)
OPEN = TrackSettings(start_score=0.0, keep_score=0.0, min_area=1, confirm_frames=1)


def sample_logits(height, width, seed=0):
    """Noise, all inside, all outside, many zeros, a disc, its complement, dots, one cell: [8, height, width]."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(height, width))
    rows, columns = np.mgrid[:height, :width]
    disc = height / 3 - np.hypot(rows - height / 2, columns - width / 2) + 0.1 * noise
    dots = np.where(rng.random((height, width)) < 0.05, 3.0, -2.0)
    one = np.where((rows == height - 1) & (columns == 0), 1.0, -1.0)
    samples = (noise, abs(noise) + 0.1, -abs(noise), np.round(noise * 2) / 2, disc, -disc, dots, one)
    return torch.from_numpy(np.stack(samples)).float()


def traced(logits, place, limits=None, wanted=None):
    wanted = torch.ones(len(logits), dtype=torch.bool) if wanted is None else wanted
    grid = PixelGrid.of(*logits.shape[1:], place, logits.device)
    edges = trace([logits], positive_cells([logits]), wanted[None], grid, limits)
    assert limits is None or all(found <= limit for found, limit in zip(edges.found, limits, strict=True))
    count = int(edges.found[2])
    runs = MaskRuns(Segments.between(edges.mask[:count].numpy(), edges.position[:count].numpy(), place), place)
    return [runs.mask(i) for i in range(len(logits))]


def assert_same(a: RegionMask, b: RegionMask):
    assert (a.image_height, a.image_width, a.box) == (b.image_height, b.image_width, b.box)
    assert a.counts.dtype == b.counts.dtype
    np.testing.assert_array_equal(a.counts, b.counts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("limits", [None, PLENTY])
@pytest.mark.parametrize("image", [(64, 96), (48, 96), (200, 301), (97, 41), (17, 23), (5, 90), (1, 1)])
def test_masks_are_those_of_the_reference_in_every_bit(image, limits, dtype):
    place = Placement.fit(image_height=image[0], image_width=image[1], input_height=64, input_width=96)
    logits = sample_logits(16, 24, seed=image[0]).to(dtype)
    for mask, one in zip(traced(logits, place, limits), logits, strict=True):
        assert_same(mask, logits_to_mask(one.float().numpy(), place))


def test_the_number_of_threads_changes_nothing():
    place = Placement.fit(image_height=720, image_width=1280, input_height=256, input_width=384)
    logits = sample_logits(64, 96)
    expected = traced(logits, place)
    torch.set_num_threads(3)
    try:
        for a, b in zip(traced(logits, place), expected, strict=True):
            assert_same(a, b)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("limits", [None, PLENTY])
def test_what_is_not_wanted_is_not_traced(limits):
    place = Placement.fit(image_height=64, image_width=96, input_height=64, input_width=96)
    logits = sample_logits(16, 24)
    wanted = torch.arange(8) % 2 == 0
    masks, all_masks = traced(logits, place, limits, wanted), traced(logits, place)
    assert [mask.area for mask in masks] == [m.area if i % 2 == 0 else 0 for i, m in enumerate(all_masks)]


def prediction(slots=8, frames=3, dtype=torch.float32, device="cpu"):
    masks = sample_logits(16, 24).repeat(frames, 1, 1, 1)[None, :, :slots].to(device, dtype)
    classes = torch.linspace(-3, 3, slots, device=device)[None, :, None] * torch.tensor([1.0, 0, 0], device=device)
    return ClipPrediction(classes, masks - 0.3, masks)


PLACE = Placement(image_height=100, image_width=144, scaled_height=64, scaled_width=92)


def test_a_frame_is_read_with_one_copy_unless_its_outlines_outgrow_the_room(monkeypatch):
    copies = []
    monkeypatch.setattr(observations, "fetch", lambda tensor: copies.append(len(tensor)) or tensor)
    least = np.zeros(8, np.float32)
    expected = PredictionReader(None).read(prediction(), 1, PLACE, least)
    reader = PredictionReader(OutlineCapacity(lines=4, quads=8, edges=16))
    small = reader.read(prediction(), 1, PLACE, least)
    grown = len(copies)
    assert 2 < grown <= 1 + 4
    again = reader.read(prediction(), 1, PLACE, least)
    assert len(copies) == grown + 1
    for slot in range(8):
        for mask, same, reference in zip(small.masks(slot), again.masks(slot), expected.masks(slot), strict=True):
            assert_same(mask, reference)
            assert_same(same, reference)
    for name, value in vars(expected.slots).items():
        np.testing.assert_array_equal(value, getattr(small.slots, name))


def test_the_numbers_of_a_frame_survive_the_copy():
    given = prediction()
    prototypes = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    read = PredictionReader(None).read(given, 2, PLACE, np.full(8, 0.5, np.float32), prototypes=prototypes)
    probability = given.classes[0].softmax(-1)
    assert given.visible is not None
    assert given.amodal is not None
    both = torch.maximum(given.visible, given.amodal)[0, 2]
    shares = [certainty((m > 0).sum((-2, -1)), loose_area(m)) for m in (given.visible[0, 2], both)]
    sure = torch.where((given.visible[0, 2] > 0).any(-1).any(-1), *shares)
    np.testing.assert_array_equal(read.slots.scores, probability[:, :-1].amax(-1) * sure)
    np.testing.assert_array_equal(read.slots.classes, probability[:, :-1].argmax(-1))
    np.testing.assert_array_equal(read.slots.existence, (1 - probability[:, -1]) * sure)
    np.testing.assert_array_equal(read.slots.visible_area, (given.visible[0, 2] > 0).sum((-1, -2)) * 16)
    np.testing.assert_array_equal(read.slots.amodal_area, (both > 0).sum((-1, -2)) * 16)
    for cells, logits in ((read.slots.visible, given.visible[0, 2]), (read.slots.amodal, both)):
        np.testing.assert_array_equal(cells, torch.nn.functional.max_pool2d(logits, 2, ceil_mode=True) > 0)
    unit = prototypes / prototypes.norm(dim=-1, keepdim=True)
    np.testing.assert_allclose(read.slots.prototypes, unit, atol=1e-6)
    for slot, score in enumerate(read.slots.scores):
        for mask, logits in zip(read.masks(slot), (given.visible[0, 2], both), strict=True):
            assert mask is not None
            wanted = logits_to_mask(logits[slot].numpy(), PLACE)
            assert_same(mask, wanted if score >= 0.5 else RegionMask.empty(100, 144))


@pytest.mark.parametrize("limits", [None, PLENTY])
@pytest.mark.parametrize("size", [(15, 24), (16, 23), (15, 23)])
def test_an_amodal_mask_contains_the_visible_one_on_maps_of_any_size(size, limits):
    height, width = size
    visible, amodal = sample_logits(height, width, seed=1), sample_logits(height, width, seed=2).flip(0)
    given = ClipPrediction(torch.zeros(1, 8, 3), visible[None, None], amodal[None, None])
    place = Placement(image_height=100, image_width=144, scaled_height=4 * height, scaled_width=4 * width)
    read = PredictionReader(limits).read(given, 0, place, np.zeros(8, np.float32))
    both = torch.maximum(visible, amodal)
    for slot in range(8):
        for mask, logits in zip(read.masks(slot), (visible, both), strict=True):
            assert mask is not None
            assert_same(mask, logits_to_mask(logits[slot].numpy(), place))
    for cells, logits in ((read.slots.visible, visible), (read.slots.amodal, both)):
        np.testing.assert_array_equal(cells, torch.nn.functional.max_pool2d(logits, 2, ceil_mode=True) > 0)
    np.testing.assert_array_equal(read.slots.amodal_area, (both > 0).sum((-1, -2)) * 16)


def test_where_one_kind_has_no_number_the_other_one_counts():
    visible, amodal = sample_logits(16, 24, seed=1), sample_logits(16, 24, seed=2).flip(0)
    visible[:, 8, 12] = torch.nan
    given = ClipPrediction(torch.zeros(1, 8, 3), visible[None, None], amodal[None, None])
    read = PredictionReader(None).read(given, 0, PLACE, np.zeros(8, np.float32))
    inside = 8.5 * 100 / 16, 12.5 * 144 / 23  # The pixel in the middle of that cell.
    for slot in range(8):
        mask = read.masks(slot)[1]
        assert mask is not None
        assert mask.full()[int(inside[0]), int(inside[1])] == (amodal[slot, 8, 12] > 0)


def specky(kinds=2):
    """Two slots: a block of 6x6 cells, and a cell far from it."""
    masks = torch.full((1, 3, 2, 16, 24), -2.0)
    masks[..., 2:8, 2:8] = masks[..., 13:14, 20:21] = 2.0
    classes = torch.tensor([[[5.0, 0, 0], [5.0, 0, 0]]])
    return ClipPrediction(classes, masks, masks.clone() if kinds == 2 else None)


@pytest.mark.parametrize("kinds", [1, 2])
def test_specks_are_left_out_where_that_is_asked_for(kinds):
    least = np.zeros(2, np.float32)
    everything = PredictionReader(None).read(specky(kinds), 1, PLACE, least)
    clean = PredictionReader(None).read(specky(kinds), 1, PLACE, least, 0.25)
    for slot in range(2):
        for speckled, mask in zip(everything.masks(slot)[:kinds], clean.masks(slot)[:kinds], strict=True):
            assert speckled.width > 100
            assert 30 < mask.width < 50
            assert 0 < mask.area < speckled.area
            assert not (mask.full() & ~speckled.full()).any()


def test_on_a_gpu_nothing_of_a_frame_depends_on_data_before_the_copy():
    """A meta tensor has a shape and no content: what would wait for content raises."""
    given, least = prediction(device="meta", dtype=torch.float16), torch.zeros(8, device="meta")
    packed = pack(given, 0, PLACE, least, PLENTY, torch.zeros(8, 5, device="meta"))
    bits = 8 * 12 // 32
    assert packed.shape == (3 + 3 * 8 + 2 * 8 + 2 * 8 * bits + 8 * 5 + 2 * PLENTY.edges,)
    with pytest.raises((RuntimeError, TypeError), match="meta"):
        pack(given, 0, PLACE, least, None)


def test_on_a_gpu_a_whole_stream_waits_for_one_copy_a_frame(monkeypatch):
    """Network, tracks that start and end, recycled slots: without content, only the one copy can be answered."""
    config = tiny_config()
    copies, recycled = [], []

    def answer(tensor):
        # All slots have an area in the first frame and none after it; there are never any outlines.
        copies.append(tensor.device.type)
        packed = torch.full(tensor.shape, int(len(copies) == 1), dtype=torch.int32)
        packed[:3] = 0
        return packed

    monkeypatch.setattr(observations, "fetch", answer)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # which asks for a device it knows
    model = tiny_model(config).to("meta")
    recycle = model.recycle
    monkeypatch.setattr(model, "recycle", lambda *given: recycled.append(len(copies)) or recycle(*given))
    settings = dataclasses.replace(OPEN, max_lost_frames=0, duplicate_iou=1.0, duplicate_part=1.0)
    tracker = StreamingTracker(model, config, settings=settings)
    image = np.zeros((100, 150, 3), np.uint8)
    states = [[i.state.name for i in tracker.push(image, 0.0)[0].instances] for _ in range(4)]
    assert states == [["VISIBLE"] * model.slots, ["ENDED"] * model.slots, [], []]
    assert copies == ["meta"] * 4
    assert recycled == [2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: PyTorch finds none")
def test_a_gpu_stream_waits_once_a_frame_and_says_what_the_cpu_says(monkeypatch):
    config = tiny_config()
    images = np.random.default_rng(0).integers(0, 256, (8, 100, 150, 3), np.uint8)
    waits, fetch = [], observations.fetch

    def allowed(tensor):
        torch.cuda.set_sync_debug_mode("default")
        waits.append(len(tensor))
        host = fetch(tensor)
        torch.cuda.set_sync_debug_mode("error")
        return host

    monkeypatch.setattr(observations, "fetch", allowed)
    tracker = StreamingTracker(tiny_model(config).cuda(), config, settings=OPEN)
    tracker.push(images[0], 0.0)
    tracker.push(images[1], 0.0)
    waits.clear()
    try:
        torch.cuda.set_sync_debug_mode("error")
        for image in images[2:]:
            assert tracker.push(image, 0.0)[0].instances
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waits) == len(images) - 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: PyTorch finds none")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_masks_of_a_gpu_are_those_of_the_cpu_in_every_bit(dtype):
    for size in ((64, 96), (200, 301), (17, 23)):
        place = Placement.fit(image_height=size[0], image_width=size[1], input_height=64, input_width=96)
        logits = sample_logits(16, 24).to(dtype)
        classes = torch.zeros(1, 8, 3)
        on_gpu = ClipPrediction(classes.cuda(), logits[None, None].cuda(), None)
        read = PredictionReader(OutlineCapacity()).read(on_gpu, 0, place, np.zeros(8, np.float32))
        for slot in range(8):
            assert_same(read.runs.mask(slot), logits_to_mask(logits[slot].float().numpy(), place))
