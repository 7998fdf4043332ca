"""Which slot answers for which object."""

import itertools

import numpy as np
import pytest
import torch

from a2vis_model.training.matching import NONE, Ownership, assign, class_cost, mask_costs, newcomers, own, to_host


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
