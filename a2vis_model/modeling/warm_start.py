"""Warm start of A2VIS's video part after a frame stage: each slot begins as a follower of one frame query."""

import torch
from torch import nn

from .classification_head import ClassificationHead
from .frame_decoder import FrameDecoder
from .instance_prototypes import DecoderLayer, EncoderLayer, InstancePrototypes
from .prototype_update import PrototypeGate, PrototypeUpdate
from .samh import SAMH, SamhLayer

_SHARPNESS = 2**0.5
"""Gain of Θ's queries and keys, at which a prototype mostly attends to the token that resembles it."""
_SLOT = 0.5
"""Scale of the slots' embeddings relative to contents, which should count for more."""
_ALIKE = 0.75
"""Gain of the update's queries and keys, at which p^G_i mostly attends to p^k_i."""
_UPTAKE = 3.0
"""Gain of the update's values, at which the first clip that shows an object overwrites the start of its slot."""
_RAISE = 2.0
"""Offset in standard deviations by which the class head's hidden layer is raised."""


@torch.no_grad()
def follow_queries(
    detector: FrameDecoder,
    prototypes: InstancePrototypes,
    *,
    update: PrototypeUpdate,
    gate: PrototypeGate | None,
    samh: SAMH | None,
    class_head: ClassificationHead,
) -> None:
    """Let slot i of a seeded A2VIS begin as a follower of frame query i, in place.

    A detector gives an object much the same query in neighbouring frames, nearly always at the same index (95 of 100
    on rendered fish); MinVIS tracks by nothing else. So projections begin as identities and all other residual branches
    as zeros: the start of slot i is the position of token i, and a slot attends to tokens of its index and like its
    content.

    Args:
        detector: the trained decoder of single frames.
        prototypes: instance prototype modelling Θ, changed in place.
        update: the prototype update, changed in place.
        gate: the gate at the end of a clip, if there is one, changed in place.
        samh: the amodal mask head, if there is one, changed in place.
        class_head: the classification head of tracks, changed in place.
    """
    _identity(prototypes.input_proj)
    for layer in (*prototypes.encoder, *prototypes.decoder):
        assert isinstance(layer, EncoderLayer | DecoderLayer)
        _silence(layer.self_attention.attention.out)
        _silence(layer.ffn.linear2)
    for layer in prototypes.decoder:
        assert isinstance(layer, DecoderLayer)
        attention = layer.cross.attention
        _identity(attention.q, _SHARPNESS)
        _identity(attention.k, _SHARPNESS)
        _identity(attention.v)
        _identity(attention.out)
    prototypes.norm.load_state_dict(detector.norm.state_dict())
    # Where there are more tokens than slots, several tokens share a slot.
    slots, tokens = len(prototypes.query_content), len(prototypes.token_position)
    prototypes.token_position.copy_(prototypes.token_position[torch.arange(tokens) % slots])
    index = prototypes.token_position[torch.arange(slots) % tokens]
    prototypes.query_content.copy_(index)
    prototypes.query_position.copy_(_SLOT * index)
    if gate is not None:
        gate.mark(prototypes.query_content)
    _identity(update.q, _ALIKE)
    _identity(update.k, _ALIKE)
    _identity(update.v, _UPTAKE)
    if update.null_key is not None:
        # Half the score that the slot's own prototype gets if it resembles the slot.
        update.null_score.fill_(0.5 * _ALIKE**2 * (1 + _SLOT**2) * len(update.null_key) ** 0.5)
    for layer in samh.layers if samh is not None else ():
        assert isinstance(layer, SamhLayer)
        _silence(layer.cross.attention.out)
        _silence(layer.self_attention.attention.out)
    # The detector's linear head after an MLP: raised until ReLU passes nearly everything, and lowered again.
    _identity(class_head.embed)
    class_head.embed.bias.fill_(_RAISE)
    class_head.classify.load_state_dict(detector.class_head.state_dict())
    class_head.classify.bias.sub_(_RAISE * class_head.classify.weight.sum(dim=1))


def _identity(linear: nn.Linear, gain: float = 1.0) -> None:
    linear.weight.copy_(gain * torch.eye(len(linear.weight)))
    linear.bias.zero_()


def _silence(linear: nn.Linear) -> None:
    linear.weight.zero_()
    linear.bias.zero_()
