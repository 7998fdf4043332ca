"""Training configuration: what determines the outcome of a run, besides network, data and initial weights."""

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
from .value_checks import check_at_least

TrainingPrecision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Configuration of a training run.

    Two runs with equal values, data and initial weights give equal weights, interrupted or not. On a GPU they are only
    nearly equal, because PyTorch's backward passes of grid_sample and bilinear interpolation sum in no fixed order.
    """

    stage: Stage
    """Part of the network that is trained.

    "frame": the detector on single images. "video": everything after it with the detector frozen, as in the paper.
    "joint": both at once, including the frame stage's loss; for detectors that have had little training.
    """
    steps: int
    batch: int
    """Number of sequences per step (images in the frame stage), over all processes."""
    clips: int = 5
    """Number of clips per sequence, through which gradients pass; 1 for variants that take a video as one clip."""
    dwell: int = 0
    """Most times, drawn at random, that a clip is run again before the next, so that states become as old as those of
    streams (see `VideoNetwork.run_again`)."""
    reach: int = 24
    """Largest distance of a sequence's frames from a random one among them, in frames."""
    even_draws: bool = True
    """Draw every class of a data set equally often, where it is known which videos hold it."""
    seed: int = 0
    precision: TrainingPrecision = "fp32"
    average: float = 0.0
    """Decay of the averaged weights kept beside the raw ones (see `AveragedNetwork`); 0 keeps none."""
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_at_least(1, self, "steps", "batch", "clips")
        check_at_least(0, self, "dwell", "reach", "seed")
        if not 0 <= self.average < 1:
            raise ConfigError(f"average={self.average}; choose a decay below 1, such as 0.998, or 0 for none")

    def clips_of(self, model: ModelConfig) -> int:
        """Clips of a sequence of this network."""
        return 1 if model.offline else self.clips

    def frames_of(self, model: ModelConfig) -> int:
        """Return the number of frames per sequence of this network."""
        return 1 if self.stage == "frame" else self.clips_of(model) * model.clip_length


def mask_kind(model: ModelConfig) -> MaskKind:
    """Return the kind of masks that the detector and the clips' prototypes of this network learn."""
    return "amodal" if model.supervision == "amodal" else "visible"


def differences(now: Mapping[str, Any], saved: Mapping[str, Any]) -> list[str]:
    """List the names of values that differ between two configurations, as `group.name` inside groups."""
    changed = []
    for name, value in now.items():
        old = saved.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            changed += [f"{name}.{inner}" for inner in differences(value, old)]
        elif value != old:
            changed.append(name)
    return changed
