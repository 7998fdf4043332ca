"""Average precision and recall of tracks: the YouTube-VIS protocol, matched and accumulated by TrackEval.

A track is one detection. Its overlap with an object is the spatio-temporal IoU; a match counts at the thresholds
0.5, 0.55, ..., 0.95 that the overlap reaches. Classes are evaluated separately and averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compat import PrecomputedTrackMAP

IOU_THRESHOLDS = np.arange(0.5, 0.96, 0.05)
RECALL_POINTS = np.linspace(0, 1, 101)

ClassMatches = dict[str, Any]
"""TrackEval's matches of one class in one video, as its accumulation step reads them."""


class Curve(NamedTuple):
    """Precision and recall averaged over classes; -1 where no class has an object."""

    precision: NDArray[np.float64]
    """Precision [10, 101] over IoU thresholds and recall points."""
    recall: NDArray[np.float64]
    """Recall [10] over IoU thresholds."""


def match_tracks(
    iou: NDArray[np.float64],
    scores: NDArray[np.float64],
    ignored: NDArray[np.bool_],
    *,
    labelled: bool = True,
) -> ClassMatches | None:
    """Match the predictions of one class in one video.

    Args:
        iou: [P, G] spatio-temporal IoU of predictions and objects.
        scores: [P] confidences of the predictions.
        ignored: [G] objects that do not count; a prediction that matches one does not count either.
        labelled: whether every object of the class is annotated; if not, predictions that match none do not count.

    Returns:
        The matches, or None where there are neither objects nor predictions.
    """
    order = np.argsort(-scores, kind="mergesort")
    data = {
        # TrackEval reads the ID 0 in a match as "no match", so IDs start at 1.
        "gt_track_ids": list(range(1, iou.shape[1] + 1)),
        "dt_track_ids": list(range(1, iou.shape[0] + 1)),
        "gt_tracks": [None] * iou.shape[1],
        "dt_tracks": iou[order],
        "gt_track_iscrowd": ignored.tolist(),
        "dt_track_scores": scores[order],
        "iou_type": "mask",
        "not_exhaustively_labeled": not labelled,
    }
    matches: ClassMatches | None = _accumulator(0).eval_sequence(data)[0]
    return matches


def accumulate(videos: Sequence[Mapping[int, ClassMatches | None]], classes: Sequence[int], max_tracks: int) -> Curve:
    """Compute precision and recall over all videos, averaged over the classes that have objects.

    Args:
        videos: matches of each video by class.
        classes: category IDs to average over.
        max_tracks: predictions counted in a video and class, those of the highest scores; 0 counts all.
    """
    accumulator = _accumulator(max_tracks)
    precisions, recalls = [], []
    for class_id in classes:
        matches = {number: [video.get(class_id)] for number, video in enumerate(videos)}
        result = accumulator.combine_sequences(matches)
        if result["recall"][0, 0] >= 0:
            precisions.append(result["precision"][:, :, 0])
            recalls.append(result["recall"][:, 0])
    if not precisions:
        return Curve(np.full((len(IOU_THRESHOLDS), len(RECALL_POINTS)), -1.0), np.full(len(IOU_THRESHOLDS), -1.0))
    return Curve(np.mean(precisions, axis=0), np.mean(recalls, axis=0))


def summarise(
    videos: Sequence[Mapping[int, ClassMatches | None]],
    classes: Sequence[int],
    *,
    max_tracks: int,
    recall_tracks: int,
) -> dict[str, float | None]:
    """Compute AP, AP50 and AP75 with `max_tracks`, AR with `recall_tracks`, AR1 and AR10.

    A value is None where there is no object.
    """
    curve = accumulate(videos, classes, max_tracks)
    recalls = {number: accumulate(videos, classes, number).recall.mean() for number in {recall_tracks, 1, 10}}
    values = {
        "AP": curve.precision.mean(),
        "AP50": curve.precision[0].mean(),
        "AP75": curve.precision[5].mean(),
        "AR": recalls[recall_tracks],
        "AR1": recalls[1],
        "AR10": recalls[10],
    }
    return {key: None if value < 0 else float(value) for key, value in values.items()}


def _accumulator(max_tracks: int) -> PrecomputedTrackMAP:
    return PrecomputedTrackMAP(
        {
            "USE_AREA_RANGES": False,
            "USE_TIME_RANGES": False,
            "IOU_THRESHOLDS": IOU_THRESHOLDS,
            "RECALL_THRESHOLDS": RECALL_POINTS,
            "MAX_DETECTIONS": max_tracks,
            "PRINT_CONFIG": False,
        }
    )
