"""Training objectives: the loss of the frame stage and of the video stage (paper 3.8, 4.2)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..modeling import (
    DetectorOutput,
    InstancePrototypes,
    Prototypes,
    SetPrediction,
    TrackPrediction,
    Unrolled,
    VideoNetwork,
    freeze,
)
from ..modeling.layers import mask_product
from .batch import Batch, MaskKind, Targets
from .distributed import mean_over_processes
from .losses import HiddenParts, PointSampling, class_loss, mask_losses, similarity_loss
from .matching import NONE, assign, class_cost, mask_costs, newcomers, own, to_host

Losses = dict[str, Tensor]
Autocast = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class LossSettings:
    """Weights and sampling of the losses; costs of matching have the same weights."""

    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    similarity_weight: float = 0.5
    auxiliary_weight: float = 0.3
    """Weight of what A2VIS is supervised by besides its answer.

    These are the clips' own prototypes and the amodal masks before each layer of SAMH.
    """
    no_object: float = 0.1
    sampling: PointSampling = field(default_factory=PointSampling)
    matched_cells: int = 12544
    """Number of cells of a mask that matching compares; all, where a mask has no more."""


class Seen(NamedTuple):
    """What a frozen detector sees in the frames of a batch, for networks that share it."""

    output: DetectorOutput
    """Its output for B · F frames."""
    frames: SetPrediction
    """Its predictions for single frames, of the last layer."""
    slots: NDArray[np.int64]
    """Its query of each object, [B · F, n]."""


class FrameObjective:
    """Mask2Former's loss on single frames, in every decoder layer.

    Args:
        model: the network whose detector is trained.
        kind: kind of masks to learn.
        settings: weights and sampling.
        autocast: makes the context in which the network runs.
    """

    def __init__(self, model: VideoNetwork, kind: MaskKind, settings: LossSettings, autocast: Autocast) -> None:
        self.model, self.kind, self.settings, self.autocast = model, kind, settings, autocast

    def __call__(self, batch: Batch) -> Losses:
        """Compute the weighted losses of a batch by name; their sum is minimised."""
        with self.autocast():
            detector = self.model.detector
            prediction = detector.supervised(detector(batch.normalised().flatten(0, 1)))
        targets = batch.targets(self.kind).split(1)
        (cost,) = to_host([set_cost(prediction, targets, self.settings)])
        assignment = assign(cost, _in_all_layers(targets.present[:, 0], cost))
        return set_losses("frame", prediction, targets, assignment, 1, self.settings)


class VideoObjective:
    """The loss of sequences of clips, summed over the clips and carried back through the state between them.

    A2VIS: classes, visible masks and the amodal masks of all SAMH layers, from slots owned from an object's first
    visible clip on; beside it VITA's loss on the clips' own prototypes. GenVIS: VITA's loss with owned slots.
    VITA and Mask2Former-VIS: the loss of the one clip. Variants with one kind of masks take that for both roles.

    Args:
        model: the network.
        kind: the masks that single frames and clips are matched and supervised by.
        clips: clips of a sequence.
        train_detector: train the detector too, by the frame stage's loss on every frame. If not, its weights are those
            that it has now, whatever the model's become.
        dwell: most times, drawn at random, that a clip is run again before the next.
        settings: weights and sampling.
        autocast: makes the context in which the network runs.
    """

    def __init__(
        self,
        model: VideoNetwork,
        kind: MaskKind,
        clips: int,
        settings: LossSettings,
        autocast: Autocast,
        *,
        train_detector: bool,
        dwell: int = 0,
    ) -> None:
        self.model, self.kind, self.clips, self.settings, self.autocast = model, kind, clips, settings, autocast
        self.train_detector, self.dwell = train_detector, dwell
        # With norms folded and activations in place it takes four fifths of the time.
        self.detector = model.detector if train_detector else freeze(copy.deepcopy(model.detector))

    def see(self, batch: Batch, output: DetectorOutput) -> Seen:
        """Return what the frozen detector, whose output for a batch is given, sees in single frames."""
        with torch.no_grad(), self.autocast():
            frames = self.detector.supervised(output, last_only=True)
        images = batch.targets(self.kind).split(1)
        (cost,) = to_host([set_cost(frames, images, self.settings)])
        return Seen(output, frames, assign(cost, _in_all_layers(images.present[:, 0], cost))[-1])

    def __call__(self, batch: Batch, seen: Seen | None = None) -> Losses:
        """Compute the weighted losses of a batch by name; their sum is minimised.

        Args:
            batch: B sequences of F frames.
            seen: what the frozen detector sees in the B · F frames, for networks that share one; None to run it.
        """
        with self.autocast():
            frames, unrolled = self._predict(batch, seen)
        sequences = batch.targets(self.kind)
        length = sequences.pixels.shape[1] // self.clips
        clips, images = sequences.split(length), sequences.split(1)
        present = np.asarray(clips.present.any(axis=1))
        by_clip = present.reshape(-1, self.clips, present.shape[-1])
        amodal = batch.targets("amodal").split(length)

        # All costs are computed first and copied to the host in one transfer; matching takes place there. Clips'
        # prototypes that go on from tracks have the tracks' owners, whatever it would cost.
        costs: dict[str, Tensor] = {}
        if unrolled.owners != "tracks":
            costs["clips"] = set_cost(unrolled.clips, clips, self.settings)
        if frames is not None and seen is None:
            costs["frames"] = set_cost(frames, images, self.settings)
        arrivals = np.flatnonzero(newcomers(by_clip).any(axis=2))
        if unrolled.tracks is not None:
            costs["tracks"] = track_cost(unrolled.tracks, clips, amodal, arrivals, self.settings)
        hosted = dict(zip(costs, to_host(list(costs.values())), strict=True))

        losses: Losses = {}
        if unrolled.tracks is not None:
            cost = np.zeros((len(present), *hosted["tracks"].shape[1:]), np.float32)
            cost[arrivals] = hosted["tracks"]
            owned = own(cost[None], by_clip)
            losses |= track_losses(unrolled.tracks, clips, amodal, owned, self.clips, self.settings)
        # Prototypes that go on from the last clip's answer for the same objects. As in GenVIS the slot of a hidden
        # object says "no object"; unlike there, it stays the object's.
        if unrolled.owners == "clips":
            clip_slots = np.where(present, own(hosted["clips"], by_clip), NONE)
        elif unrolled.owners == "tracks":
            clip_slots = np.where(present, np.broadcast_to(owned, (len(unrolled.clips.classes), *present.shape)), NONE)
        else:
            clip_slots = assign(hosted["clips"], _in_all_layers(present, hosted["clips"]))
        weight = 1.0 if unrolled.tracks is None else self.settings.auxiliary_weight
        clip_losses = set_losses("clip", unrolled.clips, clips, clip_slots, self.clips, self.settings)
        losses |= {name: weight * loss for name, loss in clip_losses.items()}
        if frames is not None:
            if seen is None:
                frame_slots = assign(hosted["frames"], _in_all_layers(images.present[:, 0], hosted["frames"]))
            else:
                frame_slots = seen.slots[None]
            if self.train_detector:
                losses |= set_losses("frame", frames, images, frame_slots, 1, self.settings)
            if unrolled.prototypes is not None:
                by_frame = frame_slots[-1].reshape(clips.present.shape)
                losses["similarity"] = self._similarity(unrolled.prototypes, by_frame, clip_slots[-1])
        return losses

    def _predict(self, batch: Batch, seen: Seen | None) -> tuple[SetPrediction | None, Unrolled]:
        """Run the detector on single frames (None where nothing needs it) and the network on clips."""
        if not self.model.frame_queries:
            return None, self.model.unroll(self.model.extract(batch.normalised()), self.clips)
        dwell = [*torch.randint(self.dwell + 1, (self.clips - 1,)).tolist(), 0] if self.dwell else []
        if seen is not None:
            output, frames = seen.output, seen.frames
        else:
            detector = self.detector
            with torch.set_grad_enabled(self.train_detector and torch.is_grad_enabled()):
                output = detector(batch.normalised().flatten(0, 1))
                frames = detector.supervised(output, last_only=not self.train_detector)
        return frames, self.model.unroll(self.model.frame_features(output, len(batch.images)), self.clips, dwell)

    def _similarity(self, prototypes: Prototypes, by_frame: NDArray[np.int64], by_clip: NDArray[np.int64]) -> Tensor:
        """Compute the loss that pulls an object's tokens [I, T, fQ, C] and its clip prototype together.

        Args:
            prototypes: prototypes of I clips.
            by_frame: token of each object in each frame, [I, T, n].
            by_clip: prototype of each object, [I, n].
        """
        heads = self.model.get_submodule("prototypes")
        assert isinstance(heads, InstancePrototypes)
        with self.autocast():
            tokens, slots = heads.frame_similarity(prototypes.tokens), heads.clip_similarity(prototypes.layers[-1])
        chosen = np.concatenate((by_frame, by_clip[:, None]), axis=1)
        index = torch.as_tensor(chosen.clip(min=0), device=tokens.device).unsqueeze(-1)
        index = index.expand(-1, -1, -1, tokens.shape[-1])
        embeddings = torch.cat((tokens.gather(2, index[:, :-1]), slots.unsqueeze(1).gather(2, index[:, -1:])), dim=1)
        identities = np.where(chosen == NONE, NONE, np.arange(chosen.shape[-1]))
        loss = similarity_loss(
            embeddings.flatten(1, 2), torch.as_tensor(identities, device=tokens.device).flatten(1), self.clips
        )
        return self.settings.similarity_weight * loss


class Pairs(NamedTuple):
    """R matched pairs: tensors [R]."""

    layer: Tensor
    item: Tensor
    slot: Tensor
    instance: Tensor
    weight: Tensor
    """Weight of a pair: one over the number of pairs of its layer and group, averaged over processes."""


def set_cost(prediction: SetPrediction, targets: Targets, settings: LossSettings) -> Tensor:
    """Compute the cost of matching in every layer, [L, I, Q, n]."""
    with torch.no_grad():
        classes = torch.as_tensor(targets.classes, device=prediction.classes.device)
        covered, known, cells = _cells(targets, slice(None), settings)
        features = prediction.features.flatten(3)[..., cells].transpose(1, 2).flatten(2)
        costs = []
        # Layers are handled one by one, because the logits of all of them at once are large.
        for logits, embeddings in zip(prediction.classes, prediction.embeddings, strict=True):
            masks = mask_costs(embeddings @ features.to(embeddings), covered, known)
            costs.append(_weigh(settings, class_cost(logits, classes), masks))
        return torch.stack(costs)


def track_cost(
    tracks: TrackPrediction,
    targets: Targets,
    amodal: Targets,
    items: NDArray[np.int64],
    settings: LossSettings,
) -> Tensor:
    """Compute the cost of matching by visible and amodal masks (Eq. 3) in some items: [len(items), Q, n]."""
    with torch.no_grad():
        index = torch.as_tensor(items, device=tracks.classes.device)
        classes = torch.as_tensor(targets.classes[items], device=tracks.classes.device)
        cost = class_cost(tracks.classes[index], classes)
        kinds = [(tracks.visible, targets)] + [(masks, amodal) for masks in tracks.amodal[-1:]]
        masks: list[Tensor] = []
        for logits, wanted in kinds:
            covered, known, cells = _cells(wanted, items, settings)
            masks += mask_costs(logits[index].flatten(3)[..., cells].transpose(1, 2).flatten(2), covered, known)
        return _weigh(settings, cost, masks)


def set_losses(
    name: str,
    prediction: SetPrediction,
    targets: Targets,
    assignment: NDArray[np.int64],
    groups: int,
    settings: LossSettings,
) -> Losses:
    """Compute the losses of all layers, summed; assignment [L, I, n] is the slot of each object."""
    pairs = _pairs(assignment, groups, prediction.classes.device)
    count = assignment.shape[-1]
    # Only matched masks are computed: an item's objects of all layers side by side, with zeros for unmatched ones.
    chosen = prediction.embeddings[pairs.layer, pairs.item, pairs.slot]
    column = pairs.layer * count + pairs.instance
    padded = chosen.new_zeros(len(targets.classes), len(assignment) * count, chosen.shape[-1])
    padded = padded.index_put((pairs.item, column), chosen)
    logits = mask_product(padded, prediction.features.to(chosen.dtype))[pairs.item, :, column]
    return {
        f"{name}_class": _class_loss(prediction.classes, targets, assignment, groups, settings),
        **_mask_losses(name, logits, targets, pairs, settings),
    }


def track_losses(
    tracks: TrackPrediction,
    targets: Targets,
    amodal: Targets,
    owned: NDArray[np.int64],
    groups: int,
    settings: LossSettings,
) -> Losses:
    """Compute the losses of the slots that have owners, hidden or not; owned is [1, I, n].

    A hidden object keeps its class; its visible mask should be empty and its amodal mask should remain.
    """
    pairs = _pairs(owned, groups, tracks.classes.device)
    losses = {
        "class": _class_loss(tracks.classes.unsqueeze(0), targets, owned, groups, settings),
        **_mask_losses("visible", tracks.visible[pairs.item, :, pairs.slot], targets, pairs, settings),
    }
    if tracks.amodal:
        logits = torch.cat([masks[pairs.item, :, pairs.slot] for masks in tracks.amodal])
        before = len(tracks.amodal) - 1
        repeated = Pairs(*(x.repeat(before + 1) for x in pairs))
        weight = torch.cat((settings.auxiliary_weight * pairs.weight.repeat(before), pairs.weight))
        hidden = HiddenParts(targets.pixels, amodal.pixels)
        losses |= _mask_losses("amodal", logits, amodal, repeated._replace(weight=weight), settings, hidden)
    return losses


def _class_loss(
    logits: Tensor, targets: Targets, assignment: NDArray[np.int64], groups: int, settings: LossSettings
) -> Tensor:
    labels = np.full(logits.shape[:3], logits.shape[-1] - 1, np.int64)
    layer, item, instance = np.nonzero(assignment != NONE)
    labels[layer, item, assignment[layer, item, instance]] = targets.classes[item, instance]
    wanted = torch.as_tensor(labels, device=logits.device)
    labelled = None if targets.labelled is None else torch.as_tensor(targets.labelled, device=logits.device)
    return settings.class_weight * class_loss(logits, wanted, groups, settings.no_object, labelled)


def _mask_losses(
    name: str,
    logits: Tensor,
    targets: Targets,
    pairs: Pairs,
    settings: LossSettings,
    hidden: HiddenParts | None = None,
) -> Losses:
    cross_entropy, dice = mask_losses(
        logits, targets.pixels, pairs.item, pairs.instance, pairs.weight, settings.sampling, targets.unknown, hidden
    )
    return {
        f"{name}_mask": settings.mask_weight * cross_entropy,
        f"{name}_dice": settings.dice_weight * dice,
    }


def _pairs(assignment: NDArray[np.int64], groups: int, device: torch.device) -> Pairs:
    layer, item, instance = np.nonzero(assignment != NONE)
    counts = np.bincount(item % groups, minlength=groups) / len(assignment)
    weight = 1 / mean_over_processes(counts, device).clip(min=1)
    arrays = (layer, item, assignment[layer, item, instance], instance, weight[item % groups].astype(np.float32))
    return Pairs(*(torch.as_tensor(array, device=device) for array in arrays))


def _weigh(settings: LossSettings, classes: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """Weight and sum a class loss and pairs of cross-entropy and dice losses, one pair per kind of masks."""
    cost = settings.class_weight * classes
    for i, mask in enumerate(masks):
        cost = cost + (settings.dice_weight if i % 2 else settings.mask_weight) * mask
    return cost


def _cells(
    targets: Targets, items: slice | NDArray[np.int64], settings: LossSettings
) -> tuple[Tensor, Tensor | None, Tensor | slice]:
    """Choose S cells of each mask.

    Returns:
        What objects cover in these cells, [I, n, T · S], what is known of them, and which cells these are.
    """
    covered, known = targets.cells[items].transpose(1, 2), targets.known_cells(items)
    cells: Tensor | slice = slice(None)
    if covered.shape[-1] > settings.matched_cells:
        cells = torch.randperm(covered.shape[-1], device=covered.device)[: settings.matched_cells]
    if known is not None:
        known = known.transpose(1, 2)[..., cells].flatten(2)
    return covered[..., cells].flatten(2), known, cells


def _in_all_layers(wanted: NDArray[np.bool_], cost: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Repeat [I, n] for all layers → [L, I, n]."""
    return np.broadcast_to(wanted, (len(cost), *wanted.shape))
