"""Predictions that training supervises: those of every layer and every clip, not only the answer."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .features import FrameFeatures
from .instance_prototypes import Prototypes

ClipOwners = Literal["matched", "clips", "tracks"]
"""Slots of a clip's own prediction that are supervised for the objects.

`matched`: the slot matched in every clip. `clips`: the slot matched in the clip in which the object was first seen.
`tracks`: the slot of the object's track.
"""


class SetPrediction(NamedTuple):
    """Predictions of L decoder layers for I items of T frames; masks are products of embeddings and features."""

    classes: Tensor
    """Class logits [L, I, Q, K + 1]."""
    embeddings: Tensor
    """Mask embeddings [L, I, Q, C]."""
    features: Tensor
    """Frame features [I, T, C, h, w]."""


class TrackPrediction(NamedTuple):
    """Predictions of A2VIS for I clips of T frames; clips of a sequence are neighbours in I."""

    classes: Tensor
    """Class logits [I, Q, K + 1]."""
    visible: Tensor
    """Visible masks M, logits [I, T, Q, h, w]."""
    amodal: list[Tensor]
    """Amodal masks A before each SAMH layer and after the last, logits [I, T, Q, h, w]; empty without SAMH."""


class Unrolled(NamedTuple):
    """A network's predictions for the B · K clips of B sequences."""

    clips: SetPrediction
    """Predictions of the clips' own prototypes or queries, one for each decoder layer."""
    owners: ClipOwners
    """Rule that assigns the slots of `clips` to objects."""
    tracks: TrackPrediction | None = None
    """Predictions of the global prototypes, which only A2VIS has."""
    prototypes: Prototypes | None = None
    """The last layer's prototypes [I, Q, C] and tokens [I, T, fQ, C], for the similarity loss."""


def split_clips(features: FrameFeatures, clips: int) -> list[FrameFeatures]:
    """Return the features of each of `clips` equally long clips.

    All are cut at once, because the gradient of each single cut would be as large as all of the features. The sequences
    of a clip lie side by side in memory, because each product of their maps with prototypes would copy them otherwise.
    """

    def cut(x: Tensor) -> tuple[Tensor, ...]:
        return x.unflatten(1, (clips, -1)).transpose(0, 1).contiguous().unbind()

    optional = (features.queries, features.amodal_attention, features.amodal_features)
    queries, attention, amodal = ([None] * clips if x is None else cut(x) for x in optional)
    parts = zip(queries, cut(features.mask_features), attention, amodal, strict=True)
    return [FrameFeatures(*clip) for clip in parts]


def clips_as_items(x: Tensor, clips: int) -> Tensor:
    """Make items of clips: [B, clips · T, ...] → [B · clips, T, ...]."""
    return x.unflatten(1, (clips, -1)).flatten(0, 1)


def interleave(clips: Sequence[Tensor]) -> Tensor:
    """Make items of K tensors [B, ...] of consecutive clips: [B · K, ...]."""
    return torch.stack(list(clips), dim=1).flatten(0, 1)


def join_prototypes(clips: Sequence[Prototypes]) -> Prototypes:
    """Join the prototypes of consecutive clips as items."""
    return Prototypes(
        layers=[interleave(layer) for layer in zip(*(clip.layers for clip in clips), strict=True)],
        raw=interleave([clip.raw for clip in clips]),
        tokens=interleave([clip.tokens for clip in clips]),
    )
