"""Training the networks of the studies with `a2vis train`, as runs that can be resumed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from a2vis_model.config import load_config
from a2vis_model.errors import A2VISError
from a2vis_model.modeling import build_model
from a2vis_model.training.initialisation import initialise
from a2vis_model.training.loop import CHECKPOINT, LAST
from a2vis_model.training.recipe import as_command
from a2vis_model.weights import load_weights, save_weights

from .context import Context, OutOfTime
from .evaluating import detector_hash

_UNFINISHED = 3
"""Exit status of `a2vis train` when it was stopped and can be resumed."""


def train(context: Context, name: str, options: Sequence[str]) -> Path:
    """Train one network in `scratch/runs/NAME`, or continue, and return its weights.

    Args:
        context: the circumstances.
        name: name of the run, one for each combination of options.
        options: options of `a2vis train`, but for those of the machine.

    Raises:
        OutOfTime: the deadline came first.
        A2VISError: the training failed.
    """
    output = context.scratch / "runs" / name
    command = [sys.executable, "-m", "a2vis_model.cli", "train", *options, "--output", str(output), "--resume"]
    command += ["--workers", "0", "--checkpoint-minutes", "5"]
    left = context.minutes_left()
    if left != float("inf"):
        if not left:
            raise OutOfTime
        command += ["--max-minutes", f"{left:.2f}"]
    status = subprocess.run(command, check=False).returncode
    if status == _UNFINISHED:
        raise OutOfTime
    if status or not (output / LAST).is_file() or not (output / CHECKPOINT).is_file():
        raise A2VISError(f"run {name}: {as_command(command)} ended with status {status}; see its message")
    return output / LAST


def detector_of(context: Context, weights: str, *, amodal: bool) -> Path:
    """Write the detector of weights as a network of its own, from which video parts start; return the file.

    Args:
        context: the circumstances.
        weights: name or path of the weights.
        amodal: whether the network is for baselines whose only masks are amodal ones.
    """
    name = f"{Path(weights).stem}-{detector_hash(weights)[:8]}{'-amodal' if amodal else ''}"
    target = context.scratch / "detectors" / f"{name}.safetensors"
    if target.is_file():
        return target
    _, config = load_weights(weights)
    variant = "minvis-amodal" if amodal else "minvis"
    own = load_config("onboard", variant, classes=config.classes)
    model = build_model(own)
    initialise(model, weights)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_weights(target, model, own, notes=f"detector of {weights}")
    return target
