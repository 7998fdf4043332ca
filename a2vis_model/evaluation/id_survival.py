"""How long an ID lives through occlusions: does an object that was hidden come back as the same?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LENGTHS = (1, 5, 10, 20, 50)
"""First frames of the classes of length: 1-4, 5-9, 10-19, 20-49, 50 and more."""


class Episode(NamedTuple):
    """An occlusion of an object that was followed before and is seen again after it."""

    frames: int
    followed: int
    """Of these, in which the ID of before was still on the object."""
    survived: bool
    """The first ID on the object afterwards is that of before."""


def episodes(occlusion: NDArray[np.float64], timeline: NDArray[np.int64], at: float) -> list[Episode]:
    """The occlusions of one object.

    Args:
        occlusion: [T] hidden share, NaN where the object is not there.
        timeline: [T] the ID that follows it, -1 for none.
        at: hidden share from which it is occluded.
    """
    hidden = occlusion >= at  # false for NaN
    edges = np.flatnonzero(np.diff(np.concatenate(([False], hidden, [False])).astype(np.int8)))
    found = []
    starts, stops = edges[::2].tolist(), edges[1::2].tolist()
    for start, stop, next_start in zip(starts, stops, [*starts, len(hidden)][1:], strict=True):
        if stop == len(hidden) or np.isnan(occlusion[stop]):
            continue  # the video ends first, or the object leaves: nobody can tell
        before = timeline[:start][timeline[:start] >= 0]
        if not len(before):
            continue
        after = timeline[stop:next_start][timeline[stop:next_start] >= 0]
        followed = int((timeline[start:stop] == before[-1]).sum())
        found.append(Episode(stop - start, followed, bool(len(after)) and bool(after[0] == before[-1])))
    return found


def survival(found: Iterable[Episode]) -> dict[str, float | int | None]:
    """By length of the occlusion in frames: their number, the share that the ID survived, and the share of their
    frames in which it stayed on the object; and the longest that was survived."""
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
