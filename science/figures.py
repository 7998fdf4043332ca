"""Figures of the page, drawn from results alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from a2vis_model.files.atomic import replacing

from .statistics import Estimate

Line = Sequence[tuple[float, Estimate]]
"""Points of a line: place on the axis, and value."""


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})


def lines(path: Path, panels: Sequence[tuple[str, str, str, Mapping[str, Line]]]) -> None:
    """Draw panels side by side: title, names of the axes, and lines with bands of 95 %; values are shares."""
    figure = Figure(figsize=(5.2 * len(panels), 4.0), layout="constrained")
    for number, (title, below, beside, curves) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), number)
        for name, points in curves.items():
            known = [(place, found) for place, found in points if found.known]
            if not known:
                continue
            x = np.array([place for place, _ in known])
            (line,) = axes.plot(x, [100 * found.value for _, found in known], marker="o", markersize=3, label=name)
            low, high = ([100 * getattr(found, side) for _, found in known] for side in ("low", "high"))
            axes.fill_between(x, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
        axes.set(title=title, xlabel=below, ylabel=beside, xscale="log", ylim=(-2, 101))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    _save(figure, path)


def bars(path: Path, title: str, groups: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Draw differences in points as bars with intervals, one panel for each measure of `groups`."""
    figure = Figure(figsize=(4.6 * len(groups), 4.6), layout="constrained")
    figure.suptitle(title)
    for number, (name, values) in enumerate(groups.items(), 1):
        axes = figure.add_subplot(1, len(groups), number)
        labels = list(values)
        middle = np.array([100 * found.value for found in values.values()])
        low = middle - [100 * found.low for found in values.values()]
        high = np.array([100 * found.high for found in values.values()]) - middle
        errors = np.maximum(np.stack([low, high]), 0)
        axes.barh(range(len(labels)), middle, xerr=errors, color="#4878a8", ecolor="#333333", capsize=2)
        axes.set_yticks(range(len(labels)), labels if number == 1 else [""] * len(labels), fontsize=8)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set(title=name, xlabel="points gained")
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
    _save(figure, path)
