"""Training: who answers for what, the losses against plain references, the loop's promises, and that it learns."""

import dataclasses
import itertools
import json
import math
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from conftest import tiny_config, tiny_model
from torch import Tensor

from a2vis_model import (
    A2VISError,
    CheckpointError,
    ConfigError,
    ModelConfig,
    VideoNetwork,
    build_model,
    load_weights,
)
from a2vis_model.cli import main
from a2vis_model.config import config_to_dict
from a2vis_model.data.problems import DataError, DataProblem
from a2vis_model.data.video import Sample
from a2vis_model.modeling import SetPrediction, TrackPrediction, split_clips
from a2vis_model.preprocessing import FrameTransform
from a2vis_model.render import render_clip, write_clip
from a2vis_model.training import (
    Augmentation,
    Batch,
    Checkpoint,
    LossSettings,
    OptimiserSettings,
    PointSampling,
    RenderedVideo,
    Run,
    SequenceDataset,
    Targets,
    TrainingConfig,
    augment,
    initialise,
    make_objective,
    train,
    validate_frames,
    validate_videos,
    warm_start,
)
from a2vis_model.training import losses as loss_functions
from a2vis_model.training.loop import BEST, CHECKPOINT, LAST
from a2vis_model.training.matching import NONE, Ownership, assign, class_cost, mask_costs, newcomers, own, to_host
from a2vis_model.training.objectives import set_cost, set_losses, track_losses
from a2vis_model.training.optimisation import build_optimiser, select_trainable, set_mode
from a2vis_model.training.sequences import draw_frames, load_batches
from a2vis_model.training.sources import Video, open_source
from a2vis_model.training.validation import MaskTubes, PanopticQuality

HEIGHT, WIDTH = 64, 96
CPU = torch.device("cpu")


# ---------------------------------------------------------------------------------------------------- material


@dataclasses.dataclass
class MemoryVideo:
    """A video with its masks given as arrays [N, F, H, W]."""

    frames: np.ndarray
    visible: np.ndarray
    amodal: np.ndarray | None
    class_ids: np.ndarray
    broken: bool = False

    @property
    def length(self) -> int:
        return len(self.frames)

    def hidden_area(self, t: int) -> int:
        return 0 if self.amodal is None else int((self.amodal[:, t] & ~self.visible[:, t]).sum())

    def load(self, indices: Sequence[int], *, seen_only: bool = False) -> Sample:
        if self.broken:
            raise DataError(DataProblem("video.mp4", "frame 0", "cannot be decoded"))
        visible = self.visible[:, indices]
        kept = visible.any(axis=(1, 2, 3)) if seen_only else np.full(len(visible), True)
        return Sample(
            name="video",
            indices=np.asarray(indices),
            frames=self.frames[list(indices)],
            visible=visible[kept],
            amodal=None if self.amodal is None else self.amodal[:, indices][kept],
            class_ids=self.class_ids[kept],
            object_ids=np.flatnonzero(kept),
            first_visible=np.zeros(int(kept.sum()), np.int64),
        )


class VideoList(list[Video]):
    """A source of training data."""

    has_amodal = True


def moving_squares(
    frames: int = 12, *, height: int = HEIGHT, width: int = WIDTH, hidden: slice | None = None
) -> MemoryVideo:
    """A red square moving right in front of a blue one that stands still; the red one is hidden in some frames."""
    pixels = np.full((frames, height, width, 3), 90, np.uint8)
    visible = np.zeros((2, frames, height, width), np.bool_)
    for t in range(frames):
        visible[1, t, 30:54, 40:70] = True
        left = 4 + 5 * t
        visible[0, t, 8:40, left : left + 24] = True
    amodal = visible.copy()
    visible[1] &= ~visible[0]
    if hidden is not None:
        visible[0, hidden] = False
    pixels[visible[0]] = (250, 20, 20)
    pixels[visible[1]] = (20, 20, 250)
    return MemoryVideo(pixels, visible, amodal, np.array([1, 3]))


def batch_of(videos: Sequence[MemoryVideo], indices: Sequence[int]) -> Batch:
    return Batch.collate(
        [
            augment(
                video.load(indices, seen_only=True),
                Augmentation.none(),
                height=HEIGHT,
                width=WIDTH,
                rng=np.random.default_rng(0),
            )
            for video in videos
        ]
    )


def dataset(frames: int, seed: int = 0, **changes: object) -> SequenceDataset:
    values: dict[str, object] = {
        "sources": [VideoList([moving_squares(), moving_squares(hidden=slice(5, 8))])],
        "weights": [1.0],
        "frames": frames,
        "reach": 12,
        "height": HEIGHT,
        "width": WIDTH,
        "augmentation": Augmentation(),
        "seed": seed,
    }
    return SequenceDataset(**{**values, **changes})  # type: ignore[arg-type]


FEW_POINTS = LossSettings(sampling=PointSampling(points=64))


def training(stage: str, steps: int = 4, **changes: object) -> TrainingConfig:
    values = {"stage": stage, "steps": steps, "batch": 2, "clips": 2, "losses": FEW_POINTS}
    return TrainingConfig(**{**values, **changes})  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------- matching


def test_mask_costs_are_the_losses_of_every_pair() -> None:
    torch.manual_seed(0)
    logits, targets = 3 * torch.randn(2, 3, 50), torch.rand(2, 4, 50)
    cross_entropy, dice = mask_costs(logits, targets)
    for i, q, n in np.ndindex(2, 3, 4):
        x, t = logits[i, q], targets[i, n]
        expected = -(t * x.sigmoid().log() + (1 - t) * (1 - x.sigmoid()).log()).mean()
        assert cross_entropy[i, q, n] == pytest.approx(expected.item(), abs=1e-5)
        p = x.sigmoid()
        assert dice[i, q, n] == pytest.approx((1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)).item(), abs=1e-5)


def test_class_cost_reads_each_objects_class() -> None:
    logits = torch.tensor([[[[0.0, 2.0, 1.0]]]])
    cost = class_cost(logits, torch.tensor([[1, 0]]))
    assert torch.allclose(cost, -logits.softmax(-1)[..., [1, 0]])


def test_assignment_is_the_cheapest_and_avoids_taken_slots() -> None:
    cost = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    wanted = np.array([True, False, True, True])
    taken = np.array([False, True, False, False, False])
    slots = assign(cost, wanted, taken)
    assert slots[1] == NONE
    assert 1 not in slots
    best = min(
        itertools.permutations([0, 2, 3, 4], 3),
        key=lambda rows: sum(cost[r, n] for r, n in zip(rows, (0, 2, 3), strict=True)),
    )
    assert tuple(slots[[0, 2, 3]]) == best


def test_assignment_with_too_few_slots_or_a_nan_leaves_objects_over() -> None:
    cost = np.array([[1.0, 0.0, np.nan]], np.float32)
    assert assign(cost, np.array([True, True, True])).tolist() == [NONE, 0, NONE]


def test_hidden_object_keeps_its_slot_when_a_new_one_enters() -> None:
    """Spec 4.3: GenVIS would give slot 0 of the hidden object to the newcomer, which prefers it."""
    present = np.array([[[True, False], [False, True], [True, True]]])  # [B, clips, n]
    cost = np.zeros((1, 3, 3, 2), np.float32)  # [L, B · clips, Q, n]
    cost[..., 0] = [0.0, 5.0, 9.0]  # the first object is cheapest in slot 0
    cost[..., 1] = [0.0, 1.0, 9.0]  # and so is the second
    slots = own(cost, present)[0]
    assert slots.tolist() == [[0, NONE], [0, 1], [0, 1]]
    assert newcomers(present)[0].tolist() == [[True, False], [False, True], [False, False]]


def test_ownership_survives_better_offers() -> None:
    start = Ownership.start((2,), 3)
    first = start.claim(np.array([[0, 9], [1, 9], [9, 9]], np.float32), np.array([True, False]))
    second = first.claim(np.array([[9, 0], [0, 1], [9, 9]], np.float32), np.array([True, True]))
    assert start.slots.tolist() == [NONE, NONE]
    assert first.taken.tolist() == [True, False, False]
    assert second.slots.tolist() == [0, 1]


def test_host_copy_keeps_shapes_and_values() -> None:
    tensors = [torch.randn(2, 3), torch.randn(4), torch.randn(1, 0, 2)]
    for tensor, array in zip(tensors, to_host(tensors), strict=True):
        assert np.array_equal(tensor.numpy(), array)


# ---------------------------------------------------------------------------------------------------- losses


def test_mask_losses_equal_a_plain_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    points = torch.rand(3, 2, 40, 2)
    monkeypatch.setattr(loss_functions, "uncertain_points", lambda _logits, _sampling: points)
    logits, pixels = torch.randn(3, 2, 4, 6), torch.rand(2, 2, 5, 16, 24) > 0.5
    item, instance, weight = torch.tensor([0, 1, 1]), torch.tensor([4, 0, 2]), torch.tensor([0.5, 0.25, 2.0])
    got = loss_functions.mask_losses(logits, pixels, item, instance, weight, PointSampling())
    expected = [0.0, 0.0]
    for r in range(3):
        values, targets = [], []
        for t, k in np.ndindex(2, 40):
            x, y = points[r, t, k].tolist()
            enlarged_x, enlarged_y = min(max(x * 6 - 0.5, 0), 5), min(max(y * 4 - 0.5, 0), 3)
            x0, y0 = min(int(enlarged_x), 4), min(int(enlarged_y), 2)
            fx, fy = enlarged_x - x0, enlarged_y - y0
            cells = logits[r, t, y0 : y0 + 2, x0 : x0 + 2]
            values.append((torch.tensor([1.0 - fy, fy]) @ cells @ torch.tensor([1.0 - fx, fx])).item())
            targets.append(float(pixels[item[r], t, instance[r], int(y * 16), int(x * 24)]))
        p = [1 / (1 + math.exp(-v)) for v in values]
        pairs = list(zip(p, targets, strict=True))
        bce = -sum(math.log(a) if b else math.log(1 - a) for a, b in pairs) / len(pairs)
        dice = 1 - (2 * sum(a * b for a, b in pairs) + 1) / (sum(p) + sum(targets) + 1)
        expected[0] += weight[r].item() * bce
        expected[1] += weight[r].item() * dice
    assert got[0].item() == pytest.approx(expected[0], rel=1e-4)
    assert got[1].item() == pytest.approx(expected[1], rel=1e-4)


def test_points_are_mostly_uncertain_ones() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(-8, 8, 32).expand(1, 1, 8, 32)
    points = loss_functions.uncertain_points(ramp, PointSampling(points=400, oversample=3, importance=0.75))
    assert points.shape == (1, 1, 400, 2)
    middle = (points[0, 0, :, 0] - 0.5).abs() < 0.13  # a quarter of the width, where a quarter of 1,200 points are
    assert 290 < middle.sum() < 400
    assert (~middle).sum() > 40  # the random quarter is spread over the rest


def test_class_loss_averages_each_clip_and_adds_clips_up() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 6, 5, 4), torch.randint(0, 4, (2, 6, 5))
    weight = torch.tensor([1.0, 1.0, 1.0, 0.1])
    expected = sum(
        F.cross_entropy(logits[layer, clip::3].flatten(0, 1), labels[layer, clip::3].flatten(), weight)
        for layer in range(2)
        for clip in range(3)
    )
    assert torch.allclose(loss_functions.class_loss(logits, labels, 3, 0.1), torch.as_tensor(expected))


def test_similarity_loss_compares_pairs_of_one_clip() -> None:
    torch.manual_seed(0)
    embeddings, identities = torch.randn(2, 4, 8), torch.tensor([[0, 0, 1, -1], [2, -1, -1, 2]])
    expected = 0.0
    for clip in range(2):
        real = [e for e in range(4) if identities[clip, e] >= 0]
        terms = [
            F.binary_cross_entropy_with_logits(
                embeddings[clip, a] @ embeddings[clip, b], (identities[clip, a] == identities[clip, b]).float()
            ).item()
            for a in real
            for b in real
        ]
        expected += sum(terms) / len(terms)
    assert loss_functions.similarity_loss(embeddings, identities, 2).item() == pytest.approx(expected, rel=1e-5)


def targets_of(masks: Tensor, classes: Sequence[int]) -> Targets:
    """masks [I, T, n, H, W]."""
    present = masks.flatten(3).any(-1).numpy()
    cells = F.avg_pool2d(masks.flatten(0, 1).float(), 4).flatten(2).unflatten(0, masks.shape[:2])
    return Targets(np.tile(np.array(classes), (len(masks), 1)), masks, cells, present)


def test_hidden_object_keeps_class_and_amodal_mask_and_loses_its_visible_one() -> None:
    """One object in one sequence of two clips: seen in the first, hidden in the second."""
    amodal = torch.zeros(2, 1, 1, 32, 32, dtype=torch.bool)
    amodal[..., 8:24, 8:24] = True
    visible = amodal.clone()
    visible[1] = False
    owned = np.zeros((1, 2, 1), np.int64)  # slot 0 in both clips
    sharp = [F.avg_pool2d(m[:, :, 0].float(), 4).unsqueeze(2) * 40 - 20 for m in (visible, amodal)]
    logits = [torch.cat((m, torch.full_like(m, -20)), dim=2) for m in sharp]  # slot 1 is empty
    classes = torch.tensor([[0.0, 20.0, 0.0], [0.0, 0.0, 20.0]]).repeat(2, 1, 1)

    def losses(tracks: TrackPrediction) -> dict[str, float]:
        torch.manual_seed(0)
        settings = LossSettings(sampling=PointSampling(points=256))
        found = track_losses(tracks, targets_of(visible, [1]), targets_of(amodal, [1]), owned, 2, settings)
        return {name: value.item() for name, value in found.items()}

    right = losses(TrackPrediction(classes, logits[0], [logits[1]]))
    assert right["class"] < 1e-3
    assert right["visible_dice"] + right["amodal_dice"] < 1.5  # of 20; their edges are soft
    forgets = classes.clone()
    forgets[1, 0] = torch.tensor([0.0, 0.0, 20.0])
    assert losses(TrackPrediction(forgets, logits[0], [logits[1]]))["class"] > 10
    stays_visible = logits[0].clone()
    stays_visible[1] = logits[1][1]
    assert losses(TrackPrediction(classes, stays_visible, [logits[1]]))["visible_mask"] > 10
    assert losses(TrackPrediction(classes, logits[0], [logits[0]]))["amodal_mask"] > 10


def test_set_losses_supervise_matched_slots_of_every_layer() -> None:
    torch.manual_seed(0)
    targets = targets_of(torch.rand(2, 3, 2, 32, 32) > 0.6, [0, 2])
    prediction = SetPrediction(
        classes=torch.randn(2, 2, 5, 4, requires_grad=True),
        embeddings=torch.randn(2, 2, 5, 6, requires_grad=True),
        features=torch.randn(2, 3, 6, 8, 8),
    )
    cost = set_cost(prediction, targets, FEW_POINTS)
    assert cost.shape == (2, 2, 5, 2)
    masks = torch.einsum("qc,tchw->qthw", prediction.embeddings[1, 0], prediction.features[0])
    covered = F.avg_pool2d(targets.pixels[0].float(), 4)
    bce, dice = mask_costs(masks.flatten(1).unsqueeze(0), covered.transpose(0, 1).flatten(1).unsqueeze(0))
    expected = 2 * class_cost(prediction.classes[1, :1], torch.tensor([[0, 2]])) + 5 * bce + 5 * dice
    assert torch.allclose(cost[1, 0], expected[0], atol=1e-4)

    slots = np.array([[[3, 1], [0, NONE]], [[3, 1], [2, 4]]])
    losses = set_losses("clip", prediction, targets, slots, 1, FEW_POINTS)
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert prediction.embeddings.grad is not None
    touched = prediction.embeddings.grad.abs().sum(-1) > 0
    assert touched.nonzero().tolist() == [[0, 0, 1], [0, 0, 3], [0, 1, 0], [1, 0, 1], [1, 0, 3], [1, 1, 2], [1, 1, 4]]


# ---------------------------------------------------------------------------------------------------- data


def test_unaugmented_sample_is_what_inference_sees() -> None:
    video = moving_squares(height=100, width=200)
    batch = batch_of([video], [0, 3])
    expected, _ = FrameTransform(input_height=HEIGHT, input_width=WIDTH)(video.frames[3])
    assert torch.allclose(batch.normalised()[0, 1], expected, atol=0.01)
    assert batch.normalised()[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("seed", range(6))
def test_augmentation_moves_masks_with_the_image(seed: int) -> None:
    strong = Augmentation(scale=(0.6, 1.8), travel=0.5, brightness=0.0, contrast=0.0, saturation=0.0)
    sample = moving_squares().load(range(6), seen_only=True)
    out = augment(sample, strong, height=HEIGHT, width=WIDTH, rng=np.random.default_rng(seed))
    red = (out.images[..., 0] > 170) & (out.images[..., 2] < 50)
    mask = out.visible[:, out.classes == 1].any(axis=1)
    assert (red ^ mask).sum() < 0.08 * mask.sum() + 20  # differences along the edges alone
    assert (out.visible & ~out.amodal).sum() == 0


def test_crop_moves_smoothly_and_in_one_direction() -> None:
    frames = np.repeat(moving_squares().frames[:1], 9, axis=0)
    frames[:] = 0
    frames[:, 28:36, 44:52] = 255
    still = MemoryVideo(frames, frames[None, ..., 0] > 0, None, np.array([0]))
    moving = Augmentation(scale=(1.6, 1.6), travel=0.3, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0)
    for seed in range(20):
        out = augment(still.load(range(9)), moving, height=HEIGHT, width=WIDTH, rng=np.random.default_rng(seed))
        if len(out.classes) and out.visible.any(axis=(1, 2, 3)).all():
            path = np.array([np.argwhere(mask[0]).mean(axis=0) for mask in out.visible])
            path = path[np.abs(path - [HEIGHT / 2, WIDTH / 2]).max(axis=1) < 20]  # wholly inside
            if len(path) == 9 and np.abs(path[-1] - path[0]).max() > 4:
                steps = np.diff(path, axis=0)
                assert np.ptp(steps, axis=0).max() <= 1.01
                return
    pytest.fail("no seed shows the object moving")


def test_amodal_masks_begin_when_the_object_is_first_seen_in_the_sequence() -> None:
    video = moving_squares(hidden=slice(0, 3))
    batch = batch_of([video], [0, 2, 4, 6])
    assert batch.present[0, 0, :, 0].tolist() == [False, False, True, True]
    assert batch.present[1, 0, :, 0].tolist() == [False, False, True, True]
    again = batch_of([moving_squares(hidden=slice(5, 8))], [4, 6, 7, 9])
    assert again.present[1, 0, :, 0].tolist() == [True, True, True, True]
    never = batch_of([video], [0, 1])
    assert never.classes[0].tolist() == [3]


def test_batches_pad_objects_and_cut_time_without_copying() -> None:
    both, one = moving_squares(), moving_squares(hidden=slice(0, 12))
    batch = batch_of([both, one], range(4))
    assert np.array_equal(batch.masks("visible")[0, 3].numpy(), both.visible[:, 3])
    assert not batch.present[:, 1, :, 1].any()
    sequences = batch.targets("visible")
    clips = sequences.split(2)
    assert clips.pixels.shape == (4, 2, 2, HEIGHT, WIDTH)
    assert clips.pixels.data_ptr() == sequences.pixels.data_ptr()
    assert torch.equal(clips.pixels[1, 0], sequences.pixels[0, 2])
    assert clips.classes.tolist() == [[1, 3], [1, 3], [3, 0], [3, 0]]
    assert torch.equal(clips.cells[1, 1, 0], F.avg_pool2d(sequences.pixels[0, 3, :1].float(), 4).flatten())


def test_frames_are_drawn_near_each_other() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        reference = int(rng.integers(60))
        indices = draw_frames(reference, 60, 15, 12, rng)
        assert len(indices) == 15
        assert (np.diff(indices) >= 0).all()
        assert indices[-1] - indices[0] <= 24
        assert 0 <= indices[0] <= reference <= indices[-1] < 60
        assert reference in indices
    assert draw_frames(0, 1, 3, 12, rng).tolist() == [0, 0, 0]


def assert_equal_batches(a: Batch, b: Batch) -> None:
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.packed, b.packed)
    assert np.array_equal(a.classes, b.classes)


@pytest.mark.parametrize("workers", [0, 2])
def test_batch_depends_on_its_step_alone(workers: int) -> None:
    def batches(steps: range, workers: int, rank: int = 0, size: int = 1, batch: int = 2) -> list[Batch]:
        loading = load_batches(dataset(3), steps, batch=batch, rank=rank, world_size=size, workers=workers, device=CPU)
        with loading as loaded:
            return list(loaded)

    whole = batches(range(4), 0)
    for a, b in zip(whole[2:], batches(range(2, 4), workers), strict=True):
        assert_equal_batches(a, b)
    parts = [batches(range(1), 0, rank, 2, 1)[0] for rank in range(2)]
    assert torch.equal(whole[0].images, torch.cat([part.images for part in parts]))
    assert not torch.equal(whole[0].images, whole[1].images)


def test_broken_videos_are_drawn_again_and_nothing_else_is_an_error() -> None:
    broken = dataclasses.replace(moving_squares(), broken=True)
    assert len(dataset(3, sources=[VideoList([broken, moving_squares()])])[0].classes)
    with pytest.raises(A2VISError, match=r"cannot be used.*cannot be decoded.*check-data"):
        dataset(3, sources=[VideoList([broken])])[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_loader_processes_are_one_line(workers: int) -> None:
    data = dataset(3, sources=[VideoList([dataclasses.replace(moving_squares(), broken=True)])])
    loading = load_batches(data, range(2), batch=2, rank=0, world_size=1, workers=workers, device=CPU)
    with loading as batches, pytest.raises(A2VISError, match=r"^20 videos in a row cannot be used; .*check-data'$"):
        next(batches)
    assert not multiprocessing.active_children()


# ---------------------------------------------------------------------------------------------------- objectives


@pytest.mark.parametrize("variant", ["a2vis", "a2vis-no-samh"])
def test_unrolled_training_is_what_inference_does_clip_by_clip(variant: str) -> None:
    model = tiny_model(tiny_config(variant))
    images = batch_of([moving_squares(), moving_squares(hidden=slice(3, 6))], range(6)).normalised()
    with torch.no_grad():
        features = model.extract(images)
        tracks = model.unroll(features, 2).tracks
        state = model.initial_state(2)
        assert tracks is not None
        for k in range(2):
            prediction, state = model.step(split_clips(features, 2)[k], state)
            assert prediction.visible is not None
            assert torch.allclose(tracks.classes[k::2], prediction.classes, atol=1e-4)
            assert torch.allclose(tracks.visible[k::2], prediction.visible, atol=1e-3)
            if prediction.amodal is not None:
                shown = prediction.amodal.amax(dim=(3, 4)) > -1e4  # the rest is not yet visible
                assert torch.allclose(tracks.amodal[-1][k::2][shown], prediction.amodal[shown], atol=1e-3)


CASES = [
    ("a2vis", "frame"),
    ("a2vis", "video"),
    ("a2vis", "joint"),
    ("a2vis-no-samh-amodal", "video"),
    ("genvis-semi-online", "video"),
    ("genvis-semi-online-amodal", "joint"),
    ("vita", "video"),
    ("mask2former-vis", "joint"),
    ("minvis-amodal", "frame"),
]


@pytest.mark.parametrize(("variant", "stage"), CASES)
def test_sequence_without_objects_is_no_error(variant: str, stage: str) -> None:
    model_config = tiny_config(variant)
    model = tiny_model(model_config)
    config = training(stage)
    video = moving_squares()
    empty = dataclasses.replace(video, visible=np.zeros_like(video.visible))
    losses = make_objective(model, model_config, config, CPU)(batch_of([empty], range(config.frames_of(model_config))))
    sum(losses.values()).backward()  # type: ignore[union-attr]
    classes = {name for name, loss in losses.items() if loss > 0}
    assert classes <= {"class", "clip_class", "frame_class"}
    assert classes


@pytest.mark.parametrize(("variant", "stage"), CASES)
def test_gradients_reach_all_that_trains_and_nothing_frozen(variant: str, stage: str) -> None:
    model_config = tiny_config(variant)
    # Without random depth, which leaves out parts at random, and without zeros, which keep gradients from passing.
    model_config = dataclasses.replace(
        model_config, backbone=dataclasses.replace(model_config.backbone, drop_path_rate=0.0)
    )
    model = tiny_model(model_config)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    config = training(stage, clips=3)
    select_trainable(model, config.stage)
    set_mode(model)
    assert model.detector.training == (stage != "video")
    frames = config.frames_of(model_config)
    batch = batch_of([moving_squares(), moving_squares(hidden=slice(3, 6))], range(frames))
    torch.manual_seed(0)
    losses = make_objective(model, model_config, config, CPU)(batch)
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()  # type: ignore[union-attr]
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    # Adding the same to all scores of a softmax changes nothing: biases of keys have a gradient of zero.
    keys = {n for n, _ in model.named_parameters() if n.endswith((".k.bias", "memory_key.bias"))}
    assert without | keys == frozen | keys
    trained = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert ("detector" in trained) == (stage != "video")
    assert (trained == {"detector"}) == (stage == "frame" or variant == "mask2former-vis")


def test_hidden_objects_are_supervised_in_a2vis_and_silent_in_genvis(monkeypatch: pytest.MonkeyPatch) -> None:
    from a2vis_model.training import objectives

    seen: dict[str, np.ndarray] = {}
    monkeypatch.setattr(objectives, "set_losses", lambda name, _p, _t, slots, *_: seen.update({name: slots}) or {})
    monkeypatch.setattr(objectives, "track_losses", lambda _p, _t, _a, slots, *_: seen.update(tracks=slots) or {})
    batch = batch_of([moving_squares(hidden=slice(3, 6))], range(9))  # the first object is hidden in the second clip
    for variant in ("a2vis", "genvis-semi-online"):
        model_config = tiny_config(variant)
        make_objective(tiny_model(model_config), model_config, training("video", clips=3), CPU)(batch)
        slots = seen["tracks"][0] if variant == "a2vis" else seen["clip"][-1]
        first, second = slots[:, 0], slots[:, 1]
        assert first[0] == first[2] != NONE
        assert first[1] == (first[0] if variant == "a2vis" else NONE)
        assert len(set(second)) == 1
        assert second[0] not in (NONE, first[0])


def test_bf16_gives_nearly_the_same_loss() -> None:
    model_config = tiny_config()
    model = tiny_model(model_config)
    batch = batch_of([moving_squares()], range(6))
    totals = []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        losses = make_objective(model, model_config, training("joint", precision=precision), CPU)(batch)
        totals.append(torch.stack(list(losses.values())).sum().item())
    assert totals[1] == pytest.approx(totals[0], rel=0.05)


def test_fp16_scales_its_gradients_and_goes_on(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, precision="fp16")
    assert not trainer.run(max_minutes=0.0)
    assert trainer.run(resume=True)
    assert trainer.checkpoint.scaler["scale"] > 0
    start, end = tiny_model(trainer.model_config).state_dict(), trainer.checkpoint.model
    assert all(torch.isfinite(value).all() for value in end.values())
    assert any(not torch.equal(value, end[name]) for name, value in start.items())


def test_stages_without_anything_to_train_are_refused() -> None:
    with pytest.raises(ConfigError, match="use stage=frame or joint"):
        select_trainable(tiny_model(tiny_config("mask2former-vis")), "video")
    with pytest.raises(ConfigError, match="use stage=frame"):
        select_trainable(tiny_model(tiny_config("minvis")), "joint")


# ---------------------------------------------------------------------------------------------------- optimiser


def test_parameter_groups_follow_the_papers_code() -> None:
    model = tiny_model(tiny_config())
    select_trainable(model, "joint")
    optimiser = build_optimiser(model, OptimiserSettings())
    names = {id(p): n for n, p in model.named_parameters()}
    groups = {
        names[id(p)]: (group["scale"], group["weight_decay"])
        for group in optimiser.param_groups
        for p in group["params"]
    }
    assert len(groups) == len(names)
    assert groups["detector.backbone.patch_embed.proj.weight"] == (0.1, 0.05)
    assert groups["detector.frame_decoder.class_head.weight"] == (1.0, 0.05)
    assert groups["detector.frame_decoder.class_head.bias"] == (1.0, 0.0)
    assert groups["prototypes.norm.weight"] == (1.0, 0.0)
    assert groups["prototypes.query_content"] == groups["update.null_key"] == (1.0, 0.0)
    assert all(decay == 0 for name, (_, decay) in groups.items() if "bias_table" in name)


def test_learning_rate_over_time() -> None:
    step = OptimiserSettings(warmup=4)
    assert [step.factor(i, 100) for i in (0, 3, 4, 69, 70, 99)] == pytest.approx([0.2, 0.8, 1, 1, 0.1, 0.1])
    cosine = OptimiserSettings(schedule="cosine")
    assert [cosine.factor(i, 100) for i in (0, 50, 99)] == pytest.approx([1, 0.5, 0.000247], abs=1e-5)


# ---------------------------------------------------------------------------------------------------- loop


class Trainer:
    """The loop on tiny things."""

    def __init__(self, output: Path, stage: str = "video", steps: int = 4, **changes: object) -> None:
        self.output = output
        self.config = training(stage, steps, **changes)
        self.model_config = tiny_config()
        self.model = tiny_model(self.model_config)

    def run(
        self,
        *,
        resume: bool = False,
        validate: Callable[[VideoNetwork], dict[str, float]] | None = None,
        **changes: object,
    ) -> bool:
        values: dict[str, object] = {"output": self.output, "device": CPU, "validate_every": 1, **changes}
        return train(
            self.model,
            self.model_config,
            self.config,
            dataset(self.config.frames_of(self.model_config)),
            validate,
            Run(**values),  # type: ignore[arg-type]
            origin={"data": ["squares"], "validation": None},
            resume=resume,
        )

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.load(self.output / CHECKPOINT)


def assert_same_state(a: Checkpoint, b: Checkpoint) -> None:
    assert a.step == b.step
    for name, value in a.model.items():
        assert torch.equal(value, b.model[name]), name
    for index, state in a.optimiser["state"].items():
        assert all(torch.equal(value, b.optimiser["state"][index][key]) for key, value in state.items())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run of four steps without interruption."""
    trainer = Trainer(tmp_path_factory.mktemp("finished"))
    assert trainer.run()
    return trainer


def stop(number: int) -> Iterator[dict[str, float]]:
    """Scores of validations, during the second of which this process and its loaders get a signal."""
    yield {"amodal": 0.1}
    for process in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
        assert process is not None
        os.kill(process, number)
    yield {"amodal": 0.2}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_goes_on_bit_for_bit(finished: Trainer, tmp_path: Path, number: int) -> None:
    trainer = Trainer(tmp_path)
    scores = stop(number)
    before = signal.getsignal(number)
    assert not trainer.run(validate=lambda _model: next(scores), workers=1)
    assert signal.getsignal(number) is before
    assert trainer.checkpoint.step == 2
    assert trainer.checkpoint.best == 0.2
    again = Trainer(tmp_path)  # as a new process would have it, from another start
    torch.nn.init.normal_(again.model.prototypes.query_content)  # type: ignore[arg-type]
    assert again.run(resume=True)
    assert_same_state(again.checkpoint, finished.checkpoint)


def test_an_error_ends_the_loader_processes_too(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from test_training import Trainer
def fail(model):
    raise RuntimeError("nobody expects this")
Trainer(Path({str(tmp_path)!r})).run(validate=fail, workers=1)
"""
    (result,) = run_python(code, processes=1)
    assert result.returncode == 1
    assert result.stderr.strip().endswith("RuntimeError: nobody expects this")


def test_run_pauses_when_its_time_is_up(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    assert not trainer.run(max_minutes=0.0)
    assert not trainer.run(max_minutes=0.0, resume=True)
    assert trainer.checkpoint.step == 2


def test_finished_run_has_nothing_left_to_do(finished: Trainer) -> None:
    modified = (finished.output / CHECKPOINT).stat().st_mtime_ns
    assert finished.run(resume=True)
    assert (finished.output / CHECKPOINT).stat().st_mtime_ns == modified
    model, config = load_weights(finished.output / LAST)
    assert config == finished.model_config
    name = "prototypes.query_content"
    assert torch.equal(model.state_dict()[name], finished.checkpoint.model[name])


def test_runs_are_not_mixed_up(finished: Trainer) -> None:
    with pytest.raises(A2VISError, match="--resume"):
        finished.run()
    other = Trainer(finished.output, steps=9, optimiser=OptimiserSettings(learning_rate=1.0))
    with pytest.raises(CheckpointError, match=r"another steps, optimiser\.learning_rate"):
        other.run(resume=True)


def test_runs_on_other_data_are_not_mixed_up(
    finished: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = finished.checkpoint
    assert saved.origin == {"data": ["squares"], "validation": None}
    dataclasses.replace(saved, origin={"data": ["circles"], "validation": "v"}).save(tmp_path / CHECKPOINT)
    with pytest.raises(CheckpointError, match=r"belongs to a run with another data, validation; give the same"):
        Trainer(tmp_path).run(resume=True)
    content = torch.load(finished.output / CHECKPOINT, weights_only=True)
    del content["origin"]  # as earlier versions wrote it
    torch.save(content, tmp_path / CHECKPOINT)
    capsys.readouterr()
    assert Trainer(tmp_path).run(resume=True)
    assert f"{tmp_path / CHECKPOINT}: of an earlier version, which did not note its data" in capsys.readouterr().err


def test_best_weights_are_kept(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    scores = iter([0.1, 0.5, 0.3, 0.2])
    kept = {}

    def validate(model: VideoNetwork) -> dict[str, float]:
        score = next(scores)
        kept[score] = model.state_dict()["prototypes.query_content"].clone()
        return {"visible": score, "amodal": score}

    trainer.run(validate=validate)
    best, _ = load_weights(tmp_path / BEST)
    assert torch.equal(best.state_dict()["prototypes.query_content"], kept[0.5])
    assert trainer.checkpoint.best == 0.5
    assert list((tmp_path / "tensorboard").glob("events*")) or not has_tensorboard()


def has_tensorboard() -> bool:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        return False
    return True


def test_nan_stops_before_it_spreads_and_leaves_the_batch(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    trainer.run(max_minutes=0.0)
    saved = trainer.checkpoint
    poisoned = dataclasses.replace(
        saved, model={name: value * math.nan if "query" in name else value for name, value in saved.model.items()}
    )
    poisoned.save(tmp_path / CHECKPOINT)
    with pytest.raises(A2VISError, match=r"step 2: .*class.* not finite.*bad_batch_2_0\.pt.*--learning-rate"):
        trainer.run(resume=True)
    assert trainer.checkpoint.step == 1
    content = torch.load(tmp_path / "bad_batch_2_0.pt", weights_only=True)
    with load_batches(dataset(6), range(1, 2), batch=2, rank=0, world_size=1, workers=0, device=CPU) as batches:
        assert torch.equal(content["images"], next(batches).images)
    assert math.isnan(content["losses"]["class"])


def test_checkpoint_is_replaced_whole_or_not_at_all(
    finished: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / CHECKPOINT
    finished.checkpoint.save(path)

    def fail(content: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        dataclasses.replace(finished.checkpoint, step=99).save(path)
    assert Checkpoint.load(path).step == 4


@pytest.mark.parametrize("content", [b"", b"nonsense", {"model": {}}, {"format": "a2vis-training/1"}])
def test_unusable_checkpoint_is_named(tmp_path: Path, content: bytes | dict[str, object]) -> None:
    path = tmp_path / CHECKPOINT
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=str(path)):
        Checkpoint.load(path)


# ---------------------------------------------------------------------------------------------------- start


def test_initialisation_takes_what_fits(finished: Trainer) -> None:
    other = tiny_model(tiny_config("vita", classes=("a", "b")), seed=1)
    before = other.state_dict()["prototypes.class_head.weight"].clone()
    text = initialise(other, finished.output / LAST)
    state, source = other.state_dict(), finished.checkpoint.model
    assert torch.equal(state["prototypes.query_content"], source["prototypes.query_content"])
    assert torch.equal(state["prototypes.class_head.weight"], before)
    assert "left as they were: parts of detector, prototypes" in text


def test_warm_start_lets_prototypes_read_masks_as_the_detector_does() -> None:
    model = tiny_model(tiny_config(samh=dataclasses.replace(tiny_config().samh, residual=True)))
    warm_start(model)
    images = batch_of([moving_squares()], [0]).normalised()
    with torch.no_grad():
        output = model.detector(images[0])
        features = model.extract(images)
        masks = model.visible_head(output.queries[-1], features.mask_features)  # type: ignore[operator]
        assert torch.allclose(masks[:, 0], model.detector.detections(output).masks, atol=1e-4)


# ---------------------------------------------------------------------------------------------------- validation


def test_panoptic_quality_counts_hits_misses_and_wrong_classes() -> None:
    logits = torch.full((1, 4, 2, 4), -1.0)
    logits[0, 0, :, :2] = 1  # covers the first object exactly
    logits[0, 1, 0, 2:] = 1  # covers half of the second
    logits[0, 2, :, 2:] = 1  # all of it
    covered = torch.zeros(1, 2, 8)
    covered[0, 0].view(2, 4)[:, :2] = 1
    covered[0, 1].view(2, 4)[:, 2:] = 1

    def quality(*classes: int) -> float:
        tubes, result = MaskTubes(), PanopticQuality()
        tubes.add(logits, covered)
        result.add(tubes, np.array(classes), np.array([0, 1]))
        return result.value

    assert quality(0, -1, 1, 0) == 1.0  # the last slot has a class and no mask: nothing
    assert quality(0, 1, -1, -1) == pytest.approx(1 / 2)  # an IoU of one half is a miss
    assert quality(0, 1, 1, -1) == pytest.approx(2 / 2.5)  # a false positive
    assert quality(0, -1, 0, -1) == pytest.approx(1 / 2)  # a wrong class


@pytest.mark.parametrize("variant", ["a2vis", "vita", "minvis-amodal"])
def test_validation_measures_what_the_variant_predicts(variant: str) -> None:
    config = tiny_config(variant)
    model = tiny_model(config)
    scores = validate_videos(model, config, [moving_squares()], frames=6)
    kinds = {"a2vis": {"visible", "amodal"}, "vita": {"visible"}, "minvis-amodal": {"amodal"}}
    assert scores.keys() == kinds[variant]
    assert all(0 <= score <= 1 for score in scores.values())
    assert len(validate_frames(model, config, [moving_squares()], frames=3)) == 1


@pytest.mark.parametrize("variant", ["a2vis", "vita", "mask2former-vis"])
def test_validation_of_videos_shorter_than_asked_for(variant: str) -> None:
    config = tiny_config(variant)
    model = tiny_model(config)
    short = moving_squares(config.clip_length - 1)
    scores = validate_videos(model, config, [short], frames=36)
    if variant == "a2vis":  # the last frame again, until there is a clip
        indices = [*range(short.length), short.length - 1]
        longer = MemoryVideo(
            short.frames[indices], short.visible[:, indices], short.amodal[:, indices], short.class_ids
        )  # type: ignore[index]
        assert scores == validate_videos(model, config, [longer], frames=36)
        assert validate_videos(model, config, [moving_squares()], frames=1)
    else:
        assert scores == validate_videos(model, config, [short], frames=short.length)


@pytest.mark.parametrize("validate", [validate_frames, validate_videos])
def test_validation_leaves_broken_videos_out(
    validate: Callable[..., dict[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config()
    model = tiny_model(config)
    sound, broken = moving_squares(), dataclasses.replace(moving_squares(), broken=True)
    scores = validate(model, config, [broken, sound], frames=6)
    assert "validation: a video is skipped: video.mp4: frame 0: cannot be decoded" in capsys.readouterr().err
    assert scores == validate(model, config, [sound], frames=6)
    with pytest.raises(A2VISError, match=r"no video of --validation can be used \(video.mp4: .*check-data"):
        validate(model, config, [broken], frames=6)


# ---------------------------------------------------------------------------------------------------- processes


def run_python(code: str, *, processes: int) -> list[subprocess.CompletedProcess[str]]:
    """Run a program as several processes that `torchrun` could have started."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    path = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    shared = {**os.environ, "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    shared |= {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    results = []
    try:
        for process in started:
            out, errors = process.communicate(timeout=120)
            results.append(subprocess.CompletedProcess([], process.returncode, out, errors))
    finally:
        for process in started:
            process.kill()
    return results


def test_processes_train_the_same_network(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import torch
from test_training import CPU, Trainer
from a2vis_model.training.distributed import average_gradients, process_group, rank
with process_group(CPU):
    value, unused = torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True)
    if rank() == 0:
        (value * torch.tensor([1.0, 3.0])).sum().backward()
    else:
        unused.sum().backward()
    average_gradients([value, unused])
    trainer = Trainer(Path({str(tmp_path)!r}), steps=2)
    trainer.run()
    print(value.grad.tolist(), unused.grad.tolist(), sum(p.double().sum().item() for p in trainer.model.parameters()))
"""
    results = run_python(code, processes=2)
    assert [result.returncode for result in results] == [0, 0], results[0].stderr + results[1].stderr
    first, second = (result.stdout.strip().splitlines()[-1] for result in results)
    assert first == second
    assert first.startswith("[0.5, 1.5] [0.5]")
    assert Checkpoint.load(tmp_path / CHECKPOINT).step == 2


# ---------------------------------------------------------------------------------------------------- command


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset and a data set of two clips."""
    folder = tmp_path_factory.mktemp("files")
    values = {k: v for k, v in json.loads(json.dumps(config_to_dict(tiny_config()))).items() if k != "name"}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(values))
    for index in range(2):
        clip = render_clip(world="aquarium", seed=index, frames=6, height=HEIGHT, width=WIDTH)
        write_clip(clip, folder / "clips" / f"{index:05d}")
    return folder


def command(files: Path, output: Path, *options: str) -> int:
    required = ["--preset", str(files / "tiny.yaml"), "--data", str(files / "clips"), "--output", str(output)]
    small = ["--batch", "2", "--clips", "2", "--points", "64", "--workers", "0", "--device", "cpu"]
    return main(["train", *required, *small, *options])


def test_command_trains_both_stages(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame, video = tmp_path / "frame", tmp_path / "video"
    validation = ["--validation", str(files / "clips"), "--validation-frames", "6", "--validate-every", "2"]
    assert command(files, frame, "--stage", "frame", "--steps", "2", *validation) == 0
    start = ["--init", str(frame / LAST), "--warm-start"]
    assert command(files, video, "--stage", "video", "--steps", "2", *start, "--max-minutes", "0") == 3
    assert "continue with the same command with --resume" in capsys.readouterr().out
    again = ["--stage", "video", "--steps", "2", *start, "--resume"]
    assert command(files, video, *again, *validation) == 2
    assert "another validation, validation_frames" in capsys.readouterr().err
    shutil.rmtree(video)
    assert command(files, video, *again, *validation, "--max-minutes", "0") == 3
    elsewhere = shutil.copytree(files, tmp_path / "elsewhere")
    assert command(elsewhere, video, *again, *validation) == 0
    model, config = load_weights(video / LAST)
    assert config.name == "tiny"
    trained = load_weights(frame / LAST)[0].detector.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in model.detector.state_dict().items())
    assert (video / BEST).is_file()


def test_command_leaves_broken_videos_out_of_the_validation(
    files: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(files / "clips", tmp_path / "data")
    (data / "00000" / "video.mp4").write_bytes(b"broken")
    options = ["--stage", "frame", "--steps", "1", "--validation", str(data)]
    assert command(files, tmp_path / "run", *options) == 0
    assert (tmp_path / "run" / BEST).is_file()
    assert f"{data}/00000/video.mp4: video: cannot be read" in caplog.text
    (data / "00001" / "video.mp4").unlink()
    assert command(files, tmp_path / "other", *options) == 2
    assert f"--validation {data}: no video can be used; run 'a2vis check-data'" in capsys.readouterr().err


def test_command_refuses_data_without_the_networks_classes(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--stage", "frame", "--steps", "1"]
    assert command(files, tmp_path, *options, "--classes", "person,truck") == 2
    message = "clips: holds none of the network's classes person, truck; give --classes some of its own: "
    assert message in (error := capsys.readouterr().err)
    assert "FishA" in error
    assert command(files, tmp_path, *options, "--validation", "render:robot") == 2
    assert "render:robot: holds none of" in capsys.readouterr().err


def test_clips_may_hold_classes_that_they_do_not_declare(tmp_path: Path) -> None:
    clip = render_clip(world="robot", seed=0, frames=2, height=HEIGHT, width=WIDTH)
    write_clip(clip, tmp_path / "00000")
    name = clip.objects[0].class_name
    assert len(open_source(str(tmp_path), [name], frames=1, seed=0, gigabytes=0)) == 1
    with pytest.raises(A2VISError, match=f"classes SmallFishA; .*{name}"):
        open_source(str(tmp_path), ["SmallFishA"], frames=1, seed=0, gigabytes=0)


def test_command_renders_while_training(files: Path, tmp_path: Path) -> None:
    options = ["--stage", "joint", "--steps", "1", "--reach", "2", "--data", "render:aquarium=2", str(files / "clips")]
    assert command(files, tmp_path, *options, "--variant", "genvis-online") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "render:moon"], "choose one of render:aquarium"),
        (["--data", "/nowhere"], "/nowhere"),
        (["--data", "render:robot"], "render:robot: holds none of the network's classes SmallFishA, "),
        (["--data", "render:robot=-1"], "give a number above 0"),
        (["--data", "render:aquarium=inf"], "give a number above 0"),
        (["--steps", "0"], "steps=0; choose 1 or more"),
        (["--reach", "-1"], "reach=-1; choose 0 or more"),
        (["--seed", "-1"], "seed=-1; choose 0 or more"),
        (["--warmup", "-1"], "warmup=-1; choose 0 or more"),
        (["--backbone-factor", "-0.1"], "backbone_factor=-0.1; choose 0 or more"),
        (["--learning-rate", "nan"], "learning_rate=nan; choose a number above 0, such as 1e-4"),
        (["--learning-rate", "0"], "learning_rate=0.0; choose a number above 0"),
        (["--points", "0"], "points=0; choose 1 or more"),
        (["--workers", "-1"], "workers=-1; choose 0 or more"),
        (["--validate-every", "0"], "validate_every=0; choose 1 or more"),
        (["--validation-frames", "0"], "validation_frames=0; choose 1 or more"),
        (["--max-minutes", "nan"], "max_minutes=nan; choose 0 or more"),
        (["--checkpoint-minutes", "inf"], "checkpoint_minutes=inf; choose 0 or more"),
        (["--cache-gb", "-1"], "cache_gb=-1.0; choose 0 or more"),
        (["--init", "/nowhere.safetensors"], "/nowhere.safetensors"),
        (["--init", "/nowhere.pth"], "/nowhere.pth"),
        (["--device", "tpu"], "--device tpu: choose auto, cpu or cuda"),
    ],
)
def test_command_says_what_is_wrong(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert command(files, tmp_path / "run", "--stage", "frame", "--steps", "1", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / CHECKPOINT).exists()


# ---------------------------------------------------------------------------------------------------- learning


def occluded_clips(config: ModelConfig) -> list[RenderedVideo]:
    """Four rendered clips with two or more large fish, one of them at least a tenth and at most two thirds hidden."""
    clips: list[RenderedVideo] = []
    for seed in itertools.count(31):
        clip = render_clip(world="aquarium", seed=seed, frames=6, height=config.input_height, width=config.input_width)
        large = tuple(o for o in clip.objects if o.amodal_areas.min() > 500)
        hidden = [1 - o.visible_areas.sum() / o.amodal_areas.sum() for o in large]
        if len(large) >= 2 and 0.1 < max(hidden) < 0.67:
            clips.append(RenderedVideo(dataclasses.replace(clip, objects=large), config.classes))
        if len(clips) == 4:
            return clips
    raise AssertionError


@torch.no_grad()
def follow(model: VideoNetwork, config: ModelConfig, video: RenderedVideo) -> tuple[list[float], int]:
    """IoU of each object's best track with its amodal masks, and how often another track is better in a frame."""
    height, width = config.input_height, config.input_width
    sample = augment(
        video.load(range(video.length), seen_only=True),
        Augmentation.none(),
        height=height,
        width=width,
        rng=np.random.default_rng(0),
    )
    batch = Batch.collate([sample])
    state, masks = model.initial_state(), []
    for start in range(0, video.length, config.clip_length):
        images = batch.cut(slice(start, start + config.clip_length)).normalised()
        prediction, state = model.step(model.extract(images), state)
        assert prediction.amodal is not None
        masks.append(F.interpolate(prediction.amodal[0], size=(height, width), mode="bilinear") > 0)
    found = prediction.classes[0].argmax(-1) < len(config.classes)
    tracks, objects = torch.cat(masks)[:, found].float(), batch.masks("amodal")[0].float()
    overlap = torch.einsum("tqhw,tnhw->tqn", tracks, objects)
    union = tracks.sum(dim=(2, 3))[:, :, None] + objects.sum(dim=(2, 3))[:, None] - overlap
    iou, best = (overlap.sum(0) / union.sum(0)).max(dim=0)
    by_frame = (overlap / union.clamp(min=1)).argmax(dim=1)
    return iou.tolist(), int((by_frame != best).sum())


@pytest.mark.slow
def test_a_tiny_network_learns_four_clips_by_heart(tmp_path: Path) -> None:
    config = tiny_config(input_height=96, input_width=128, dim=48)
    config = dataclasses.replace(config, samh=dataclasses.replace(config.samh, residual=True))
    videos = occluded_clips(config)
    method = training(
        "joint",
        steps=520,
        losses=LossSettings(sampling=PointSampling(points=512)),
        optimiser=OptimiserSettings(learning_rate=2e-3, backbone_factor=1.0, schedule="cosine", warmup=20),
    )
    torch.manual_seed(0)
    model = build_model(config)
    data = dataset(
        method.frames_of(config),
        sources=[VideoList(videos)],
        height=config.input_height,
        width=config.input_width,
        augmentation=Augmentation.none(),
    )
    torch.set_flush_denormal(True)
    assert train(model, config, method, data, None, Run(output=tmp_path, device=CPU), origin={}, resume=False)
    model.eval()
    results = [follow(model, config, video) for video in videos]
    assert np.mean([iou for ious, _ in results for iou in ious]) > 0.9
    assert sum(switches for _, switches in results) == 0
