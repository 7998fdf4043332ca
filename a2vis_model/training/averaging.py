"""Averaged weights: an exponential moving average (EMA) of a network's weights over the steps of its training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from ..compat import lerp_each
from ..modeling import VideoNetwork


class AveragedNetwork(AveragedModel):
    """A copy of a network, `module`, whose `update_parameters` takes in the weights after a step.

    After n steps the decay is min(`decay`, (1 + n) / (10 + n)), so that the start, which is far from anything good, is
    soon forgotten. The number of steps is part of the state dict: what goes on from it goes on exactly.
    """

    module: VideoNetwork

    def __init__(self, model: VideoNetwork, decay: float) -> None:
        @torch.no_grad()
        def update(average: PARAM_LIST, current: PARAM_LIST, count: Tensor | int) -> None:
            steps = float(count)
            lerp_each(average, current, 1 - min(decay, (1 + steps) / (10 + steps)))

        super().__init__(model, multi_avg_fn=update)
