"""Training: frame stage, video stage, or both at once.

The parts, in the order of a step: `sources`, `draws` and `sequences` draw frames, `augmentation` and `copy_paste`
change them, `batch` stacks them, `objectives` run the network (`predictions`), decide who answers for what
(`matching`) and add up `losses`; `loop` does the rest, and keeps the weights' average (`averaging`). `command` is
`a2vis train`, of one run or of a `recipe`.
"""

from .augmentation import Augmentation, TrainingSample, augment
from .batch import Batch, Targets
from .checkpoint import Checkpoint
from .config import TrainingConfig
from .copy_paste import copy_paste
from .initialisation import initialise, warm_start
from .loop import Run, make_objective, train
from .losses import PointSampling
from .matching import Ownership
from .objectives import FrameObjective, LossSettings, VideoObjective
from .optimisation import OptimiserSettings
from .sequences import SequenceDataset
from .sources import CachedSource, RenderedSource, RenderedVideo
from .validation import validate_frames, validate_videos

__all__ = [
    "Augmentation",
    "Batch",
    "CachedSource",
    "Checkpoint",
    "FrameObjective",
    "LossSettings",
    "OptimiserSettings",
    "Ownership",
    "PointSampling",
    "RenderedSource",
    "RenderedVideo",
    "Run",
    "SequenceDataset",
    "Targets",
    "TrainingConfig",
    "TrainingSample",
    "VideoObjective",
    "augment",
    "copy_paste",
    "initialise",
    "make_objective",
    "train",
    "validate_frames",
    "validate_videos",
    "warm_start",
]
