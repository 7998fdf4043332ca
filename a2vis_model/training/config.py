"""Everything that determines the outcome of a training run, beside the network, the data and the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..config import ModelConfig
from ..errors import ConfigError
from .augmentation import Augmentation
from .batch import MaskKind
from .objectives import LossSettings
from .optimisation import OptimiserSettings, Stage
from .ranges import check_at_least

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """A run. Two runs with equal values, data and start give equal weights, interrupted or not; on a GPU nearly so,
    where PyTorch's backward passes of grid_sample and bilinear interpolation sum in no fixed order."""

    stage: Stage
    """"frame": the detector on single images. "video": all that follows it, the detector frozen, as the paper
    trains. "joint": both at once, the frame stage's loss included; for detectors that are not much trained."""
    steps: int
    batch: int
    """Sequences of a step, in the frame stage images, over all processes."""
    clips: int = 5
    """Clips of a sequence, which gradients pass through; variants that take a video as one clip have one."""
    reach: int = 24
    """Frames of a sequence are at most this far from a random one among them."""
    even_draws: bool = True
    """Every class of a data set is drawn as often as any other, where it is known which videos hold it."""
    seed: int = 0
    precision: Precision = "fp32"
    average: float = 0.0
    """Decay of the averaged weights that are kept beside the raw ones, see `AveragedNetwork`; 0 keeps none."""
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_at_least(1, self, "steps", "batch", "clips")
        check_at_least(0, self, "reach", "seed")
        if not 0 <= self.average < 1:
            raise ConfigError(f"average={self.average}; choose a decay below 1, such as 0.998, or 0 for none")

    def clips_of(self, model: ModelConfig) -> int:
        """Clips of a sequence of this network."""
        return 1 if model.offline else self.clips

    def frames_of(self, model: ModelConfig) -> int:
        """Frames of a sequence of this network."""
        return 1 if self.stage == "frame" else self.clips_of(model) * model.clip_length


def mask_kind(model: ModelConfig) -> MaskKind:
    """The masks that the detector and the clips' prototypes of this network learn."""
    return "amodal" if model.supervision == "amodal" else "visible"


def differences(now: Mapping[str, Any], saved: Mapping[str, Any]) -> list[str]:
    """Names of the values that changed between two configurations, as `group.name` inside groups."""
    changed = []
    for name, value in now.items():
        old = saved.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            changed += [f"{name}.{inner}" for inner in differences(value, old)]
        elif value != old:
            changed.append(name)
    return changed
