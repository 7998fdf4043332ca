"""Occlusion of each object and the split of objects by it (paper Table 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .instances import TrackRecord, mask_areas
from .settings import SplitBy

Group = Literal["all", "low", "high"]
GROUPS: tuple[Group, ...] = ("all", "low", "high")


def start_when_seen(track: TrackRecord) -> TrackRecord:
    """Return the track without amodal masks before its first visible frame (paper 3.1)."""
    if track.visible is None or track.amodal is None:
        return track
    seen = np.flatnonzero(mask_areas(track.visible))
    first = int(seen[0]) if len(seen) else len(track.visible)
    amodal = [None] * first + list(track.amodal[first:])
    return TrackRecord(**{**vars(track), "amodal": amodal})


def occlusion_of(track: TrackRecord) -> NDArray[np.float64] | None:
    """Compute the hidden share [T] of an object: 1 - visible / amodal area.

    A value is NaN where the object is not in the frame or was never seen. The result is None where the ground truth
    does not state visible and amodal extent.
    """
    if track.visible is not None and track.amodal is not None:
        visible, amodal = mask_areas(track.visible), mask_areas(track.amodal)
        present = np.logical_or.accumulate(visible > 0) & (amodal > 0)
        return np.where(present, 1 - np.minimum(visible / np.maximum(amodal, 1), 1), np.nan)
    if track.visibility is not None and track.boxes is not None:
        return np.where(np.isnan(track.boxes[:, 0]), np.nan, 1 - track.visibility)
    return None


def outside(group: Group, occlusion: Sequence[NDArray[np.float64] | None], at: float, by: SplitBy) -> NDArray[np.bool_]:
    """Mark the objects [G] that do not belong to a group.

    An object of unknown occlusion belongs to the group "all" alone.
    """
    if group == "all":
        return np.zeros(len(occlusion), np.bool_)
    levels = np.array([_level(values, by) for values in occlusion], np.float64)
    high = levels > at
    return np.isnan(levels) | (high if group == "low" else ~high)


def _level(values: NDArray[np.float64] | None, by: SplitBy) -> float:
    known = np.zeros(0) if values is None else values[~np.isnan(values)]
    if not len(known):
        return float("nan")
    return float(known.max() if by == "peak" else known.mean())
