"""Measures over weighted clips: the values of the evaluation's tables for many samples of clips at once.

A sample of clips is a row of weights, how often each clip is in it. With weights of 1 the values are those of
`a2vis_model.evaluation.results_of`, which `test/science/test_study_measures.py` holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from a2vis_model.evaluation.average_precision import RECALL_POINTS

from .counts import ClipCounts

Weights = NDArray[np.float64]
"""Samples of clips [B, C]: how often clip c is in sample b."""
Values = NDArray[np.float64]
"""A measure of each sample [B]; NaN where it is undefined."""

_PRECISION = ("AP", "AP50", "AP75", "AR")
_TRACKING = ("HOTA", "DetA", "AssA", "IDF1", "IDs", "MOTA")


def measure(key: str, clips: Sequence[ClipCounts], weights: Weights) -> Values:
    """Compute one measure, named as in results.json: "amodal.AP", "occluded.high.boxes.HOTA", "hidden.IoU".

    "survival.A-B" is the share of the occlusions of A to B frames that the ID survived.

    Raises:
        KeyError: there is no such measure.
    """
    group = "all"
    name = key
    if key.startswith("occluded."):
        _, group, name = key.split(".", 2)
    what, _, value = name.partition(".")
    if what in ("visible", "amodal") and value in _PRECISION:
        return _precision(f"{what}.{group}", value, clips, weights)
    if what in ("boxes", "visible_boxes") and value in _TRACKING:
        return _tracking(f"{what}.{group}", value, clips, weights)
    if what == "hidden":
        above, below = {
            "IoU": ("iou_sum", "object_frames"),
            "pixel_IoU": ("common", "either"),
            "found": ("found", "object_frames"),
        }[value]
        return _ratio(weights @ _column(clips, above), weights @ _column(clips, below))
    if what == "survival":
        first, last = map(int, value.split("-"))
        chosen = [[e for e in clip.survival if first <= e[0] <= last] for clip in clips]
        survived = np.array([sum(e[2] for e in episodes) for episodes in chosen], np.float64)
        return _ratio(weights @ survived, weights @ np.array([len(episodes) for episodes in chosen], np.float64))
    raise KeyError(key)


def _column(clips: Sequence[ClipCounts], name: str) -> NDArray[np.float64]:
    return np.array([clip.hidden.get(name, 0.0) for clip in clips], np.float64)


def _ratio(above: Values, below: Values) -> Values:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def _precision(name: str, value: str, clips: Sequence[ClipCounts], weights: Weights) -> Values:
    """Average over classes; a class without objects in a sample does not count there."""
    numbers = sorted({number for clip in clips for number in clip.precision.get(name, {})})
    of_classes = [_class_precision(name, number, value, clips, weights) for number in numbers]
    if not of_classes:
        return np.full(len(weights), np.nan)
    table = np.stack(of_classes)
    known = ~np.isnan(table)
    return _ratio(np.where(known, table, 0).sum(axis=0), known.sum(axis=0).astype(np.float64))


def _class_precision(name: str, number: int, value: str, clips: Sequence[ClipCounts], weights: Weights) -> Values:
    found = [
        (c, clip.precision[name][number]) for c, clip in enumerate(clips) if number in clip.precision.get(name, {})
    ]
    most = 1 if value == "AR" else None  # AR counts the best prediction of a clip and class.
    objects = weights[:, [c for c, _ in found]] @ np.array([counts.objects for _, counts in found], np.float64)
    scores = np.concatenate([counts.scores[:most] for _, counts in found])
    order = np.argsort(-scores, kind="stable")
    hits = np.concatenate([counts.hits[:, :most] for _, counts in found], axis=1)[:, order]
    ignored = np.concatenate([counts.ignored[:, :most] for _, counts in found], axis=1)[:, order]
    owner = np.concatenate([np.full(len(counts.scores[:most]), c) for c, counts in found])[order]
    thresholds = {"AP50": [0], "AP75": [5]}.get(value, range(len(hits)))
    total = np.zeros(len(weights))
    for number_of in thresholds:
        counted = ~ignored[number_of]
        times = weights[:, owner]
        right = np.cumsum(times * (hits[number_of] & counted), axis=1)
        if value == "AR":
            total += _ratio(right[:, -1] if right.shape[1] else np.zeros(len(weights)), objects)
            continue
        wrong = np.cumsum(times * (~hits[number_of] & counted), axis=1)
        total += _area(right, wrong, objects)
    return total / len(thresholds)


def _area(right: NDArray[np.float64], wrong: NDArray[np.float64], objects: Values) -> Values:
    """Return the area under precision over recall, from cumulative sums [B, D] of right and wrong predictions."""
    if not right.shape[1]:
        return np.where(objects > 0, 0.0, np.nan)
    both = right + wrong
    precision = np.divide(right, both, out=np.zeros_like(right), where=both > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    areas = np.full(len(right), np.nan)
    for row in np.flatnonzero(objects > 0):
        places = np.searchsorted(right[row] / objects[row], RECALL_POINTS, side="left")
        reached = places < right.shape[1]
        areas[row] = envelope[row, places[reached]].sum() / len(RECALL_POINTS)
    return areas


def _tracking(name: str, value: str, clips: Sequence[ClipCounts], weights: Weights) -> Values:
    present = [c for c, clip in enumerate(clips) if name in clip.tracking]
    if not present:
        return np.full(len(weights), np.nan)
    times = weights[:, present]

    def total(field: str) -> NDArray[np.float64]:
        return times @ np.stack([clips[c].tracking[name][field] for c in present])

    if value == "IDs":
        return total("IDSW")
    if value == "IDF1":
        right = total("IDTP")
        return _ratio(right, right + 0.5 * (total("IDFN") + total("IDFP")))
    if value == "MOTA":
        right, missed = total("CLR_TP"), total("CLR_FN")
        return _ratio(right - total("CLR_FP") - total("IDSW"), right + missed)
    right = total("HOTA_TP")
    detection = right / np.maximum((total("truth") + total("found"))[:, None] - right, 1)
    # A mean of AssA over clips, weighted by true positives, as TrackEval combines sequences.
    pairs = np.stack([clips[c].tracking[name]["AssA"] * clips[c].tracking[name]["HOTA_TP"] for c in present])
    association = (times @ pairs) / np.maximum(right, 1)
    table = {"DetA": detection, "AssA": association, "HOTA": np.sqrt(detection * association)}[value]
    return np.asarray(table.mean(axis=1))
