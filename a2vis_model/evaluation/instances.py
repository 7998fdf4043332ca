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
"""One run-length mask per frame; None where there is none."""


class Role(IntEnum):
    """How box tracking counts an object in a frame."""

    COUNTED = 0
    IGNORED = 1
    """A prediction that matches the object is neither right nor wrong (MOT Challenge's distractors, COCO's crowds)."""
    DROPPED = 2
    """The object is removed, so that a prediction on it is wrong (MOT Challenge's rows marked with 0)."""


@dataclass(frozen=True)
class VideoInfo:
    """A video without its pixels; height and width are 0 where the format does not state them."""

    video_id: int
    name: str
    length: int
    height: int = 0
    width: int = 0
    labelled: tuple[int, ...] | None = None
    """Category IDs of the classes of which every object is annotated; None for all classes.

    A prediction of another class that matches no object is neither right nor wrong.
    """

    def labels(self, class_id: int) -> bool:
        """Return whether every object of a class is annotated."""
        return self.labelled is None or class_id in self.labelled


@dataclass
class TrackRecord:
    """One object of the ground truth, or one prediction, over the T frames of a video."""

    track_id: int
    class_id: int
    score: float = 1.0
    amodal_score: float | None = None
    """Confidence for the average precision of amodal masks; None where it equals `score`."""
    visible: Masks | None = None
    amodal: Masks | None = None
    boxes: NDArray[np.float64] | None = None
    """Boxes [T, 4] (left, top, width, height) in pixels, NaN where absent; only from formats that have no masks."""
    roles: NDArray[np.int8] | None = None
    """`Role` [T] in each frame; None where every frame is counted."""
    visibility: NDArray[np.float64] | None = None
    """Visible share [T] of the object; only from formats that state it (MOT text)."""
    crowd: bool = False
    """COCO's iscrowd: excluded from average precision, ignored in box tracking."""

    def score_of(self, kind: Kind) -> float:
        """Return the confidence for average precision of a kind of masks."""
        return self.score if kind == "visible" or self.amodal_score is None else self.amodal_score

    def masks(self, kind: Kind) -> Masks | None:
        """Return the masks of a kind; None where the format has none."""
        return self.visible if kind == "visible" else self.amodal


@dataclass
class VideoTracks:
    """All tracks of one side, ground truth or prediction, in one video."""

    info: VideoInfo
    tracks: list[TrackRecord] = field(default_factory=list)
    ignore_regions: Masks | None = None
    """Regions of MOTS text in which unmatched predictions are not counted."""


class TrackSource(Protocol):
    """A file or folder of tracks that is read one video at a time; cheap to send to another process."""

    path: str
    problems: ProblemLog
    kinds: frozenset[Kind]
    """Kinds of masks in the files; empty where they hold boxes alone."""

    def read(self, video: VideoInfo) -> VideoTracks:
        """Read the tracks of a video; broken ones are reported and left out."""


def mask_areas(masks: Masks) -> NDArray[np.int64]:
    """Count the pixels [T] of each mask."""
    areas = np.zeros(len(masks), np.int64)
    present = {t: mask for t, mask in enumerate(masks) if mask is not None}
    if present:
        areas[list(present)] = coco.areas(list(present.values()))
    return areas


def mask_boxes(masks: Masks) -> NDArray[np.float64]:
    """Compute tight boxes [T, 4] (left, top, width, height) in pixels, NaN where a mask is missing or empty."""
    boxes = np.full((len(masks), 4), np.nan)
    present = {t: mask for t, mask in enumerate(masks) if mask is not None}
    if present:
        boxes[list(present)] = coco.boxes(list(present.values()))
        boxes[boxes[:, 2] <= 0] = np.nan
    return boxes


def track_boxes(track: TrackRecord, kind: Kind) -> NDArray[np.float64] | None:
    """Return boxes [T, 4] of the file, else those around the masks of a kind; None where there are neither."""
    if track.boxes is not None:
        return track.boxes
    masks = track.masks(kind)
    return None if masks is None else mask_boxes(masks)
