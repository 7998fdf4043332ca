"""What a run starts from: weights of ours or of others, and the warm start of the video part."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ..importers import import_checkpoint
from ..modeling import A2VIS, VideoNetwork
from ..modeling.a2vis import PrototypeNetwork
from ..weights import is_weight_file, load_weights


def initialise(model: VideoNetwork, path: Path) -> str:
    """Load whatever fits of a weight file: one of ours, also of another variant, or one `import_checkpoint` knows.

    Returns:
        what was done, for people.
    """
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
    """Let the clips' prototypes read masks and classes as the detector does.

    After a frame stage the detector's mask features and heads are good, and those of the video part are random;
    with copies of the former the video part only has to learn which prototype follows what. A seeded A2VIS begins with
    an answer to that too: see `_follow_queries`.
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
_GAIN = 3.0
_ALIKE = 0.75
_NOTHING = 4.0
_RAISE = 2.0


def _follow_queries(model: A2VIS) -> None:
    """Let slot i begin as a follower of frame query i, and an owned slot of the query that is most like it.

    A detector gives an object much the same query in neighbouring frames, mostly at the same index: MinVIS tracks by
    that alone. So Θ's projections begin as identities and all other residual branches as zeros: a slot's start matches
    the position of the token of the same index, and a prototype with content matches tokens of like content.
    """
    prototypes, samh = model.prototypes, model.samh
    _identity(prototypes.input_proj)
    for layer in (*prototypes.encoder, *prototypes.decoder):
        _silence(layer.self_attention.attention.out)
        _silence(layer.ffn.linear2)
    for layer in prototypes.decoder:
        attention = layer.cross.attention
        _identity(attention.q, _SHARPNESS)
        _identity(attention.k, _SHARPNESS)
        _identity(attention.v)
        _identity(attention.out)
    prototypes.norm.load_state_dict(model.detector.frame_decoder.norm.state_dict())
    update = model.update
    _identity(update.q, _ALIKE)
    _identity(update.k, _ALIKE)
    _identity(update.v, _GAIN)
    if update.null_key is not None:
        update.null_score.fill_(_NOTHING)
    for layer in samh.layers if samh is not None else ():
        _silence(layer.cross.attention.out)
        _silence(layer.self_attention.attention.out)
    # More queries than slots: several share one. More slots than queries: the same the other way round.
    slots, tokens = model.slots, len(prototypes.token_position)
    prototypes.token_position.copy_(prototypes.token_position[torch.arange(tokens) % slots])
    index = prototypes.token_position[torch.arange(slots) % tokens]
    prototypes.query_content.copy_(index)
    prototypes.query_position.copy_(0.5 * index)
    if model.gate is not None:
        model.gate.mark(prototypes.query_content)
    # Raised so far that the ReLU lets nearly everything pass, and lowered again behind it.
    _identity(model.class_head.embed)
    model.class_head.embed.bias.fill_(_RAISE)
    model.class_head.classify.load_state_dict(model.detector.frame_decoder.class_head.state_dict())
    model.class_head.classify.bias.sub_(_RAISE * model.class_head.classify.weight.sum(dim=1))


def _identity(linear: nn.Linear, gain: float = 1.0) -> None:
    linear.weight.copy_(gain * torch.eye(len(linear.weight)))
    linear.bias.zero_()


def _silence(linear: nn.Linear) -> None:
    linear.weight.zero_()
    linear.bias.zero_()
