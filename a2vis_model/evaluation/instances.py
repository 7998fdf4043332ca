"""Tracks as files hold them, ready to be compared: one region a frame, as COCO run lengths or as a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.problems import ProblemLog
from ..masks import coco
from ..masks.coco import Rle

Kind = Literal["visible", "amodal"]
KINDS: tuple[Kind, ...] = ("visible", "amodal")

Masks = Sequence[Rle | None]
"""One a frame; None where there is nothing."""


class Role(IntEnum):
    """What an object is to box tracking in a frame."""

    COUNTED = 0
    IGNORED = 1
    """A prediction that matches it is neither right nor wrong (MOT Challenge's distractors, COCO's crowds)."""
    DROPPED = 2
    """Not counted; a prediction there is wrong (MOT Challenge's rows marked with 0)."""


@dataclass(frozen=True)
class VideoInfo:
    """A video without its pictures; height and width are 0 where the format does not say them."""

    video_id: int
    name: str
    length: int
    height: int = 0
    width: int = 0
    labelled: tuple[int, ...] | None = None
    """Classes, by category ID, of which every object is in the ground truth; None for all. A prediction of another that
    matches no object is neither right nor wrong."""

    def labels(self, class_id: int) -> bool:
        """Whether every object of a class is in the ground truth."""
        return self.labelled is None or class_id in self.labelled


@dataclass
class Track:
    """One object of the ground truth, or one prediction, over the T frames of a video."""

    track_id: int
    class_id: int
    score: float = 1.0
    amodal_score: float | None = None
    """For the average precision of amodal masks, where it differs: confidences of the two kinds of masks do."""
    visible: Masks | None = None
    amodal: Masks | None = None
    boxes: NDArray[np.float64] | None = None
    """[T, 4] left, top, width, height in pixels, NaN where absent: of formats that have no masks."""
    roles: NDArray[np.int8] | None = None
    """[T] `Role` in each frame; all are counted where it is None."""
    visibility: NDArray[np.float64] | None = None
    """[T] visible share of the object, of formats that say it (MOT text)."""
    crowd: bool = False
    """COCO's iscrowd: left out of average precision, ignored in box tracking."""

    def score_of(self, kind: Kind) -> float:
        return self.score if kind == "visible" or self.amodal_score is None else self.amodal_score

    def masks(self, kind: Kind) -> Masks | None:
        return self.visible if kind == "visible" else self.amodal


@dataclass
class VideoTracks:
    """All tracks of one side, ground truth or prediction, in one video."""

    info: VideoInfo
    tracks: list[Track] = field(default_factory=list)
    ignore_regions: Masks | None = None
    """MOTS text: where unmatched predictions are not counted."""


class TrackSource(Protocol):
    """A file or folder of tracks, read one video at a time. Cheap to send to another process."""

    path: str
    problems: ProblemLog
    kinds: frozenset[Kind]
    """Of the masks in it; empty where it holds boxes alone."""

    def read(self, video: VideoInfo) -> VideoTracks:
        """The tracks of a video, none where there are none; broken ones are reported and left out."""


def mask_areas(masks: Masks) -> NDArray[np.int64]:
    """[T] pixels."""
    areas = np.zeros(len(masks), np.int64)
    present = {t: mask for t, mask in enumerate(masks) if mask is not None}
    if present:
        areas[list(present)] = coco.areas(list(present.values()))
    return areas


def mask_boxes(masks: Masks) -> NDArray[np.float64]:
    """[T, 4] tight boxes (left, top, width, height) in pixels, NaN where a mask is missing or empty."""
    boxes = np.full((len(masks), 4), np.nan)
    present = {t: mask for t, mask in enumerate(masks) if mask is not None}
    if present:
        boxes[list(present)] = coco.boxes(list(present.values()))
        boxes[boxes[:, 2] <= 0] = np.nan
    return boxes


def track_boxes(track: Track, kind: Kind) -> NDArray[np.float64] | None:
    """[T, 4] boxes of a kind: those of the file, else those around the masks; None where there are neither."""
    if track.boxes is not None:
        return track.boxes
    masks = track.masks(kind)
    return None if masks is None else mask_boxes(masks)
