"""Initial weights of a run: ours or foreign ones, and the warm start of the video part."""

from __future__ import annotations

from pathlib import Path

import torch

from ..importers import import_checkpoint
from ..modeling import VideoNetwork
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
    """Let the video part of a network begin with what its detector has learned; see `VideoNetwork.warm_start`."""
    model.warm_start()
