"""What is not known of a photograph is not learned."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model
from training_runs import (
    CPU,
    FEW_POINTS,
    HEIGHT,
    WIDTH,
    MemoryVideo,
    files,
    moving_squares,
    training,
)

from a2vis_model.modeling import SetPrediction, TrackPrediction
from a2vis_model.training import (
    Augmentation,
    Batch,
    LossSettings,
    PointSampling,
    Targets,
    augment,
    make_objective,
    objectives,
    validate_frames,
    validate_videos,
)
from a2vis_model.training import losses as loss_functions
from a2vis_model.training.losses import class_loss, mask_losses, uncertain_points
from a2vis_model.training.matching import mask_costs
from a2vis_model.training.objectives import set_cost, set_losses, track_cost, track_losses
from a2vis_model.training.validation import MaskTubes, PanopticQuality

__all__ = ["files"]  # a fixture


def photograph() -> MemoryVideo:
    """One frame in which a red square hides a part of a blue one; how much of the blue one is not known."""
    video = moving_squares()
    shown = slice(5, 6)
    return MemoryVideo(video.frames[shown], video.visible[:, shown], None, video.class_ids)


def sequences(videos: Sequence[MemoryVideo], frames: int, labelled: Sequence[bool] | None = None) -> Batch:
    """The same video repeated to so many frames, or as many of its own."""
    samples = []
    for video in videos:
        indices = np.minimum(np.arange(frames), video.length - 1).tolist()
        sample = video.load(indices, seen_only=True)
        if video.amodal is None and labelled is not None:
            sample = dataclasses.replace(sample, labelled=np.array(labelled))
        rng = np.random.default_rng(0)
        samples.append(augment(sample, Augmentation.none(), height=HEIGHT, width=WIDTH, rng=rng))
    return Batch.collate(samples)


def test_amodal_masks_of_a_photograph_are_known_but_where_others_are_seen() -> None:
    batch = sequences([photograph(), moving_squares()], 1)
    targets = batch.targets("amodal")
    assert batch.amodal_known.tolist() == [False, True]
    assert targets.unknown is not None
    seen = batch.masks("visible").any(dim=2)
    assert torch.equal(targets.unknown[0], seen[0])
    assert not targets.unknown[1].any()
    known = targets.known_cells()
    assert known is not None
    cells = torch.nn.functional.avg_pool2d(seen[0].float(), 4).flatten()
    assert torch.allclose(known[0, 0, 0], 1 - (cells - targets.cells[0, 0, 0]).clamp(min=0))
    assert torch.equal(known[1], torch.ones_like(known[1]))
    assert batch.targets("visible").unknown is None
    assert sequences([moving_squares()], 1).targets("amodal").unknown is None
    halves = sequences([photograph()], 4).targets("amodal").split(2)
    assert halves.unknown is not None
    assert halves.unknown.shape == (2, 2, HEIGHT, WIDTH)


def test_unknown_pixels_have_no_gradient_in_mask_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points lie at the centres of all cells, so that each belongs to one logit."""
    y, x = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    points = torch.stack(((x + 0.5) / 6, (y + 0.5) / 4), dim=-1).view(1, 1, 24, 2).float()
    monkeypatch.setattr(loss_functions, "uncertain_points", lambda *_: points)
    pixels = torch.zeros(1, 1, 2, 16, 24, dtype=torch.bool)
    pixels[0, 0, 0, :8, :12], pixels[0, 0, 1, :8, 12:] = True, True
    unknown = pixels.any(dim=2)
    logits = torch.randn(1, 1, 4, 6, requires_grad=True)
    args = (pixels, torch.tensor([0]), torch.tensor([0]), torch.tensor([1.0]), PointSampling())
    cross_entropy, dice = mask_losses(logits, *args, unknown)
    own, other = torch.zeros(4, 6, dtype=torch.bool), torch.zeros(4, 6, dtype=torch.bool)
    own[:2, :3], other[:2, 3:] = True, True
    for loss in (cross_entropy, dice):
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert not gradient[0, 0][other].any()
        assert (gradient[0, 0][own] < 0).all()  # inside its own visible mask it is 1
        assert (gradient[0, 0][~own & ~other] > 0).all()  # elsewhere 0
    x, t = logits[0, 0][~other].detach(), own[~other].float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(x, t)
    assert cross_entropy.item() == pytest.approx(expected.item(), rel=1e-5)
    p = x.sigmoid()
    assert dice.item() == pytest.approx((1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)).item(), rel=1e-5)
    assert mask_losses(logits, *args)[0] != cross_entropy


def test_points_do_not_gather_where_nothing_is_known() -> None:
    torch.manual_seed(0)
    logits = torch.full((1, 1, 8, 16), 9.0)
    logits[..., 8:] = 0.0  # uncertain, and unknown
    points = uncertain_points(logits, PointSampling(points=200), lambda points: (points[..., 0] < 0.5).float())
    assert (points[..., 0] < 0.5).sum() >= 150


def test_matching_costs_are_those_of_the_known_places() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(1, 3, 40), (torch.rand(1, 2, 40) > 0.5).float()
    known = torch.maximum((torch.rand(1, 2, 40) > 0.4).float(), targets)
    costs = mask_costs(logits, targets, known)
    for n in range(2):
        there = known[0, n] > 0
        expected = mask_costs(logits[..., there], targets[:, n : n + 1, there])
        for cost, plain in zip(costs, expected, strict=True):
            assert torch.allclose(cost[..., n : n + 1], plain, atol=1e-5)


def test_a_class_that_a_picture_does_not_label_is_no_mistake() -> None:
    """Two pictures with a slot each that has no object; the second does not label the second of three classes."""
    logits = torch.randn(1, 2, 1, 4, requires_grad=True)
    labels, labelled = torch.full((1, 2, 1), 3), torch.tensor([[True, True, True], [True, False, True]])
    loss = class_loss(logits, labels, 1, 0.1, labelled)
    probability = logits[0, :, 0].softmax(-1)
    expected = -(probability[0, 3].log() + (probability[1, 1] + probability[1, 3]).log()) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[0, 0, 0, :3] > 0).all()
    assert gradient[0, 1, 0, 1] <= 0
    assert (gradient[0, 1, 0, [0, 2]] > 0).all()
    sure = torch.tensor([[[[0.0, 0, 0, 30]], [[0.0, 30, 0, 0]]]])
    assert class_loss(sure, labels, 1, 0.1, labelled) < 1e-6
    matched = class_loss(sure, torch.tensor([[[3], [0]]]), 1, 0.1, labelled)  # an object of the first class is there
    assert matched > 10


def test_losses_of_slots_leave_the_unknown_alone() -> None:
    """The network draws the hidden object all over the one that hides it, and finds an unlabelled one besides."""
    batch = sequences([photograph()], 2, [False, True, True, True, True])
    targets, amodal = batch.targets("visible"), batch.targets("amodal")
    torch.manual_seed(0)
    masks = torch.randn(1, 2, 4, HEIGHT // 4, WIDTH // 4)
    wide = masks.clone()
    hidden = batch.masks("visible")[0, 0, 0]
    inner = torch.nn.functional.avg_pool2d(hidden[None].float(), 4)[0] == 1
    inner = torch.nn.functional.avg_pool2d(inner[None].float(), 3, 1, 1)[0] == 1  # and all around it
    assert inner.sum() > 8
    wide[:, :, 1, inner] = 9.0
    classes = torch.zeros(1, 4, 6)
    claims = classes.clone()
    claims[:, 3, 0] = 9.0
    slots = np.array([[[0, 1]]])

    def losses(classes: torch.Tensor, masks: torch.Tensor) -> dict[str, float]:
        torch.manual_seed(0)
        tracks = TrackPrediction(classes, torch.zeros_like(masks), [masks])
        settings = LossSettings(sampling=PointSampling(points=4000, importance=0.0, oversample=1.0))
        found = track_losses(tracks, targets, amodal, slots, 1, settings)
        return {name: value.item() for name, value in found.items()}

    plain, drawn = losses(classes, masks), losses(claims, wide)
    assert drawn["amodal_mask"] == pytest.approx(plain["amodal_mask"], rel=1e-6)
    assert drawn["amodal_dice"] == pytest.approx(plain["amodal_dice"], rel=1e-6)
    assert drawn["class"] < plain["class"]
    other = claims.roll(1, dims=2)  # the next class is labelled
    assert losses(other, masks)["class"] > plain["class"]
    costs = [
        track_cost(TrackPrediction(classes, masks, [m]), targets, amodal, np.array([0]), FEW_POINTS)
        for m in (masks, wide)
    ]
    assert torch.allclose(costs[0][0, 1, 1], costs[1][0, 1, 1], atol=1e-5)
    assert not torch.allclose(costs[0][0, 1, 0], costs[1][0, 1, 0], atol=1e-3)


def test_detectors_of_amodal_masks_leave_the_unknown_alone() -> None:
    batch = sequences([photograph()], 1, [False, True, True, True, True])
    targets = batch.targets("amodal")
    cells = targets.cells[0, 0].view(2, HEIGHT // 4, WIDTH // 4)
    # One feature is the object that hides, the other constant: embeddings draw one, both, or nothing.
    features = torch.stack((20.0 * cells[0], torch.full_like(cells[0], -10.0)))[None, None]
    embeddings = torch.zeros(1, 1, 3, 2)
    embeddings[..., 1] = 1.0
    drawn = embeddings.clone()
    drawn[0, 0, 1, 0] = 1.0
    costs = [
        set_cost(SetPrediction(torch.zeros(1, 1, 3, 6), e, features), targets, FEW_POINTS)[0, 0, 1]
        for e in (embeddings, drawn)
    ]
    assert abs(costs[0][1] - costs[1][1]) < 0.1 * abs(costs[0][0] - costs[1][0])
    assignment = np.array([[[0, 1]]])
    values = []
    for e in (embeddings, drawn):
        torch.manual_seed(0)
        found = set_losses(
            "frame", SetPrediction(torch.zeros(1, 1, 3, 6), e, features), targets, assignment, 1, FEW_POINTS
        )
        values.append(found["frame_mask"].item())
    assert values[1] == pytest.approx(values[0], rel=0.1)


@pytest.mark.parametrize(
    ("variant", "stage"),
    [("a2vis", "frame"), ("a2vis", "video"), ("a2vis", "joint"), ("minvis-amodal", "frame"), ("vita-amodal", "video")],
)
def test_photographs_and_clips_train_together(monkeypatch: pytest.MonkeyPatch, variant: str, stage: str) -> None:
    """All losses of a step are told what is known."""
    told: dict[str, list[Targets]] = {"class": [], "mask": []}

    def listen(kind: str, function: Callable[..., Any], place: int) -> Callable[..., Any]:
        return lambda *args: (told[kind].append(args[place]), function(*args))[1]

    monkeypatch.setattr(objectives, "_class_loss", listen("class", objectives._class_loss, 1))
    monkeypatch.setattr(objectives, "_mask_losses", listen("mask", objectives._mask_losses, 2))
    model_config = tiny_config(variant)
    model = tiny_model(model_config)
    config = training(stage)
    labelled = [True, False, False, True, True]
    batch = sequences([photograph(), moving_squares()], config.frames_of(model_config), labelled)
    losses = make_objective(model, model_config, config, CPU)(batch)
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()  # type: ignore[union-attr]
    for targets in told["class"]:
        assert targets.labelled is not None
        half = len(targets.labelled) // 2
        assert targets.labelled[:half].tolist() == [labelled] * half
        assert targets.labelled[half:].all()
    amodal = [targets for targets in told["mask"] if targets.unknown is not None]
    assert len(amodal) == sum(name.endswith("_mask") for name in losses if "amodal" in (variant + name))
    for targets in amodal:
        assert targets.unknown is not None
        assert targets.unknown.shape == (*targets.pixels.shape[:2], HEIGHT, WIDTH)
        half = len(targets.unknown) // 2
        assert targets.unknown[:half].any()
        assert not targets.unknown[half:].any()


def test_validation_counts_what_is_known() -> None:
    covered, known = torch.zeros(1, 2, 8), torch.ones(1, 2, 8)
    covered[0, 0, :2] = covered[0, 1, 2:4] = 1
    known[0, 0, 2:4] = 0  # the second object hides what the first may have there
    logits = torch.full((1, 3, 1, 8), -1.0)
    logits[0, 0, 0, :4] = logits[0, 1, 0, 2:4] = logits[0, 2, 0, 6:] = 1
    tubes = MaskTubes()
    tubes.add(logits, covered, known)
    quality = PanopticQuality()
    labelled = np.array([True, False])
    quality.add(tubes, np.array([0, 0, 1]), np.array([0, 0]), labelled)
    assert quality.value == 1.0
    quality.add(tubes, np.array([0, 1, 0]), np.array([0, 1]), labelled)  # a false positive of a labelled class
    assert quality.value == pytest.approx(4 / 4.5)
    for variant in ("a2vis", "minvis-amodal"):
        config = tiny_config(variant)
        validate = validate_videos if variant == "a2vis" else validate_frames
        assert "amodal" in validate(tiny_model(config), config, [photograph()], frames=3)
