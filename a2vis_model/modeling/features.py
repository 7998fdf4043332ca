"""Data exchanged between the two halves of the network: frame features, clip state, clip prediction.

Frames become features one by one, clips of features become predictions. All three are tuples of tensors of
fixed size, so that both halves export with static shapes. Dimensions stand in one order throughout:
batch B, frames T, queries or slots Q, channels C, height, width.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class FrameFeatures(NamedTuple):
    """Everything a clip needs of its frames. Fields that a variant does not use are None or empty."""

    queries: Tensor | None
    """Frame queries [B, T, fQ, C]; None for the joint variant, whose queries belong to the clip."""
    mask_features: Tensor
    """Frame features F, [B, T, mask_dim, H/4, W/4]."""
    amodal_attention: Tensor | None = None
    """Attention features O, [B, T, mask_dim, H/k, W/k], with k the key stride."""
    amodal_features: Tensor | None = None
    """Amodal mask features E, [B, T, mask_dim, H/4, W/4]."""
    pyramid: tuple[Tensor, ...] = ()
    """Memory maps of the joint variant [B, T, C, h, w], coarsest first."""
    pyramid_masks: tuple[Tensor, ...] = ()
    """Mask features of the joint variant at the sizes of `pyramid`, [B, T, mask_dim, h, w]."""


def concatenate(features: list[FrameFeatures]) -> FrameFeatures:
    """Join the features of consecutive frames along T."""

    def join(parts: list[Tensor | None]) -> Tensor | None:
        present = [part for part in parts if part is not None]
        return torch.cat(present, dim=1) if present else None

    return FrameFeatures(
        queries=join([f.queries for f in features]),
        mask_features=torch.cat([f.mask_features for f in features], dim=1),
        amodal_attention=join([f.amodal_attention for f in features]),
        amodal_features=join([f.amodal_features for f in features]),
        pyramid=tuple(torch.cat(maps, dim=1) for maps in zip(*(f.pyramid for f in features), strict=True)),
        pyramid_masks=tuple(torch.cat(maps, dim=1) for maps in zip(*(f.pyramid_masks for f in features), strict=True)),
    )


class ClipState(NamedTuple):
    """State carried from clip to clip; its size never changes."""

    prototypes: Tensor
    """Global prototypes p^G [B, Q, C], or the vectors by which another variant tracks its slots."""
    memory_keys: Tensor | None = None
    """Keys of GenVIS's memory [B, Q, M, C], newest last."""
    memory_values: Tensor | None = None
    """Values of GenVIS's memory [B, Q, M, C]."""
    memory_used: Tensor | None = None
    """Used entries of GenVIS's memory, bool [B, Q, M]."""


class ClipPrediction(NamedTuple):
    """Prediction for every slot in one clip."""

    classes: Tensor
    """Class logits [B, Q, K + 1], "no object" last."""
    visible: Tensor | None
    """Mask logits M^k [B, T, Q, H/4, W/4]; None where the variant predicts amodal masks alone."""
    amodal: Tensor | None
    """Mask logits A^k [B, T, Q, H/4, W/4]; None where the variant predicts visible masks alone.

    By definition an object has no amodal mask before it was first seen (paper 3.1); this rule is applied where slots
    become tracks, because only there it is known when that was.
    """


def single_mask(classes: Tensor, masks: Tensor, *, amodal: bool) -> ClipPrediction:
    """Return the prediction of a network with one kind of masks, visible or amodal."""
    if amodal:
        return ClipPrediction(classes=classes, visible=None, amodal=masks)
    return ClipPrediction(classes=classes, visible=masks, amodal=None)


class StreamNetwork(Protocol):
    """Interface of a network in a stream, implemented by `VideoNetwork` and by its compiled forms."""

    @property
    def slots(self) -> int:
        """Number Q of objects that can be distinguished at a time."""

    @property
    def device(self) -> torch.device:
        """Device that computes and holds all tensors."""

    def extract(self, images: Tensor) -> FrameFeatures:
        """Compute features of normalised RGB images [B, T, 3, H, W], each frame by itself."""

    def initial_state(self) -> ClipState:
        """Return the state before the first clip."""

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Predict a clip from the features of its frames; the new state goes to the next clip."""

    def recycle(self, state: ClipState, slots: Tensor) -> ClipState:
        """Give slots (bool [B, Q]) back for new objects: their part of the state is reset."""


def pass_gradients(before: ClipState, after: ClipState) -> ClipState:
    """Return a state with the values of `after`, whose gradients go to `before` as if nothing lay between the two."""

    def join(old: Tensor, new: Tensor) -> Tensor:
        return old + (new - old).detach() if new.is_floating_point() else new

    used = {name: join(getattr(before, name), new) for name, new in after._asdict().items() if new is not None}
    return ClipState(**used)


def recycle_slots(start: ClipState, state: ClipState, slots: Tensor) -> ClipState:
    """Return the state with some slots (bool [B, Q]) reset to `start`."""

    def choose(initial: Tensor, current: Tensor) -> Tensor:
        return torch.where(slots.view(*slots.shape, *(1,) * (current.dim() - 2)), initial, current)

    used = {
        name: choose(getattr(start, name), current) for name, current in state._asdict().items() if current is not None
    }
    return ClipState(**used)
