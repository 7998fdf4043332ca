"""Matching of predictions and objects: costs, Hungarian matching, ownership of slots (paper 3.8, Eq. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

NONE = -1
"""Slot index of an object that no slot is matched with."""

_LARGE = 1e6


def class_cost(logits: Tensor, classes: Tensor) -> Tensor:
    """Cost of classes, minus the probability: logits [..., I, Q, K + 1], classes [I, n] → [..., I, Q, n]."""
    probability = logits.float().softmax(dim=-1)
    index = classes.unsqueeze(1).expand(*logits.shape[:-1], classes.shape[-1])
    return -probability.gather(-1, index)


def mask_costs(logits: Tensor, targets: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean binary cross-entropy and dice loss of every prediction against every object, where the object is known.

    Args:
        logits: logits [I, Q, P] at P places.
        targets: targets [I, n, P] in [0, 1] at the same places.
        known: share [I, n, P] of each place that counts, at least its target; None for all of it.

    Returns:
        The two costs, each [I, Q, n].
    """
    logits, targets = logits.float(), targets.float().transpose(1, 2)
    # -t·log σ(x) - (1 - t)·log(1 - σ(x)) = softplus(x) - t·x, so that pairs cost one matrix product.
    absent, probability = F.softplus(logits), logits.sigmoid()
    if known is None:
        places: Tensor | int = logits.shape[-1]
        absent, area = absent.sum(dim=-1, keepdim=True), probability.sum(dim=-1, keepdim=True)
    else:
        counted = known.float().transpose(1, 2)
        places = counted.sum(dim=1, keepdim=True).clamp(min=1)
        absent, area = absent @ counted, probability @ counted
    cross_entropy = (absent - logits @ targets) / places
    total = area + targets.sum(dim=1, keepdim=True)
    return cross_entropy, 1 - (2 * probability @ targets + 1) / (total + 1)


def to_host(costs: Sequence[Tensor]) -> list[NDArray[np.float32]]:
    """Copy tensors of any shapes to the CPU in one transfer, so that each step waits for the device only once."""
    flat = torch.cat([cost.detach().float().flatten() for cost in costs]).cpu().numpy()
    parts = np.split(flat, np.cumsum([cost.numel() for cost in costs])[:-1])
    return [part.reshape(cost.shape) for part, cost in zip(parts, costs, strict=True)]


def assign(
    cost: NDArray[np.float32], wanted: NDArray[np.bool_], taken: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Find the cheapest one-to-one assignment of slots to objects.

    Args:
        cost: costs [..., Q, n].
        wanted: the objects to assign, bool [..., n].
        taken: slots that are not available, bool [..., Q].

    Returns:
        int64 [..., n], the slot of each object; `NONE` for those not wanted or, with too few slots, left over.
    """
    slots = np.full(wanted.shape, NONE, np.int64)
    # A NaN shows in the loss, where it is caught and reported; the solver would only refuse it.
    cost = np.nan_to_num(cost, nan=_LARGE, posinf=_LARGE, neginf=-_LARGE)
    for index in np.ndindex(*wanted.shape[:-1]):
        columns = np.flatnonzero(wanted[index])
        if len(columns):
            rows = np.arange(cost.shape[-2]) if taken is None else np.flatnonzero(~taken[index])
            row, column = linear_sum_assignment(cost[index][np.ix_(rows, columns)])
            slots[index][columns[column]] = rows[row]
    return slots


@dataclass(frozen=True)
class Ownership:
    """Unified label assignment: a slot belongs to one object from its first visible clip on, even while it is hidden.

    This is the state to pass from clip to clip. GenVIS, which introduced the scheme, frees the slots of objects that
    are hidden in the present clip; a new object may take such a slot, and then two objects share it. Here nothing frees
    a slot before the sequence ends.
    """

    slots: NDArray[np.int64]
    """Slot of each object, [..., n]; `NONE` before it is first visible."""
    count: int
    """Number of slots, Q."""

    @classmethod
    def start(cls, shape: Sequence[int], count: int) -> Ownership:
        """Start with free slots; `shape` is that of the objects, [..., n]."""
        return cls(np.full(shape, NONE, np.int64), count)

    @property
    def taken(self) -> NDArray[np.bool_]:
        """Return which slots have an owner, bool [..., Q]."""
        return (self.slots[..., None] == np.arange(self.count)).any(axis=-2)

    def claim(self, cost: NDArray[np.float32], new: NDArray[np.bool_]) -> Ownership:
        """Give free slots to the objects that are visible for the first time.

        Args:
            cost: costs [..., Q, n] in the present clip.
            new: the objects that are visible for the first time, bool [..., n].
        """
        claimed = assign(cost, new & (self.slots == NONE), self.taken)
        return Ownership(np.where(claimed == NONE, self.slots, claimed), self.count)


def own(cost: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Follow ownership through the clips of sequences.

    Args:
        cost: costs [L, B · clips, Q, n] in L decoder layers, each with owners of its own.
        present: whether the object is visible in the clip, bool [B, clips, n].

    Returns:
        int64 [L, B · clips, n], the slot of each object at the end of each clip.
    """
    batch, clips, count = present.shape
    cost = cost.reshape(len(cost), batch, clips, -1, count)
    new = newcomers(present)
    owners = Ownership.start((len(cost), batch, count), cost.shape[-2])
    history = []
    for k in range(clips):
        owners = owners.claim(cost[:, :, k], np.broadcast_to(new[:, k], owners.slots.shape))
        history.append(owners.slots)
    return np.stack(history, axis=2).reshape(len(cost), batch * clips, count)


def newcomers(present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the clip in which each object is first visible: bool [B, clips, n] of being visible → the same shape."""
    seen = np.logical_or.accumulate(present, axis=1)
    before = np.zeros_like(seen)
    before[:, 1:] = seen[:, :-1]
    return present & ~before
