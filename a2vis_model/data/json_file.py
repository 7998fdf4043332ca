"""Reading JSON from outside: every value is checked before it is used."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any, TypeVar

from ..files.images import MAX_SIDE
from ..files.regular import read_regular
from .problems import DataError, DataProblem, RecordError

T = TypeVar("T")


def read_json(file: str | Path) -> Any:
    """Read the document in the file.

    Raises:
        DataError: the file cannot be read as JSON.
    """
    try:
        return json.loads(read_regular(file))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(DataProblem(str(file), "file", f"cannot be read as JSON: {error}")) from error


def value_of(entry: object, key: str, kind: type[T]) -> T:
    """Return `entry[key]`, which must exist and be of the given type."""
    if not isinstance(entry, dict):
        raise RecordError(f"is {reprlib.repr(entry)}, not an object with fields")
    if key not in entry:
        raise RecordError(f"has no {key}")
    value = entry[key]
    # In Python a bool is an int, and an ID beyond 64 bits would not fit the arrays.
    whole_too_large = isinstance(value, int) and abs(value) >> 63
    if not isinstance(value, kind) or isinstance(value, bool) or whole_too_large:
        raise RecordError(f"{key} is {reprlib.repr(value)}, not {kind.__name__}")
    return value


def side(entry: object, key: str) -> int:
    """Return a width or height in pixels."""
    value = value_of(entry, key, int)
    if not 1 <= value <= MAX_SIDE:
        raise RecordError(f"{key} is {value}, not 1 to {MAX_SIDE}")
    return value
