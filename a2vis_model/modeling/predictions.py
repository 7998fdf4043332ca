"""What training supervises: the predictions of every layer and every clip, not the answer alone."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .features import FrameFeatures
from .instance_prototypes import Prototypes

ClipOwners = Literal["matched", "clips", "tracks"]
"""Which slot of a clip's own prediction answers for an object: the one matched anew in every clip, the one that was
matched in the clip the object was first seen in, or the slot of its track."""


class SetPrediction(NamedTuple):
    """What L decoder layers say about I items of T frames; masks are products of embeddings and features."""

    classes: Tensor
    """[L, I, Q, K + 1]."""
    embeddings: Tensor
    """[L, I, Q, C]."""
    features: Tensor
    """[I, T, C, h, w]."""


class TrackPrediction(NamedTuple):
    """What A2VIS says about I clips of T frames; clips of a sequence are neighbours in I."""

    classes: Tensor
    """[I, Q, K + 1]."""
    visible: Tensor
    """M, logits [I, T, Q, h, w]."""
    amodal: list[Tensor]
    """A before each SAMH layer and after the last, logits [I, T, Q, h, w]; empty without SAMH."""


class Unrolled(NamedTuple):
    """A network's predictions for the B · K clips of B sequences."""

    clips: SetPrediction
    """From the clips' own prototypes or queries, one for each decoder layer."""
    owners: ClipOwners
    """Which slots of `clips` answer for the objects."""
    tracks: TrackPrediction | None = None
    """From the global prototypes; A2VIS alone has them."""
    prototypes: Prototypes | None = None
    """The last layer's [I, Q, C] and tokens [I, T, fQ, C], for the similarity loss."""


def split_clips(features: FrameFeatures, clips: int) -> list[FrameFeatures]:
    """The features of each of `clips` equally long clips.

    All are cut at once, since of each single cut the gradient would be as large as all of the features.
    """

    def cut(x: Tensor | None) -> Sequence[Tensor | None]:
        return [None] * clips if x is None else x.unflatten(1, (clips, -1)).unbind(1)

    maps = features.mask_features.unflatten(1, (clips, -1)).unbind(1)
    parts = (cut(features.queries), maps, cut(features.amodal_attention), cut(features.amodal_features))
    return [FrameFeatures(*clip) for clip in zip(*parts, strict=True)]


def clips_as_items(x: Tensor, clips: int) -> Tensor:
    """Make items of clips: [B, clips · T, ...] → [B · clips, T, ...]."""
    return x.unflatten(1, (clips, -1)).flatten(0, 1)


def interleave(clips: Sequence[Tensor]) -> Tensor:
    """Make items of K tensors [B, ...] of consecutive clips: [B · K, ...]."""
    return torch.stack(list(clips), dim=1).flatten(0, 1)


def join_prototypes(clips: Sequence[Prototypes]) -> Prototypes:
    """The prototypes of consecutive clips, as items."""
    return Prototypes(
        layers=[interleave(layer) for layer in zip(*(clip.layers for clip in clips), strict=True)],
        raw=interleave([clip.raw for clip in clips]),
        tokens=interleave([clip.tokens for clip in clips]),
    )
