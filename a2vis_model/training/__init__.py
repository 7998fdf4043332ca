"""Training: the frame stage, the video stage, or both jointly.

The parts, in the order of a step: `sources`, `draws` and `sequences` choose frames, `augmentation` and `copy_paste`
change them, `batch` stacks them, `objectives` run the network (`predictions`), match predictions with objects
(`matching`) and compute `losses`; `loop` ties them together and keeps the weights' average (`averaging`). `recipe`
describes the consecutive runs that produce a set of weights.
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
