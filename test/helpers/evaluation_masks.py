"""Masks that are still, hidden or away."""

from __future__ import annotations

from typing import Any

LENGTH = 8


STILL: list[Any] = [(10, 10, 20, 16)] * LENGTH


AWAY: list[Any] = [(40, 30, 10, 10)] * LENGTH


def covered(frames: range, box: Any = (10, 10, 20, 16)) -> list[Any]:
    return [box if t in frames else None for t in range(LENGTH)]
