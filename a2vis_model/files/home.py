"""Paths in the user's home folder, "~/...", where no shell has expanded them: in options, parameters and files."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path


def at_home(path: str | Path) -> Path:
    """Return a path that may begin with "~"."""
    return Path(os.path.expanduser(path))


def arguments_at_home(arguments: Sequence[str] | None = None) -> list[str]:
    """Return the arguments of a program, its own if None, with paths after a "=" expanded too: `--output=~/out`."""
    return [_argument(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]


def _argument(argument: str) -> str:
    name, equals, value = argument.rpartition("=")
    return name + equals + str(at_home(value)) if value.startswith("~/") else argument
