"""Averaged weights: an exponential moving average (EMA) of a network's weights over its training steps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from ..compat import lerp_each
from ..modeling import VideoNetwork


class AveragedNetwork(AveragedModel):
    """A copy of a network, `module`, that averages the weights: call `update_parameters` after each step.

    After n steps the decay is min(`decay`, (1 + n) / (10 + n)), so that the initial weights, which are far from good
    ones,
    are soon forgotten. The number of steps is part of the state dict, so that a resumed average continues exactly.
    """

    module: VideoNetwork

    def __init__(self, model: VideoNetwork, decay: float) -> None:
        @torch.no_grad()
        def update(average: PARAM_LIST, current: PARAM_LIST, count: Tensor | int) -> None:
            steps = float(count)
            lerp_each(average, current, 1 - min(decay, (1 + steps) / (10 + steps)))

        super().__init__(model, multi_avg_fn=update)
