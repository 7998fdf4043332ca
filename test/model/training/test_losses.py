"""The losses against plain references."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from training_runs import FEW_POINTS

from a2vis_model.modeling import SetPrediction, TrackPrediction
from a2vis_model.training import (
    LossSettings,
    PointSampling,
    Targets,
)
from a2vis_model.training import losses as loss_functions
from a2vis_model.training.matching import NONE, class_cost, mask_costs
from a2vis_model.training.objectives import set_cost, set_losses, track_losses


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
