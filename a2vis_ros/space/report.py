"""Scores of the methods that are compared, as Markdown and as JSON: the same for bags and for benchmarks. No ROS."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .evaluation import WITHIN, SpaceScorer, View, ViewScore
from .rehearsal import METHODS, Method

DETAILED = METHODS[:1] + METHODS[3:5]
"""Methods of which all scores are told: with depth, and on the ground with amodal and with visible masks."""

_COLUMNS = {
    "objects": "objects",
    "recall": "recall",
    "within": f"within {WITHIN:g} m",
    "position_median": "position, median (m)",
    "position_p95": "p95 (m)",
    "position_std_median": "σ, median (m)",
    "velocity_median": "velocity, median (m/s)",
    "velocity_p95": "p95 (m/s)",
    "height_median": "height, median",
    "nees_mean": "NEES (2)",
    "nees_in_gate": "in the 95 % gate",
}


def comparison(scorers: Mapping[Method, SpaceScorer]) -> str:
    """Return a Markdown table of the median and 95th percentile of the position error in metres.

    It has a line for each method, a column for each way in which objects are seen, and the number of objects below.
    """
    scores = {method: scorer.scores() for method, scorer in scorers.items()}
    views = [view for view in View if any(view in found for found in scores.values())]
    rows = []
    for method, found in scores.items():
        cells = [
            f"{one.position_median:.2f} / {one.position_p95:.2f}"
            if one and not math.isnan(one.position_median)
            else "-"
            for one in (found.get(view) for view in views)
        ]
        rows.append([method.name, *cells])
    first = next(iter(scores.values()))
    rows.append(["objects", *(str(first[view].objects) if view in first else "0" for view in views)])
    return _markdown(["", *(view.value for view in views)], rows)


def details(scorers: Mapping[Method, SpaceScorer]) -> str:
    """Return a Markdown table of all scores of the `DETAILED` methods, one line for each way of being seen."""
    rows = [
        [method.name, view.value, *(_text(getattr(score, name)) for name in _COLUMNS)]
        for method in DETAILED
        if method in scorers
        for view, score in scorers[method].scores().items()
    ]
    return _markdown(["method", "seen", *_COLUMNS.values()], rows)


def as_json(scores: Mapping[View, ViewScore]) -> dict[str, dict[str, Any]]:
    """Scores by the names of ways of being seen; what is no finite number is null."""
    return {
        view.value: {
            name: value if math.isfinite(value) else None
            for name, value in ((name, getattr(score, name)) for name in ViewScore.__dataclass_fields__)
        }
        for view, score in scores.items()
    }


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else "-" if math.isnan(value) else f"{value:.2f}"
