"""`a2vis ablate`: evaluate several networks and baselines on the same data and write one table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

from ..errors import A2VISError
from ..evaluation.baselines import SYSTEMS, System
from ..evaluation.report import markdown
from ..evaluation.runner import ModelSource
from ..evaluation.settings import settings_from
from ..files.atomic import write_text
from .evaluate import add_run_arguments, check_run_arguments, evaluate


class Entry(NamedTuple):
    """A row of the table."""

    name: str
    source: ModelSource
    system: System


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="NAME=WEIGHTS[:SYSTEM]",
        help="a row: its name, weights by name or file (PRESET? or PRESET/VARIANT? for a network without training), "
        f"and what to run: {', '.join(SYSTEMS)}. The first is the one that others are compared with",
    )
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate each system, print and write the table; return 1 if anything was broken in any of them."""
    check_run_arguments(args)
    settings = settings_from(args)
    entries = [parse_entry(text) for text in args.runs]
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        raise A2VISError(f"runs are called {', '.join(names)}; give each its own name")
    rows, status = [], 0
    output = Path(args.output)
    for entry in entries:
        print(f"== {entry.name}")
        results, failed = evaluate(args, entry.source, entry.system, output / entry.name, settings, entry.name)
        rows.append(results)
        status = max(status, failed)
    table = markdown(rows, classes=False)
    print(table)
    write_text(output / "table.md", table)
    write_text(output / "table.json", json.dumps(rows, indent=1) + "\n")
    return status


def parse_entry(text: str) -> Entry:
    """Parse `NAME=WEIGHTS[:SYSTEM]`, as the help of the command describes it."""
    name, equals, rest = text.partition("=")
    weights, colon, system = rest.rpartition(":")
    if not colon:
        weights, system = rest, "network"
    if not equals or not weights or not name or name.strip(".") == "" or "/" in name:
        raise A2VISError(f"run {text!r}: write NAME=WEIGHTS or NAME=WEIGHTS:SYSTEM, NAME being a name for a folder")
    if system not in SYSTEMS:
        raise A2VISError(f"run {text!r}: system {system!r} is none of {', '.join(SYSTEMS)}")
    if weights.endswith("?"):
        preset, _, variant = weights.removesuffix("?").partition("/")
        source = ModelSource(None, preset, variant or None)
    else:
        source = ModelSource(weights)
    return Entry(name, source, system)
