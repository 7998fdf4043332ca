"""Calibration of the boundary between "object" and "no object"."""

import math

import torch

from .errors import ConfigError
from .modeling import A2VIS, VideoNetwork


@torch.no_grad()
def favour_objects(model: VideoNetwork, logits: float) -> None:
    """Lower the logit of "no object" of a network's tracks in place, which raises the scores of all of its slots.

    Classes learn late that an object is there at all: only 0.1 of a slot's loss concerns it, and most slots have none.
    After few steps the right slots have the highest scores, but none reaches the thresholds at which tracks start.

    Args:
        model: an A2VIS network.
        logits: how much to lower it; 0 changes nothing, a negative number favours "no object".

    Raises:
        ConfigError: the network is of another kind, or the number is not finite.
    """
    if not isinstance(model, A2VIS):
        raise ConfigError(f"favour_objects={logits}: of the networks, A2VIS alone has a classification head of tracks")
    if not math.isfinite(logits):
        raise ConfigError(f"favour_objects={logits}; give a number of logits, such as 1.5")
    model.class_head.classify.bias[-1] -= logits
