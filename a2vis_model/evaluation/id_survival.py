"""Survival of track IDs through occlusions: does an object that was hidden come back with the same ID?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LENGTHS = (1, 5, 10, 20, 50)
"""First frame numbers of the length classes: 1-4, 5-9, 10-19, 20-49, 50 and more frames."""


class Episode(NamedTuple):
    """An occlusion of an object that was followed before it and is seen again after it."""

    frames: int
    followed: int
    """Number of frames of the occlusion in which the previous ID was still on the object."""
    survived: bool
    """Whether the first ID on the object after the occlusion is the previous one."""


def episodes(occlusion: NDArray[np.float64], timeline: NDArray[np.int64], at: float) -> list[Episode]:
    """Find the occlusions of one object.

    Args:
        occlusion: hidden share [T], NaN where the object is not in the frame.
        timeline: ID [T] that follows the object, -1 for none.
        at: hidden share from which the object counts as occluded.
    """
    hidden = occlusion >= at  # The comparison is false for NaN.
    edges = np.flatnonzero(np.diff(np.concatenate(([False], hidden, [False])).astype(np.int8)))
    found = []
    starts, stops = edges[::2].tolist(), edges[1::2].tolist()
    for start, stop, next_start in zip(starts, stops, [*starts, len(hidden)][1:], strict=True):
        if stop == len(hidden) or np.isnan(occlusion[stop]):
            continue  # The video ends first, or the object leaves the frame: survival cannot be decided.
        before = timeline[:start][timeline[:start] >= 0]
        if not len(before):
            continue
        after = timeline[stop:next_start][timeline[stop:next_start] >= 0]
        followed = int((timeline[start:stop] == before[-1]).sum())
        found.append(Episode(stop - start, followed, bool(len(after)) and bool(after[0] == before[-1])))
    return found


def survival(found: Iterable[Episode]) -> dict[str, float | int | None]:
    """Summarise occlusions by their length in frames.

    For each length class: the number of occlusions, the share that the ID survived, and the share of their frames in
    which the ID stayed on the object; and the longest occlusion that was survived.
    """
    all_episodes = list(found)
    values: dict[str, float | int | None] = {}
    for first, last in zip(LENGTHS, [*(length - 1 for length in LENGTHS[1:]), None], strict=True):
        name = f"{first}+" if last is None else f"{first}-{last}"
        values |= _summary(name, [e for e in all_episodes if first <= e.frames and (last is None or e.frames <= last)])
    values |= _summary("all", all_episodes)
    values["longest"] = max((e.frames for e in all_episodes if e.survived), default=0)
    return values


def _summary(name: str, chosen: list[Episode]) -> dict[str, float | int | None]:
    frames = sum(e.frames for e in chosen)
    return {
        f"{name}.episodes": len(chosen),
        f"{name}.survived": sum(e.survived for e in chosen) / len(chosen) if chosen else None,
        f"{name}.followed": sum(e.followed for e in chosen) / frames if frames else None,
    }
