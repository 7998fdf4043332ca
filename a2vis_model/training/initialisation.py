"""What a run starts from: weights of ours or of others, and the warm start of the video part."""

from __future__ import annotations

from pathlib import Path

import torch

from ..importers import import_checkpoint
from ..modeling import A2VIS, VideoNetwork
from ..modeling.a2vis import PrototypeNetwork
from ..shipped import find_weights
from ..weights import is_weight_file, load_weights


def initialise(model: VideoNetwork, weights: str | Path) -> str:
    """Load whatever fits of a weight file: one of ours, also of another variant, or one `import_checkpoint` knows.

    Args:
        model: what is started, changed in place.
        weights: a file, or the name of a set that comes with the package.

    Returns:
        what was done, for people.
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
    """Let the clips' prototypes read masks and classes as the detector does.

    After a frame stage the detector's mask features and heads are good, and those of the video part are random;
    with copies of the former the video part only has to learn which prototype follows what.
    """
    if not isinstance(model, PrototypeNetwork):
        return
    detector = model.detector
    model.mask_conv.load_state_dict(detector.pixel_decoder.mask_conv.state_dict())
    model.visible_head.embed.load_state_dict(detector.frame_decoder.mask_head.state_dict())
    model.prototypes.class_head.load_state_dict(detector.frame_decoder.class_head.state_dict())
    if isinstance(model, A2VIS) and model.samh is not None and model.samh.features.residual:
        model.samh.mask_embed.load_state_dict(detector.frame_decoder.mask_head.state_dict())
