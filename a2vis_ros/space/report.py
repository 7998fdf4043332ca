"""Scores of the methods that are compared, as Markdown and as JSON: the same for bags and for benchmarks. No ROS."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .evaluation import WITHIN, Paired, SpaceScorer, View, ViewScore, paired
from .rehearsal import METHODS, Method

DETAILED = METHODS[:1] + METHODS[3:5]
"""Methods of which all scores are told: with depth, and on the ground with amodal and with visible masks."""
CLAIM = METHODS[3:5]
"""Methods that are compared on the same objects: on the ground, amodal masks and visible ones in their place."""
HALF_HIDDEN = {
    "partly hidden": (View.FOOT_SEEN, View.FOOT_COVERED),
    "partly hidden, foot covered": (View.FOOT_COVERED,),
}
"""How objects are seen on which they are compared."""

Groups = Mapping[str, Mapping[Method, SpaceScorer]]
"""Scorers of every method, by the masks (and sensors) that these were given."""

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
    "width_median": "width, median",
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


def claim(groups: Groups) -> str:
    """Return a Markdown table of amodal masks against visible ones, on objects of which both say something.

    Medians of all that each says would be of different objects.
    """
    header = (
        "masks",
        "seen",
        "both say something of",
        "amodal, median (m)",
        "visible, median (m)",
        "amodal is nearer",
        "gain, median and 95 % by clips (m)",
    )
    rows = [
        [
            group,
            seen,
            str(one.objects),
            _text(one.median),
            _text(one.other_median),
            "-" if math.isnan(one.nearer) else f"{one.nearer:.0%}",
            f"{_text(one.gain)} ({_text(one.gain_interval[0])} to {_text(one.gain_interval[1])})",
        ]
        for group, seen, one in _claim(groups)
    ]
    return _markdown(header, rows)


def document(groups: Groups) -> dict[str, Any]:
    """Return all numbers as JSON: those of every group and method, and the claim; what is no finite number is null."""
    found: dict[str, Any] = {
        group: {
            method.name: {
                "frames": scorer.frames,
                "false_estimates": scorer.false_estimates,
                "foot_covered_median_interval": _finite(scorer.median_interval([View.FOOT_COVERED])),
                "views": as_json(scorer.scores()),
            }
            for method, scorer in scorers.items()
        }
        for group, scorers in groups.items()
    }
    found["claim"] = [
        {"masks": group, "seen": seen, **{name: _finite(value) for name, value in asdict(one).items()}}
        for group, seen, one in _claim(groups)
    ]
    return found


def compact(found: Mapping[str, Any]) -> str:
    """Return a document of `document`, with what was added to it, as JSON that is small enough to be kept.

    Numbers have four digits, scores of a way of being seen are a list whose names are in `columns`, and a method is a
    line.
    """
    small: dict[str, Any] = {"columns": list(ViewScore.__dataclass_fields__)}
    for key, value in found.items():
        if isinstance(value, Mapping):
            value = {
                name: {**one, "views": {seen: [*scores.values()] for seen, scores in one["views"].items()}}
                for name, one in value.items()
            }
        small[key] = value
    return _lines(_rounded(small), 2) + "\n"


def as_json(scores: Mapping[View, ViewScore]) -> dict[str, dict[str, Any]]:
    """Scores by the names of ways of being seen; what is no finite number is null."""
    return {
        view.value: {name: _finite(value) for name, value in asdict(score).items()} for view, score in scores.items()
    }


def _claim(groups: Groups) -> Iterator[tuple[str, str, Paired]]:
    """Each group, how objects are seen, and how the two methods compare on these."""
    amodal, visible = CLAIM
    for group, scorers in groups.items():
        for seen, views in HALF_HIDDEN.items():
            yield group, seen, paired(scorers[amodal], scorers[visible], views)


def _finite(value: Any) -> Any:
    """Return a number, or several, with None for what JSON has no number for."""
    if isinstance(value, tuple):
        return [_finite(one) for one in value]
    return value if math.isfinite(value) else None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _lines(value: Any, depth: int) -> str:
    """JSON with an entry a line down to a depth, and in one line below it."""
    if not depth or not isinstance(value, dict | list) or not value:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    if isinstance(value, dict):
        entries, ends = [f"{json.dumps(name)}: {_lines(one, depth - 1)}" for name, one in value.items()], "{}"
    else:
        entries, ends = [_lines(one, depth - 1) for one in value], "[]"
    return f"{ends[0]}\n" + ",\n".join(entries) + f"\n{ends[1]}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else "-" if math.isnan(value) else f"{value:.2f}"
