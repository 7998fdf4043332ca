"""Optimiser: which parameters a stage trains, in which groups, and the learning rate over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import AdamW

from ..errors import ConfigError
from ..modeling import Stage, VideoNetwork
from .value_checks import check_at_least

Schedule = Literal["step", "cosine", "constant"]


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW settings, as Mask2Former, VITA and GenVIS use it."""

    learning_rate: float = 5e-5
    backbone_factor: float = 0.1
    """Factor on the learning rate of the backbone."""
    weight_decay: float = 0.05
    clip_norm: float = 0.01
    """Gradients of all parameters together are scaled down to this norm."""
    warmup: int = 0
    """Number of steps in which the learning rate rises linearly."""
    schedule: Schedule = "step"
    """Course of the learning rate after the warm-up.

    `step`: down to a tenth at `decay_at`. `cosine`: along a cosine to zero, which suits short runs. `constant`: no
    decay,
    for weights that are averaged (`TrainingConfig.average`).
    """
    decay_at: float = 0.7
    """Share of all steps at which schedule `step` lowers the learning rate."""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate={self.learning_rate}; choose a number above 0, such as 1e-4")
        check_at_least(0, self, "backbone_factor", "warmup")

    def factor(self, step: int, steps: int) -> float:
        """Return the learning rate at a step of `steps`, as a share of its full value."""
        warm = min((step + 1) / (self.warmup + 1), 1.0)
        if self.schedule == "cosine":
            return warm * (1 + math.cos(math.pi * step / steps)) / 2
        if self.schedule == "step" and step >= self.decay_at * steps:
            return warm * 0.1
        return warm


def select_trainable(model: VideoNetwork, stage: Stage) -> None:
    """Enable gradients for what the stage trains: the detector, what follows it, or both.

    Raises:
        ConfigError: the variant has nothing to train in this stage.
    """
    if stage not in model.stages:
        raise ConfigError(
            f"stage={stage}: {type(model).__name__} has nothing to train there; use stage={' or '.join(model.stages)}"
        )
    model.requires_grad_(stage != "frame")
    model.detector.requires_grad_(stage != "video")


def set_mode(model: VideoNetwork) -> None:
    """Switch to training mode, except for a detector that is not trained."""
    model.train()
    model.detector.train(any(p.requires_grad for p in model.detector.parameters()))


def build_optimiser(model: nn.Module, settings: OptimiserSettings) -> AdamW:
    """Build AdamW over the trained parameters, in groups that hold their learning rate's factor ("scale").

    Matrices and kernels decay; biases, norms, embeddings and tables of position biases do not.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decays = name.endswith(".weight") and parameter.dim() > 1
            groups.setdefault((".backbone." in name, decays), []).append(parameter)
    return AdamW(
        [
            {
                "params": parameters,
                "scale": settings.backbone_factor if backbone else 1.0,
                "weight_decay": settings.weight_decay if decays else 0.0,
            }
            for (backbone, decays), parameters in groups.items()
        ],
        lr=settings.learning_rate,
        fused=True,
    )


def set_learning_rate(optimiser: AdamW, rate: float) -> None:
    """Set the learning rate of the next step; each group gets its share of it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]
