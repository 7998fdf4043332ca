"""Initial weights of a run: ours or foreign ones, and the warm start of the video part."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ..importers import import_checkpoint
from ..modeling import A2VIS, VideoNetwork
from ..modeling.a2vis import PrototypeNetwork
from ..modeling.instance_prototypes import DecoderLayer, EncoderLayer
from ..modeling.samh import SamhLayer
from ..shipped import find_weights
from ..weights import is_weight_file, load_weights


def initialise(model: VideoNetwork, weights: str | Path) -> str:
    """Load the tensors of a weight file that fit: one of ours, also of another variant, or a foreign one.

    Args:
        model: the network to initialise, changed in place.
        weights: path of a file, or name of a set that comes with the package.

    Returns:
        A text that describes what was done.
    """
    path = find_weights(weights)
    if not is_weight_file(path):
        return import_checkpoint(model, path).summary()
    source, config = load_weights(path)
    own, other = model.state_dict(), source.state_dict()
    fitting = {name: tensor for name, tensor in other.items() if name in own and tensor.shape == own[name].shape}
    model.load_state_dict(fitting, strict=False)
    new = sorted({name.split(".")[0] for name in own.keys() - fitting.keys()})
    rest = f"; left as they were: parts of {', '.join(new)}" if new else ""
    return f"{path}: {len(fitting)} of {len(own)} tensors loaded from {config.name}{rest}"


@torch.no_grad()
def warm_start(model: VideoNetwork) -> None:
    """Let the clips' prototypes predict masks and classes as the detector does.

    After a frame stage the detector's mask features and heads are good, and those of the video part are random. With
    copies of the former, the video part only has to learn which prototype follows which object. A seeded A2VIS begins
    with an answer to that too (see `_follow_queries`).
    """
    if not isinstance(model, PrototypeNetwork):
        return
    detector = model.detector
    model.mask_conv.load_state_dict(detector.pixel_decoder.mask_conv.state_dict())
    model.visible_head.embed.load_state_dict(detector.frame_decoder.mask_head.state_dict())
    model.prototypes.class_head.load_state_dict(detector.frame_decoder.class_head.state_dict())
    if isinstance(model, A2VIS) and model.samh is not None and model.samh.features.residual:
        model.samh.mask_embed.load_state_dict(detector.frame_decoder.mask_head.state_dict())
    if isinstance(model, A2VIS) and model.seeded:
        _follow_queries(model)


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


def _follow_queries(model: A2VIS) -> None:
    """Let slot i begin as a follower of frame query i.

    A detector gives an object much the same query in neighbouring frames, nearly always at the same index (95 of 100
    on rendered fish); MinVIS tracks by nothing else. So projections begin as identities and all other residual branches
    as zeros: the start of slot i is the position of token i, and a slot attends to tokens of its index and like its
    content.
    """
    prototypes, update, samh = model.prototypes, model.update, model.samh
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
    prototypes.norm.load_state_dict(model.detector.frame_decoder.norm.state_dict())
    # Where there are more tokens than slots, several tokens share a slot.
    slots, tokens = model.slots, len(prototypes.token_position)
    prototypes.token_position.copy_(prototypes.token_position[torch.arange(tokens) % slots])
    index = prototypes.token_position[torch.arange(slots) % tokens]
    prototypes.query_content.copy_(index)
    prototypes.query_position.copy_(_SLOT * index)
    if model.gate is not None:
        model.gate.mark(prototypes.query_content)
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
    head = model.class_head
    _identity(head.embed)
    head.embed.bias.fill_(_RAISE)
    head.classify.load_state_dict(model.detector.frame_decoder.class_head.state_dict())
    head.classify.bias.sub_(_RAISE * head.classify.weight.sum(dim=1))


def _identity(linear: nn.Linear, gain: float = 1.0) -> None:
    linear.weight.copy_(gain * torch.eye(len(linear.weight)))
    linear.bias.zero_()


def _silence(linear: nn.Linear) -> None:
    linear.weight.zero_()
    linear.bias.zero_()
