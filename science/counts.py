"""Counts of one clip as small JSON, from which every measure of the studies can be computed for any sample of clips."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2vis_model.evaluation.average_precision import IOU_THRESHOLDS, ClassMatches
from a2vis_model.evaluation.box_tracking import TrackingCounts
from a2vis_model.evaluation.occlusion import GROUPS
from a2vis_model.evaluation.video_score import VideoScore

_BITS = 1 << np.arange(len(IOU_THRESHOLDS), dtype=np.int64)
_CLEAR = ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "Frag")
_IDENTITY = ("IDTP", "IDFN", "IDFP")
_HIDDEN = ("object_frames", "found", "iou_sum", "common", "either")
_TRACKING = (("boxes", "all"), ("boxes", "low"), ("boxes", "high"), ("visible_boxes", "all"))
"""Box tracking that is kept: what is tracked and group of objects. Others are in no table of the studies."""


@dataclass(frozen=True)
class ClassCounts:
    """Predictions of one class in one clip, best first, and the number of its objects."""

    scores: NDArray[np.float64]
    """Scores [P], falling."""
    hits: NDArray[np.bool_]
    """Whether a prediction matches an object, [10, P] over IoU thresholds."""
    ignored: NDArray[np.bool_]
    """Whether a prediction does not count, [10, P]."""
    objects: int
    """Number of objects that count."""


@dataclass(frozen=True)
class ClipCounts:
    """The counts of one clip."""

    name: str
    frames: int
    objects: int
    precision: Mapping[str, Mapping[int, ClassCounts]] = field(default_factory=dict)
    """By kind and group, as in "amodal.high", then by class."""
    tracking: Mapping[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)
    """By what is tracked and group, as in "boxes.all", then by field.

    The fields are TrackEval's sums; of HOTA its true positives [19] and AssA [19] over thresholds, and the number of
    boxes of either side, `truth` and `found`.
    """
    hidden: Mapping[str, float] = field(default_factory=dict)
    """Sums of the hidden part."""
    survival: tuple[tuple[int, int, bool], ...] = ()
    """Occlusions: frames, frames in which the ID stayed on the object, and whether the ID survived."""

    @classmethod
    def of(cls, score: VideoScore, groups: Collection[str] = GROUPS) -> ClipCounts:
        """Take what the studies need of a clip's score, for some groups of objects."""
        precision = {
            f"{kind}.{group}": {number: _of_class(found) for number, found in classes.items() if found is not None}
            for kind, matches in score.matches.items()
            for group, classes in matches.items()
            if group in groups
        }
        tracking = {
            f"{name}.{group}": _of_tracking(score.tracking[name][group][None])
            for name, group in _TRACKING
            if group in groups and group in score.tracking.get(name, {})
        }
        hidden = {} if score.hidden is None else {name: float(getattr(score.hidden, name)) for name in _HIDDEN}
        episodes = tuple((e.frames, e.followed, e.survived) for e in score.survival or ())
        info = score.info
        return cls(info.name, info.length, score.objects.get("all", 0), precision, tracking, hidden, episodes)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON; [10, P] decisions become one number a prediction, bit i for threshold i."""
        return {
            "name": self.name,
            "frames": self.frames,
            "objects": self.objects,
            "precision": {
                name: {
                    str(number): {
                        "scores": [round(float(value), 6) for value in found.scores],
                        "hits": (_BITS @ found.hits).tolist(),
                        "ignored": (_BITS @ found.ignored).tolist(),
                        "objects": found.objects,
                    }
                    for number, found in classes.items()
                }
                for name, classes in self.precision.items()
            },
            "tracking": {
                name: {key: _rounded(values) for key, values in sums.items()} for name, sums in self.tracking.items()
            },
            "hidden": {name: round(value, 5) for name, value in self.hidden.items()},
            "survival": [[frames, followed, int(survived)] for frames, followed, survived in self.survival],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ClipCounts:
        """Undo `as_json`."""
        return cls(
            name=content["name"],
            frames=content["frames"],
            objects=content["objects"],
            precision={
                name: {
                    int(number): ClassCounts(
                        np.array(found["scores"], np.float64),
                        _unpacked(found["hits"]),
                        _unpacked(found["ignored"]),
                        found["objects"],
                    )
                    for number, found in classes.items()
                }
                for name, classes in content["precision"].items()
            },
            tracking={
                name: {key: np.array(values, np.float64) for key, values in sums.items()}
                for name, sums in content["tracking"].items()
            },
            hidden=content["hidden"],
            survival=tuple((frames, followed, bool(survived)) for frames, followed, survived in content["survival"]),
        )


def _of_class(found: ClassMatches) -> ClassCounts:
    hits = np.asarray(found["dt_matches"]) != -1
    return ClassCounts(
        scores=np.asarray(found["dt_scores"], np.float64),
        hits=hits,
        ignored=np.asarray(found["dt_ignore"], np.bool_),
        objects=int(np.count_nonzero(np.asarray(found["gt_ignore"]) == 0)),
    )


def _of_tracking(counts: TrackingCounts) -> dict[str, NDArray[np.float64]]:
    hota = counts.hota
    sources = ((("HOTA_TP", "AssA"), hota), (_CLEAR, counts.clear), (_IDENTITY, counts.identity))
    sums = {name: np.asarray(values[name], np.float64) for names, values in sources for name in names}
    # Each threshold shares the same boxes between true positives and the rest.
    sums["truth"] = np.asarray(hota["HOTA_TP"][0] + hota["HOTA_FN"][0], np.float64)
    sums["found"] = np.asarray(hota["HOTA_TP"][0] + hota["HOTA_FP"][0], np.float64)
    return sums


def _rounded(values: NDArray[np.float64]) -> Any:
    """Return numbers as JSON, whole ones without a fraction."""
    whole = values == np.rint(values)
    return values.astype(np.int64).tolist() if whole.all() else np.round(values, 4).tolist()


def _unpacked(numbers: list[int]) -> NDArray[np.bool_]:
    """Return bool [10, P]."""
    return (np.array(numbers, np.int64)[None] & _BITS[:, None]) > 0
