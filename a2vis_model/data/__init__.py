"""Data sets: FISHBOWL, SAIL-VOS, YouTube-VIS and OVIS, amodal COCO, all in one internal form (see `video`)."""

from .amodal_coco import open_amodal_coco
from .dataset import Dataset
from .fishbowl import FISHBOWL_CLASSES, open_fishbowl
from .formats import FORMATS, open_dataset
from .problems import DataError, DataProblem, ProblemLog
from .sailvos import open_sailvos
from .statistics import Statistics, survey
from .video import AmodalRule, MaskTrack, ObjectTrack, Sample, VideoRecord
from .ytvis import open_ytvis

__all__ = [
    "FISHBOWL_CLASSES",
    "FORMATS",
    "AmodalRule",
    "DataError",
    "DataProblem",
    "Dataset",
    "MaskTrack",
    "ObjectTrack",
    "ProblemLog",
    "Sample",
    "Statistics",
    "VideoRecord",
    "open_amodal_coco",
    "open_dataset",
    "open_fishbowl",
    "open_sailvos",
    "open_ytvis",
    "survey",
]
