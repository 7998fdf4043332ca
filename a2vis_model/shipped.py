"""Weights in the package: their names, their files and their measured quality."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from .errors import CheckpointError
from .files.home import at_home
from .machine import file_hash

DEFAULT_WEIGHTS = "onboard"
"""Name of the weights that every command and the node use by default."""

_FOLDER = Path(__file__).resolve().parent / "checkpoints"
_INDEX = "index.yaml"


@dataclass(frozen=True, kw_only=True)
class ShippedWeights:
    """A set of weights as the index describes it."""

    sha256: str
    """SHA-256 of the file."""
    about: str
    """Short description of its classes and training data."""
    card: str
    """Path of its model card in the source tree."""
    measured: Mapping[str, Mapping[str, float]]
    """Headline results: data set, then measure."""


@cache
def shipped_weights() -> dict[str, ShippedWeights]:
    """Return all sets of weights in the package, by name.

    Raises:
        CheckpointError: the index is missing or broken.
    """
    path = _FOLDER / _INDEX
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
        return {name: ShippedWeights(**entry) for name, entry in content.items()}
    except Exception as error:  # The parser of a number, date or tag can fail with any error.
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: missing or broken ({reason}); reinstall the package") from error


def find_weights(weights: str | Path) -> Path:
    """Return the file of weights given by the name of a set in the package, or by a path.

    A name takes precedence over a file of the same name; `./NAME` is the file.

    Raises:
        CheckpointError: neither exists.
    """
    names = shipped_weights()
    path = _FOLDER / f"{weights}.safetensors" if str(weights) in names else at_home(weights)
    if not path.is_file():
        if path.parent == _FOLDER:
            raise CheckpointError(f"{path}: missing from the package; reinstall it")
        raise CheckpointError(
            f"{str(weights) or repr('')}: no such file; give a weight file or the name of weights that ship: "
            f"{', '.join(names)}"
        )
    return path


def check_intact(path: Path) -> None:
    """Compare a file of the package with the index; other files are not checked.

    Raises:
        CheckpointError: the file differs from what was shipped.
    """
    path = path.resolve()
    entry = shipped_weights().get(path.stem) if path.parent == _FOLDER else None
    if entry is not None and file_hash(path) != entry.sha256:
        raise CheckpointError(
            f"{path}: damaged, its SHA-256 is not the one in {_INDEX}; reinstall the package, or keep weights of your "
            "own elsewhere and give their path"
        )
