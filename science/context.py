"""What a run of the studies is given: folders of data, a folder for work in progress, a folder of results, and time."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from a2vis_model.errors import A2VISError
from a2vis_model.files.atomic import write_text

from .detections import DetectionMemory

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "science" / "results"

ROOTS = {
    "robot": "cutouts/, backgrounds/ and stills/, each with train and val, as in docs/model_cards/onboard.md",
    "fishbowl": "clips in FISHBOWL's format, in train/ and val/",
}
"""Folders of data that are given by `--root`, and what must be in them."""

Result = dict[str, Any]


class OutOfTime(Exception):
    """A unit of work was interrupted in a state from which it can be resumed."""


@dataclass(frozen=True)
class Context:
    """The circumstances of a run."""

    roots: Mapping[str, Path]
    scratch: Path
    """Folder for rendered clips, predictions and networks in training; may be deleted between runs."""
    results: Path = RESULTS
    deadline: float = float("inf")
    """Time of `time.monotonic()` after which no more work is begun."""
    detections: DetectionMemory = field(default_factory=DetectionMemory)
    """What frozen detectors saw in the frames of the last clips."""

    def root(self, name: str) -> Path:
        """Return a folder of data.

        Raises:
            A2VISError: it was not given.
        """
        if name not in self.roots:
            raise A2VISError(f"--root {name}=DIR is missing: a folder with {ROOTS[name]}")
        return self.roots[name]

    def minutes_left(self) -> float:
        """Return the minutes until the deadline, at least 0."""
        return max(self.deadline - time.monotonic(), 0.0) / 60


class Unit(Protocol):
    """A piece of work that gives one small file of results."""

    @property
    def study(self) -> str:
        """Name of the study, which is the folder of the result."""

    @property
    def name(self) -> str:
        """Name of the result's file without its ending; unique in the study."""

    def key(self) -> Mapping[str, Any]:
        """Return what determines the result, apart from code and machine: it is out of date when this has changed."""

    def run(self, context: Context) -> Result:
        """Do the work.

        Raises:
            OutOfTime: the deadline came first; the next run continues.
        """


def result_path(context: Context, unit: Unit) -> Path:
    """Return the path of a unit's result."""
    return context.results / unit.study / f"{unit.name}.json"


def is_done(context: Context, unit: Unit) -> bool:
    """Return whether a unit's result is there and of what the unit is now."""
    path = result_path(context, unit)
    if not path.is_file():
        return False
    return bool(read_result(path)["key"] == json.loads(json.dumps(unit.key())))


def read_result(path: Path) -> Result:
    """Read a result.

    Raises:
        A2VISError: the file is broken.
    """
    try:
        content: Result = json.loads(path.read_text("utf-8"))
        content["key"], content["provenance"]
    except (ValueError, KeyError, TypeError) as error:
        raise A2VISError(f"{path}: no result of a study ({error}); delete it and run the study again") from error
    return content


def write_result(context: Context, unit: Unit, content: Result) -> None:
    """Write a result; it appears complete or not at all."""
    whole = {"unit": unit.name, "key": unit.key(), **content}
    write_text(result_path(context, unit), json.dumps(whole, separators=(",", ":"), allow_nan=False) + "\n")
