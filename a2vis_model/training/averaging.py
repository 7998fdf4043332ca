"""Averaged weights: over the steps of a training, and of two trainings with a common start."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from ..compat import lerp_each
from ..errors import ConfigError
from ..modeling import VideoNetwork


class AveragedNetwork(AveragedModel):
    """A copy of a network, `module`, that averages the weights: call `update_parameters` after each step.

    After n steps the decay is min(`decay`, (1 + n) / (10 + n)), so that the initial weights, which are far from good
    ones, are soon forgotten. The number of steps is part of the state dict, so that a resumed average continues
    exactly.
    """

    module: VideoNetwork

    def __init__(self, model: VideoNetwork, decay: float) -> None:
        @torch.no_grad()
        def update(average: PARAM_LIST, current: PARAM_LIST, count: Tensor | int) -> None:
            steps = float(count)
            lerp_each(average, current, 1 - min(decay, (1 + steps) / (10 + steps)))

        super().__init__(model, multi_avg_fn=update)


@torch.no_grad()
def mean_with(model: VideoNetwork, other: VideoNetwork) -> None:
    """Replace a network's weights by their mean with another's, in place.

    Where one was trained on from the other, the mean often keeps what both have learned, at the cost of one network
    (model soups: Wortsman et al., ICML 2022).

    Raises:
        ConfigError: the two have different tensors.
    """
    ours, theirs = model.state_dict(), other.state_dict()
    if {name: value.shape for name, value in ours.items()} != {name: value.shape for name, value in theirs.items()}:
        raise ConfigError("weights of different networks have no mean; give two of the same configuration")
    for name, value in ours.items():
        if value.is_floating_point():
            value.lerp_(theirs[name], 0.5)
