"""`a2vis weights`: list the weights in the package, their classes and their scores."""

import argparse

from ..shipped import DEFAULT_WEIGHTS, ShippedWeights, find_weights, shipped_weights
from ..weights import read_config, read_recommended


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare no arguments: the command takes none."""


def run(_args: argparse.Namespace) -> int:
    """Print an entry for each set of weights; `--weights` and the node's parameter `weights` take its name."""
    print("\n\n".join(_entry(name, weights) for name, weights in shipped_weights().items()))
    return 0


def _entry(name: str, weights: ShippedWeights) -> str:
    path = find_weights(name)
    config = read_config(path)
    lines = [
        f"{name}{' (default)' if name == DEFAULT_WEIGHTS else ''}: {weights.about}",
        f"  classes   {', '.join(config.classes)}",
        f"  network   {config.name}, input {config.input_width}x{config.input_height}",
        f"  file      {path}, {path.stat().st_size / 1e6:.1f} MB",
    ]
    recommended = read_recommended(path)
    if recommended:
        lines.append(f"  tracks    {', '.join(f'{threshold} {value:g}' for threshold, value in recommended.items())}")
    for where, numbers in weights.measured.items():
        lines.append(f"  measured  {', '.join(f'{measure} {value:g}' for measure, value in numbers.items())} ({where})")
    return "\n".join([*lines, f"  card      {weights.card}"])
