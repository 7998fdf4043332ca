"""Checkpoint file from which a run continues as if it had never stopped."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from ..files.atomic import replacing
from ..importers.torch_file import load_torch

_FORMAT = "a2vis-training/1"


@dataclass(frozen=True)
class Checkpoint:
    """State between two steps. Random numbers and the position in the data follow from the number of the step."""

    step: int
    """Number of finished steps."""
    model_config: dict[str, Any]
    training_config: dict[str, Any]
    origin: dict[str, Any] | None
    """Description of the data the run was opened with (see `train`); None in checkpoints of older versions."""
    model: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor] | None
    """State of the averaged weights, with the number of steps in them; None for a run that keeps none."""
    optimiser: dict[str, Any]
    scaler: dict[str, Any]
    best: float
    """Best score of the validations so far; minus infinity before the first."""

    def save(self, path: Path) -> None:
        """Write the file atomically: it is replaced completely or not at all, even if the machine fails."""
        with replacing(path) as temporary, open(temporary, "wb") as file:
            torch.save({"format": _FORMAT, **vars(self)}, file)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read the file without running anything it contains.

        Raises:
            CheckpointError: it is missing, broken or something else.
        """
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; give the checkpoint of a training run")
        try:
            with open(path, "rb") as file:
                content = load_torch(file)
        except Exception as error:  # The reader of a broken file can fail anywhere, with any error.
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path}: broken, or not a checkpoint ({reason}); delete it to start anew") from error
        if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
            raise CheckpointError(f"{path}: not a checkpoint of this program's training")
        for name in ("origin", "average"):  # Checkpoints of older versions lack these keys.
            content.setdefault(name, None)
        if wrong := content.keys() ^ {field.name for field in fields(cls)}:
            names = ", ".join(sorted(map(str, wrong)))
            raise CheckpointError(f"{path}: broken, or of another version ({names}); delete it to start anew")
        return cls(**content)
