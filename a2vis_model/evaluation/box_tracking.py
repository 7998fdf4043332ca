"""HOTA, CLEAR MOT and identity measures, computed by TrackEval from overlaps in frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..extras import optional_packages
from ..masks import coco
from .instances import Masks, Role
from .overlaps import FrameOverlap

with optional_packages():
    from trackeval.metrics import CLEAR, HOTA, Identity

MATCH_IOU = 0.5
"""IoU that an object and a prediction need to match in CLEAR MOT, IDF1 and the timeline."""
ALPHAS = np.arange(0.05, 0.99, 0.05)
"""Overlap thresholds of HOTA."""

_COUNTED, _IGNORED = int(Role.COUNTED), int(Role.IGNORED)
_EPSILON = float(np.finfo(float).eps)

ClassMode = Literal["together", "averaged", "pooled"]
"""How box tracking treats classes.

`together`: all objects are one class, as in MOT Challenge. `averaged`: each class is scored and the values are
averaged. `pooled`: each class is matched by itself and the counts are added up.
"""


class TrackingCounts(NamedTuple):
    """TrackEval's counts for one video or for several."""

    hota: dict[str, Any]
    clear: dict[str, Any]
    identity: dict[str, Any]


class FastHOTA(HOTA):
    """TrackEval's HOTA with all thresholds of a frame counted at once, which is several times as fast."""

    def eval_sequence(self, data: dict[str, Any]) -> dict[str, Any]:
        """Count one video, given as TrackEval's metrics take it."""
        if not data["num_tracker_dets"] or not data["num_gt_dets"]:
            result: dict[str, Any] = super().eval_sequence(data)
            return result
        shape = data["num_gt_ids"], data["num_tracker_ids"]
        potential, objects, predictions = np.zeros(shape), np.zeros((shape[0], 1)), np.zeros((1, shape[1]))
        steps = list(zip(data["gt_ids"], data["tracker_ids"], data["similarity_scores"], strict=True))
        for g, p, similarity in steps:
            both = similarity.sum(0)[None] + similarity.sum(1)[:, None] - similarity
            potential[g[:, None], p] += np.where(both > _EPSILON, similarity / np.where(both > _EPSILON, both, 1), 0)
            objects[g] += 1
            predictions[0, p] += 1
        alignment = potential / (objects + predictions - potential)
        matches = np.zeros((len(self.array_labels), *shape))
        located = np.zeros(len(self.array_labels))
        for g, p, similarity in steps:
            if not len(g) or not len(p):
                continue
            rows, columns = linear_sum_assignment(-alignment[g[:, None], p] * similarity)
            overlap = similarity[rows, columns]
            hits = overlap >= self.array_labels[:, None] - _EPSILON
            matches[:, g[rows], p[columns]] += hits
            located += hits @ overlap
        found = matches.sum(axis=(1, 2))
        result = {"HOTA_TP": found, "HOTA_FN": objects.sum() - found, "HOTA_FP": predictions.sum() - found}
        for name, total in (
            ("AssA", objects + predictions - matches),
            ("AssRe", np.broadcast_to(objects, matches.shape)),
            ("AssPr", np.broadcast_to(predictions, matches.shape)),
        ):
            result[name] = (matches**2 / np.maximum(1, total)).sum(axis=(1, 2)) / np.maximum(1, found)
        result["LocA"] = np.maximum(1e-10, located) / np.maximum(1e-10, found)
        final: dict[str, Any] = self._compute_final_fields(result)
        return final


_HOTA = FastHOTA()
_CLEAR = CLEAR({"THRESHOLD": MATCH_IOU, "PRINT_CONFIG": False})
_IDENTITY = Identity({"THRESHOLD": MATCH_IOU, "PRINT_CONFIG": False})


def count_tracking(
    frames: Sequence[FrameOverlap],
    objects: NDArray[np.bool_],
    predictions: NDArray[np.bool_],
    roles: NDArray[np.int8],
    *,
    in_region: Sequence[NDArray[np.bool_]] | None = None,
) -> TrackingCounts:
    """Count one video.

    Args:
        frames: overlaps in each of the T frames.
        objects: [G] which of the objects take part, e.g. those of one class.
        predictions: [P] which of the predictions take part.
        roles: [G, T] `Role` of each object in each frame.
        in_region: for each frame [p], predictions in an ignore region, which do not count unless matched.
    """
    data = _prepared(frames, objects, predictions, roles, in_region)
    return TrackingCounts(_HOTA.eval_sequence(data), _CLEAR.eval_sequence(data), _IDENTITY.eval_sequence(data))


def combine_videos(videos: Sequence[TrackingCounts]) -> TrackingCounts:
    """Combine the counts of several videos, at least one."""
    hota, clear, identity = (dict(enumerate(counts)) for counts in zip(*videos, strict=True))
    return TrackingCounts(
        _HOTA.combine_sequences(hota), _CLEAR.combine_sequences(clear), _IDENTITY.combine_sequences(identity)
    )


def combine_classes(classes: Mapping[int, TrackingCounts], mode: ClassMode) -> TrackingCounts:
    """Combine the counts of several classes, at least one; averages leave out classes that neither side has."""
    hota, clear, identity = ({c: counts[i] for c, counts in classes.items()} for i in range(3))
    if mode == "averaged":
        return TrackingCounts(
            _HOTA.combine_classes_class_averaged(hota, ignore_empty_classes=True),
            _CLEAR.combine_classes_class_averaged(clear, ignore_empty_classes=True),
            _IDENTITY.combine_classes_class_averaged(identity, ignore_empty_classes=True),
        )
    return TrackingCounts(
        _HOTA.combine_classes_det_averaged(hota),
        _CLEAR.combine_classes_det_averaged(clear),
        _IDENTITY.combine_classes_det_averaged(identity),
    )


def tracking_values(counts: TrackingCounts) -> dict[str, float | int]:
    """Return the values that papers report and the counts behind them.

    HOTA, DetA and AssA are means over thresholds.
    """
    hota, clear, identity = counts
    return {
        **{name: float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA", "LocA")},
        "IDF1": float(identity["IDF1"]),
        "IDs": int(clear["IDSW"]),
        "MOTA": float(clear["MOTA"]),
        "sMOTA": float(clear["sMOTA"]),
        "TP": int(clear["CLR_TP"]),
        "FP": int(clear["CLR_FP"]),
        "FN": int(clear["CLR_FN"]),
        "fragments": int(clear["Frag"]),
    }


def match_timeline(frames: Sequence[FrameOverlap], objects: int) -> NDArray[np.int64]:
    """Find the prediction that follows each object, with the matching of CLEAR MOT.

    A pair stays matched from frame to frame while it overlaps enough; the others are matched for the greatest total
    overlap.

    Returns:
        [G, T] indices of predictions, -1 where none follows the object.
    """
    timeline = np.full((objects, len(frames)), -1, np.int64)
    previous = np.full(objects, -1, np.int64)
    for t, frame in enumerate(frames):
        g, p = frame.objects, frame.predictions
        if not len(g) or not len(p):
            continue
        score = 1000.0 * (p[None] == previous[g][:, None]) + frame.iou
        score[frame.iou < MATCH_IOU - _EPSILON] = 0
        rows, columns = linear_sum_assignment(-score)
        hit = score[rows, columns] > _EPSILON
        previous[:] = -1
        previous[g[rows[hit]]] = p[columns[hit]]
        timeline[:, t] = previous
    return timeline


def regions_of(
    predictions: Sequence[Masks], regions: Masks | None, frames: Sequence[FrameOverlap]
) -> list[NDArray[np.bool_]] | None:
    """For each frame, mark the predictions [p] that lie in its ignore region by more than half."""
    if regions is None:
        return None
    inside: list[NDArray[np.bool_]] = []
    for t, (region, frame) in enumerate(zip(regions, frames, strict=True)):
        masks = [mask for i in frame.predictions if (mask := predictions[i][t]) is not None]
        share = coco.iou(masks, [region] if region else [], over_first=True)
        inside.append(np.asarray((share > 0.5 + _EPSILON).any(axis=1), np.bool_))
    return inside


def _prepared(
    frames: Sequence[FrameOverlap],
    objects: NDArray[np.bool_],
    predictions: NDArray[np.bool_],
    roles: NDArray[np.int8],
    in_region: Sequence[NDArray[np.bool_]] | None,
) -> dict[str, Any]:
    """Convert one video to what TrackEval's metrics take; what does not count is removed as in TrackEval."""
    gt_ids, tracker_ids, similarities = [], [], []
    for t, frame in enumerate(frames):
        rows, columns = objects[frame.objects], predictions[frame.predictions]
        g, p, iou = frame.objects[rows], frame.predictions[columns], frame.iou[rows][:, columns]
        role = roles[g, t]
        gone = np.zeros(len(p), np.bool_)
        if len(g) and len(p) and ((role == _IGNORED).any() or in_region is not None):
            score = np.where(iou < MATCH_IOU - _EPSILON, 0, iou)
            matched = linear_sum_assignment(-score)
            hit = score[matched] > _EPSILON
            gone[matched[1][hit]] = role[matched[0][hit]] == _IGNORED
            if in_region is not None:
                free = np.ones(len(p), np.bool_)
                free[matched[1][hit]] = False
                gone |= free & in_region[t][columns]
        elif in_region is not None:
            gone = in_region[t][columns]
        counted = role == _COUNTED
        # A frame without objects and predictions changes no measure.
        if counted.any() or not gone.all():
            gt_ids.append(g[counted])
            tracker_ids.append(p[~gone])
            similarities.append(iou[counted][:, ~gone])
    gt_ids, gt_count = _relabelled(gt_ids)
    tracker_ids, tracker_count = _relabelled(tracker_ids)
    return {
        "num_timesteps": len(gt_ids),
        "gt_ids": gt_ids,
        "tracker_ids": tracker_ids,
        "similarity_scores": similarities,
        "num_gt_ids": gt_count,
        "num_tracker_ids": tracker_count,
        "num_gt_dets": sum(map(len, gt_ids)),
        "num_tracker_dets": sum(map(len, tracker_ids)),
    }


def _relabelled(ids: list[NDArray[np.intp]]) -> tuple[list[NDArray[np.intp]], int]:
    """Renumber indices as 0, 1, ... without gaps, and return their number."""
    if not ids:
        return ids, 0
    used, labels = np.unique(np.concatenate(ids), return_inverse=True)
    return np.split(labels, np.cumsum([len(part) for part in ids])[:-1]), len(used)
