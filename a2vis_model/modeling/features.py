"""What flows between the two halves of the network: frame features, clip state, clip prediction.

Frames become features one by one, clips of features become predictions. All three are tuples of tensors of
fixed size, so that both halves export with static shapes. Dimensions stand in one order throughout:
batch B, frames T, queries or slots Q, channels C, height, width.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class FrameFeatures(NamedTuple):
    """Everything a clip needs of its frames. What a variant does not use is None or empty."""

    queries: Tensor | None
    """Frame queries [B, T, fQ, C]; None for the joint variant, whose queries belong to the clip."""
    mask_features: Tensor
    """F, [B, T, mask_dim, H/4, W/4]."""
    amodal_attention: Tensor | None = None
    """O, [B, T, mask_dim, H/k, W/k], k the key stride."""
    amodal_features: Tensor | None = None
    """E, [B, T, mask_dim, H/4, W/4]."""
    pyramid: tuple[Tensor, ...] = ()
    """Joint variant: memory maps [B, T, C, h, w], coarsest first."""
    pyramid_masks: tuple[Tensor, ...] = ()
    """Joint variant: mask features at the sizes of `pyramid`, [B, T, mask_dim, h, w]."""


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
    """All that is carried from clip to clip; its size never changes."""

    prototypes: Tensor
    """p^G [B, Q, C]; what else a variant tracks its slots by."""
    memory_keys: Tensor | None = None
    """GenVIS: [B, Q, M, C], newest last."""
    memory_values: Tensor | None = None
    """GenVIS: [B, Q, M, C]."""
    memory_used: Tensor | None = None
    """GenVIS: bool [B, Q, M]."""


class ClipPrediction(NamedTuple):
    """What is known of every slot in one clip."""

    classes: Tensor
    """Logits [B, Q, K + 1], "no object" last."""
    visible: Tensor | None
    """Mask logits M^k [B, T, Q, H/4, W/4]; None where the variant predicts amodal masks alone."""
    amodal: Tensor | None
    """Mask logits A^k [B, T, Q, H/4, W/4]; None where the variant predicts visible masks alone. An object has none
    before it was first seen (3.1): whoever makes tracks of slots knows when that was."""


def single_mask(classes: Tensor, masks: Tensor, *, amodal: bool) -> ClipPrediction:
    """The prediction of a network with one kind of masks, visible or amodal."""
    if amodal:
        return ClipPrediction(classes=classes, visible=None, amodal=masks)
    return ClipPrediction(classes=classes, visible=masks, amodal=None)


class StreamNetwork(Protocol):
    """What a stream needs of a network: `VideoNetwork` has it, and so has what was compiled of one."""

    @property
    def slots(self) -> int:
        """Number Q of objects that can be told apart at a time."""

    @property
    def device(self) -> torch.device:
        """Where it computes, and where all its tensors are."""

    def extract(self, images: Tensor) -> FrameFeatures:
        """Normalised RGB images [B, T, 3, H, W] → features; every frame by itself."""

    def initial_state(self) -> ClipState:
        """The state before the first clip."""

    def step(self, features: FrameFeatures, state: ClipState) -> tuple[ClipPrediction, ClipState]:
        """Predict a clip from the features of its frames; the new state goes to the next clip."""

    def recycle(self, state: ClipState, slots: Tensor) -> ClipState:
        """Give slots (bool [B, Q]) back for new objects: their part of the state is as at the start."""


def recycle_slots(start: ClipState, state: ClipState, slots: Tensor) -> ClipState:
    """The state with some slots (bool [B, Q]) as they are in `start`."""

    def choose(initial: Tensor, current: Tensor) -> Tensor:
        return torch.where(slots.view(*slots.shape, *(1,) * (current.dim() - 2)), initial, current)

    used = {
        name: choose(getattr(start, name), current) for name, current in state._asdict().items() if current is not None
    }
    return ClipState(**used)
