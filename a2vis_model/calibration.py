"""Calibration of class scores: a score of 0.8 is to say that four in five such slots show an object of that class.

A network learns on classes drawn in equal numbers and on pictures full of objects, and is too sure of what it sees
elsewhere. One scale for all logits and one shift for each class correct that (bias-corrected temperature scaling:
Alexandari, Kundaje and Shrikumar, ICML 2020), so that the probability of a class times the certainty of the mask is
what it says. They become part of the last layer of the classification head: the network, its speed and its engines stay
as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .errors import ConfigError
from .modeling import A2VIS, VideoNetwork

_PRIOR = 1e-3
"""Weight of the squared logarithm of the scale and of the squared shifts beside the mean negative log-likelihood.

So small that some hundred slots outweigh it; it decides for classes that are never seen, and which of the shifts that
differ by a constant is taken.
"""
_SURE = 1 - 1e-9
"""Largest probability of an object, so that one that is not there costs no infinite amount."""
_STEPS = 500
_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class SlotOutcomes:
    """What N slots said and what they showed, on one data set."""

    logits: NDArray[np.float32]
    """[N, K + 1] class logits, "no object" last."""
    certainty: NDArray[np.float32]
    """[N] of the masks, in [0, 1]; see `masks.certainty`."""
    shown: NDArray[np.int64]
    """[N] class of the object that the slot shows, K for none."""

    @classmethod
    def join(cls, parts: Sequence[SlotOutcomes], classes: int) -> SlotOutcomes:
        """Return the slots of all parts, of a network of K classes; without parts there is none."""
        nothing = cls(np.zeros((0, classes + 1), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        every = [nothing, *parts]
        return cls(
            np.concatenate([part.logits for part in every]),
            np.concatenate([part.certainty for part in every]),
            np.concatenate([part.shown for part in every]),
        )

    def scores(self) -> NDArray[np.float32]:
        """Return the scores [N] that tracks take: the probability of the most probable class, times the certainty."""
        best = torch.from_numpy(self.logits).softmax(dim=-1)[:, :-1].amax(dim=-1).numpy()
        return np.asarray(best * self.certainty, np.float32)


@dataclass(frozen=True)
class ScoreScaling:
    """Calibrated logits are `scale * logits + shifts`."""

    scale: float
    shifts: tuple[float, ...]
    """[K + 1] in logits, "no object" last."""

    def calibrated(self, outcomes: SlotOutcomes) -> SlotOutcomes:
        """Return the same slots with calibrated logits."""
        return replace(outcomes, logits=(self.scale * outcomes.logits + np.array(self.shifts)).astype(np.float32))


class ScoreBin(NamedTuple):
    """Slots whose scores are alike."""

    lowest: float
    highest: float
    """The scores lie between these two."""
    slots: int
    score: float
    """Mean score."""
    right: float
    """Share of the slots that show an object of their class."""


def fit_scaling(data: Sequence[SlotOutcomes]) -> ScoreScaling:
    """Find the scaling with the greatest likelihood; each data set counts the same, whatever its size.

    Raises:
        ConfigError: none of the slots shows an object, or all do.
    """
    nothing = data[0].logits.shape[1] - 1
    every = SlotOutcomes.join(data, nothing)
    logits, shown = torch.from_numpy(every.logits).double(), torch.from_numpy(every.shown)
    certainty = torch.from_numpy(every.certainty).double()
    empty = int((shown == nothing).sum())
    if empty in (0, len(shown)):
        raise ConfigError(
            f"of {len(shown)} slots with a mask {len(shown) - empty} show an object; calibration needs both kinds: "
            "give data with objects of the network's classes, which it was not trained on"
        )
    weight = torch.cat([torch.full((len(part.shown),), 1 / len(part.shown)) for part in data if len(part.shown)])
    weight = weight.double() / weight.sum()
    log_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    shifts = torch.zeros(nothing + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_scale, shifts], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        chances = F.log_softmax(log_scale.exp() * logits + shifts, dim=-1)
        # A mask that is not certain shows nothing of any class.
        objects = certainty * -torch.expm1(chances[:, nothing])
        right = chances.gather(1, shown[:, None])[:, 0]
        each = -torch.where(shown == nothing, torch.log1p(-objects.clamp(max=_SURE)), right)
        total = (weight * each).sum() + _PRIOR * (log_scale.square() + shifts.square().sum())
        total.backward()
        return total

    optimiser.step(loss)
    return ScoreScaling(float(log_scale.detach().exp()), tuple(shifts.tolist()))


def matching_threshold(data: Sequence[SlotOutcomes], scaling: ScoreScaling, threshold: float) -> float:
    """Return the calibrated score that as many slots reach as reached an uncalibrated one, rounded to 0.01.

    So tracks start and continue as often as before. Each data set counts the same.
    """
    filled = [part for part in data if len(part.shown)]
    weight = np.concatenate([np.full(len(part.shown), 1 / len(part.shown)) for part in filled])
    before = np.concatenate([part.scores() for part in filled])
    after = np.concatenate([scaling.calibrated(part).scores() for part in filled])
    order = np.argsort(-after)
    passed = weight[before >= threshold].sum()
    last = min(int(np.searchsorted(weight[order].cumsum(), passed - 1e-9)), len(order) - 1)
    return round(float(after[order[last]]), 2)


def classifier_of(model: VideoNetwork) -> nn.Linear:
    """Return the layer that a scaling becomes part of, the last of the classification head of tracks.

    Raises:
        ConfigError: the network has none.
    """
    if not isinstance(model, A2VIS):
        raise ConfigError("of the networks, A2VIS alone has a classification head of tracks, which is calibrated")
    return model.class_head.classify


@torch.no_grad()
def apply_scaling(model: VideoNetwork, scaling: ScoreScaling) -> None:
    """Put a scaling into the classification head of a network's tracks, in place.

    Raises:
        ConfigError: see `classifier_of`.
    """
    last = classifier_of(model)
    last.weight.mul_(scaling.scale)
    last.bias.mul_(scaling.scale).add_(last.bias.new_tensor(scaling.shifts))


def reliability(outcomes: SlotOutcomes) -> list[ScoreBin]:
    """Compare scores with outcomes, in bins of a tenth; bins without a slot are left out."""
    scores, right = outcomes.scores(), outcomes.logits[:, :-1].argmax(axis=-1) == outcomes.shown
    bins = []
    for lowest, highest in pairwise(_EDGES):
        chosen = (scores >= lowest) & ((scores < highest) | (highest == 1))
        if chosen.any():
            mean, share = float(scores[chosen].mean()), float(right[chosen].mean())
            bins.append(ScoreBin(lowest, highest, int(chosen.sum()), mean, share))
    return bins


def calibration_error(bins: Sequence[ScoreBin]) -> float:
    """Return the mean distance between score and share of right slots (ECE), weighted by the slots of the bins."""
    slots = sum(one.slots for one in bins)
    return sum(one.slots * abs(one.score - one.right) for one in bins) / max(slots, 1)
