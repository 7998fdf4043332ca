"""Tables in Markdown: in the shape of the paper's, with intervals, and "not run" where a result is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .collected import System, difference
from .statistics import Estimate

NOT_RUN = "not run"

_PERCENT = ("AP", "AP50", "AP75", "AR", "HOTA", "DetA", "AssA", "IDF1", "IoU", "found")


class PaperTable(NamedTuple):
    """A table of the paper: its rows by our names, and its columns by title and measure."""

    title: str
    rows: Mapping[str, str]
    """Row of the study by label."""
    columns: Mapping[str, str]
    compared: str = "A2VIS"
    """Row that the others are compared with; bold differences exclude zero."""


_AMODAL = {"AP": "amodal.AP", "AR": "amodal.AR", "HOTA": "boxes.HOTA", "IDF1": "boxes.IDF1"}
_SWITCHES = {"IDs": "boxes.IDs"}

PAPER: tuple[PaperTable, ...] = (
    PaperTable(
        "Table 2: amodal tracking",
        {
            name: name
            for name in (
                "MinVIS-Amodal", "VITA-Amodal", "GenVIS-Amodal", "detector + ByteTrack", "A2VIS, hidden stand still",
                "A2VIS", "A2VIS, as it ships",
            )
        },
        {"AP": "amodal.AP", "AP50": "amodal.AP50", "AP75": "amodal.AP75", **_AMODAL, **_SWITCHES},
    ),
    PaperTable(
        "Table 4: priors in SAMH",
        {
            "neither": "without VSPM and ASPM",
            "ASPM alone": "without VSPM",
            "VSPM alone": "without ASPM",
            "both": "A2VIS",
        },
        _AMODAL,
    ),
    PaperTable(
        "Table 5: clip length",
        {"N_c = 1": "N_c = 1", "N_c = 3": "A2VIS", "N_c = 5": "N_c = 5"},
        {**_AMODAL, **_SWITCHES},
    ),
    PaperTable(
        "Table 6: layers of SAMH",
        {"L = 1": "L = 1", "L = 2": "A2VIS", "L = 3": "L = 3"},
        {**_AMODAL, "parameters": "parameters"},
    ),
    PaperTable(
        "Table 8: visible tracking with and without SAMH",
        {"without SAMH": "without SAMH", "with SAMH": "A2VIS"},
        {
            "AP": "visible.AP",
            "AR": "visible.AR",
            "HOTA": "visible_boxes.HOTA",
            "IDF1": "visible_boxes.IDF1",
            "IDs": "visible_boxes.IDs",
        },
    ),
    PaperTable(
        "Table 9: objects hidden by half at most",
        {"GenVIS-Amodal": "GenVIS-Amodal", "A2VIS": "A2VIS"},
        {title: f"occluded.low.{key}" for title, key in {**_AMODAL, **_SWITCHES}.items()},
    ),
    PaperTable(
        "Table 9: objects hidden by more than half",
        {"GenVIS-Amodal": "GenVIS-Amodal", "A2VIS": "A2VIS"},
        {title: f"occluded.high.{key}" for title, key in {**_AMODAL, **_SWITCHES}.items()},
    ),
    PaperTable(
        "Table 12: cost",
        {"GenVIS-Amodal": "GenVIS-Amodal", "A2VIS": "A2VIS"},
        {"AP": "amodal.AP", "IDs": "boxes.IDs", "parameters": "parameters", "frames/s": "fps"},
    ),
)  # fmt: skip
"""The tables of the paper that the study "claims" repeats in small; Table 3's trackers are rows of Table 2."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, the first column of which are labels."""
    lines = [f"| {' | '.join(header)} |", "|---|" + "---:|" * (len(header) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def paper_table(which: PaperTable, systems: Mapping[str, System]) -> str:
    """Return a table of the paper with the systems that were measured; others are "not run"."""
    rows = []
    for label, name in which.rows.items():
        system = systems.get(name)
        if system is None or not system.sets:
            rows.append([label, *[NOT_RUN] * (len(which.columns) + 1)])
            continue
        base = systems.get(which.compared) if name != which.compared else None
        cells = [_cell(system, base, key) for key in which.columns.values()]
        rows.append([label, *cells, f"{len(system.seeds)} x {system.clips(system.sets)}"])
    return table(["", *which.columns, "seeds x clips"], rows)


def _cell(system: System, base: System | None, key: str) -> str:
    if key == "parameters":
        return NOT_RUN if system.parameters is None else f"{system.parameters:,}"
    if key == "fps":
        return NOT_RUN if system.fps is None else f"{system.fps:.1f}"
    text = interval(system.estimate(key), key)
    apart = base is not None and difference(system, base, key).excludes_zero
    return f"**{text}**" if apart else text


def interval(found: Estimate, key: str) -> str:
    """Return a value with its interval, shares in percent; "–" where it is undefined."""
    if not found.known:
        return "–"
    if key.rpartition(".")[2] in _PERCENT or key.startswith("survival."):
        return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
    return f"{found.value:.0f} [{found.low:.0f}, {found.high:.0f}]"


def change(found: Estimate, key: str) -> str:
    """Return a difference in points with its interval, bold where the interval excludes zero."""
    if not found.known:
        return "–"
    scale, digits = (100, 1) if key.rpartition(".")[2] in _PERCENT else (1, 0)
    values = [f"{scale * value:+.{digits}f}" for value in (found.value, found.low, found.high)]
    text = f"{values[0]} [{values[1]}, {values[2]}]"
    return f"**{text}**" if found.excludes_zero else text
