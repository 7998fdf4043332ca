"""Tables of results in Markdown, laid out as the paper's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import LONGEST_NAME, printable
from .id_survival import LENGTHS

Row = Mapping[str, Any]
"""Results of one system by their keys, and its "name"."""


class _Column(NamedTuple):
    title: str
    key: str
    percent: bool = True
    higher: bool = True


class _Table(NamedTuple):
    title: str
    columns: tuple[_Column, ...]
    prefix: str = ""


def _tracking(name: str) -> tuple[_Column, ...]:
    return (
        _Column("HOTA↑", f"{name}.HOTA"),
        _Column("DetA↑", f"{name}.DetA"),
        _Column("AssA↑", f"{name}.AssA"),
        _Column("IDF1↑", f"{name}.IDF1"),
        _Column("IDs↓", f"{name}.IDs", percent=False, higher=False),
        _Column("MOTA↑", f"{name}.MOTA"),
    )


def _precision(kind: str) -> tuple[_Column, ...]:
    return tuple(_Column(f"{name}↑", f"{kind}.{name}") for name in ("AP", "AP50", "AP75", "AR"))


_OCCLUSION = (
    _Column("AP↑", "amodal.AP"),
    _Column("AR↑", "amodal.AR"),
    _Column("HOTA↑", "boxes.HOTA"),
    _Column("IDF1↑", "boxes.IDF1"),
    _Column("IDs↓", "boxes.IDs", percent=False, higher=False),
)
_CLASS_COLUMNS = (
    _Column("visible AP↑", "visible.AP"),
    _Column("amodal AP↑", "amodal.AP"),
    _Column("amodal AR↑", "amodal.AR"),
    _Column("HOTA↑", "boxes.HOTA"),
    _Column("IDF1↑", "boxes.IDF1"),
    _Column("IDs↓", "boxes.IDs", percent=False, higher=False),
    _Column("visible HOTA↑", "visible_boxes.HOTA"),
    _Column("visible IDF1↑", "visible_boxes.IDF1"),
)
_RANGES = [f"{a}-{b - 1}" for a, b in zip(LENGTHS, LENGTHS[1:], strict=False)] + [f"{LENGTHS[-1]}+"]
_TABLES = (
    _Table("Visible segmentation and boxes (paper Table 1)", (*_precision("visible"), *_tracking("visible_boxes"))),
    _Table("Amodal segmentation and boxes (paper Tables 2 and 3)", (*_precision("amodal"), *_tracking("boxes"))),
    _Table("Objects hidden less than the split (paper Table 9)", _OCCLUSION, "occluded.low."),
    _Table("Objects hidden more than the split (paper Table 9)", _OCCLUSION, "occluded.high."),
    _Table(
        "The hidden part alone",
        (
            _Column("IoU↑", "hidden.IoU"),
            _Column("pixel IoU↑", "hidden.pixel_IoU"),
            _Column("found↑", "hidden.found"),
            _Column("object-frames", "hidden.object_frames", percent=False),
        ),
    ),
    _Table(
        "IDs that survive an occlusion, by its length in frames",
        tuple(_Column(f"{name}↑", f"survival.{name}.survived") for name in (*_RANGES, "all")),
    ),
    _Table("Mask tracking (MOTS)", _tracking("masks")),
    _Table(
        "Cost (paper Table 12)",
        (
            _Column("amodal AP↑", "amodal.AP"),
            _Column("IDs↓", "boxes.IDs", percent=False, higher=False),
            _Column("parameters↓", "parameters", percent=False, higher=False),
            _Column("frames/s↑", "fps", percent=False),
        ),
    ),
)
_NEEDED = {"IDs↓", "parameters↓", "object-frames"}  # These numbers alone make no table.


def markdown(rows: Sequence[Row], *, classes: bool = True) -> str:
    """Return all tables for which there are values; the best of several rows is bold. Shares are in percent.

    Args:
        rows: results, one row per system.
        classes: whether to add the tables by class.
    """
    parts = [_render(table, rows) for table in _TABLES]
    if classes:
        parts += [_by_class(row) for row in rows]
    if len(rows) > 1:
        parts.append(_beaten(rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def _by_class(row: Row) -> str:
    """Return the table of one system by class, one row per class."""
    names = dict.fromkeys(key.split(".")[1] for key in row if key.startswith("classes."))
    values = [{**_below(row, f"classes.{name}."), "name": name} for name in names]
    return _render(_Table(f"By class: {_name(row)}", _CLASS_COLUMNS), values, best=False)


def _name(row: Row) -> str:
    """Return the name of a system or class, which may come from a file, fit for a terminal."""
    return printable(str(row.get("name", "")), LONGEST_NAME)


def _below(row: Row, prefix: str) -> dict[str, Any]:
    return {key[len(prefix) :]: value for key, value in row.items() if key.startswith(prefix)}


def _render(table: _Table, rows: Sequence[Row], *, best: bool = True) -> str:
    """Return one table; "" when no row has a value for it. The best of several rows is bold on request."""
    columns = [c for c in table.columns if any(row.get(table.prefix + c.key) is not None for row in rows)]
    if not {c.title for c in columns} - _NEEDED:
        return ""
    winners = {c: _best([row.get(table.prefix + c.key) for row in rows], c) for c in columns}
    lines = [f"### {table.title}", "", "| | " + " | ".join(c.title for c in columns) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    for row in rows:
        cells = []
        for column in columns:
            value = row.get(table.prefix + column.key)
            text = _text(value, column)
            wins = (
                best and len(rows) > 1 and column.title[-1] in "↑↓" and value is not None and value == winners[column]
            )
            cells.append(f"**{text}**" if wins else text)
        lines.append(f"| {_name(row)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _text(value: Any, column: _Column) -> str:
    if value is None:
        return "–"
    if column.percent:
        return f"{100 * value:.2f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _best(values: Sequence[Any], column: _Column) -> Any:
    known = [value for value in values if value is not None]
    return (max if column.higher else min)(known)


def _beaten(rows: Sequence[Row]) -> str:
    """List the values in which another row beats the first row, the system under test."""
    first, lines = rows[0], []
    for table in _TABLES:
        for column in table.columns:
            key = table.prefix + column.key
            values = {row["name"]: row[key] for row in rows[1:] if row.get(key) is not None}
            own = first.get(key)
            if own is None or not values or column.title[-1] not in "↑↓":
                continue
            name = (max if column.higher else min)(values, key=values.__getitem__)
            if values[name] != own and (values[name] > own) == column.higher:
                lines.append(f"- {key}: {name} {_text(values[name], column)}, {first['name']} {_text(own, column)}")
    lines = list(dict.fromkeys(lines))
    if not lines:
        return f"No other row is better than {first['name']} in any of these."
    return f"### Where another is better than {first['name']}\n\n" + "\n".join(lines)
