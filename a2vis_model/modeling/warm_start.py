"""How the video part of A2VIS starts after a frame stage: each slot as a follower of one frame query."""

import torch
from torch import nn

from .classification_head import ClassificationHead
from .frame_decoder import FrameDecoder
from .instance_prototypes import DecoderLayer, EncoderLayer, InstancePrototypes
from .prototype_update import PrototypeGate, PrototypeUpdate
from .samh import SAMH, SamhLayer

_SHARPNESS = 2**0.5
"""Of Θ's queries and keys: with it a prototype reads mostly the token that it is like."""
_SLOT = 0.5
"""Size of the slots' embeddings against contents, which are to count for more."""
_ALIKE = 0.75
"""Of the update's queries and keys: with it p^G_i reads p^k_i, and little else."""
_UPTAKE = 3.0
"""Of the update's values: the first clip that shows an object overwrites the start of its slot."""
_RAISE = 2.0
"""In standard deviations; see the class head."""


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
    as zeros: the start of slot i is the position of token i, and a slot reads tokens of its index and like its content.

    Args:
        detector: the trained decoder of single frames.
        prototypes, update, gate, samh, class_head: the parts of the network that are set.
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
    # Where there are more tokens than slots, several share one.
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
        # Half the score of the slot's own prototype, if that is alike.
        update.null_score.fill_(0.5 * _ALIKE**2 * (1 + _SLOT**2) * len(update.null_key) ** 0.5)
    for layer in samh.layers if samh is not None else ():
        assert isinstance(layer, SamhLayer)
        _silence(layer.cross.attention.out)
        _silence(layer.self_attention.attention.out)
    # The detector's linear head behind an MLP: raised until ReLU lets nearly everything pass, and lowered again.
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
