"""How certain a network is of a mask, as the sharpness of its outline says.

The class head of a slot says what is there, not how good its mask is. Where a mask is of nothing, or of parts of
several objects, its probabilities fall slowly towards the outside, and with a lower threshold it would be much larger.
So this is a stability score like that of Segment Anything (Kirillov et al. 2023), of a mask's own threshold and a lower
one.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LOOSE = -math.log(9)
"""Logit of the lower threshold: a probability of a tenth."""


def loose_area(logits: Tensor) -> Tensor:
    """Count the pixels of masks at the lower threshold: logits [..., h, w], without gradients → int32 [...]."""
    if logits.device.type == "cpu" and logits.dtype == torch.float32:
        cells = torch.from_numpy(np.greater(logits.numpy(), LOOSE))  # NumPy takes a sixth of PyTorch's time.
    else:
        cells = logits > LOOSE
    return cells.flatten(-2).sum(dim=-1, dtype=torch.int32)


def certainty(area: Tensor, loose: Tensor) -> Tensor:
    """Return the share in [0, 1] of masks' areas at the lower threshold that they have at their own; 0 for empty ones.

    Args:
        area: pixels above 0 in logits, [...].
        loose: pixels at the lower threshold, [...]; see `loose_area`.
    """
    return (area / loose.clamp(min=1)).clamp(max=1)
