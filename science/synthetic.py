"""Study "synthetic": does a detector of real photographs gain from composed pictures?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from a2vis_model.data import open_dataset
from a2vis_model.data.problems import ProblemLog
from a2vis_model.evaluation.image_precision import image_precision
from a2vis_model.machine import file_hash
from a2vis_model.weights import load_weights

from .context import Context, Result
from .evaluating import provenance
from .training import train

STUDY = "synthetic"
SEEDS = (0, 1, 2)
STEPS = 1500
SIZE = ("input_height=192", "input_width=288")
MIXTURES: dict[str, tuple[float, float]] = {
    "photographs alone": (1, 0),
    "composed alone": (0, 1),
    "both": (1, 1),
}
"""How often photographs and composed pictures are drawn; the number of pictures in all is the same."""


@dataclass(frozen=True)
class Synthetic:
    """A detector, trained on one mixture with one seed, on photographs that no training has seen."""

    mixture: str
    seed: int
    study: str = field(default=STUDY, init=False)

    @property
    def name(self) -> str:
        """Name of the result."""
        return f"{self.mixture.replace(' ', '_')}-seed{self.seed}"

    def key(self) -> Mapping[str, Any]:
        """Return what determines the result."""
        return {"mixture": MIXTURES[self.mixture], "seed": self.seed, "steps": STEPS, "size": SIZE}

    def run(self, context: Context) -> Result:
        """Train from random weights, and measure mask AP on `stills/val`."""
        began = time.monotonic()
        root = context.root("robot")
        stills = root / "stills"
        sources = (f"{stills / 'train' / 'annotations.json'}", f"composed:{root}")
        data = [f"{source}={share:g}" for source, share in zip(sources, MIXTURES[self.mixture], strict=True) if share]
        options = ["--preset", "onboard", "--stage", "frame", "--set", *SIZE, "--data", *data, "--labels", "robot"]
        options += ["--batch", "8", "--steps", str(STEPS), "--learning-rate", "1e-3", "--schedule", "cosine"]
        options += ["--warmup", "50", "--points", "1024", "--precision", "fp32", "--seed", str(self.seed)]
        weights = train(context, f"synthetic-{self.name}", options)
        model, config = load_weights(weights)
        problems = ProblemLog(strict=True)
        dataset = open_dataset(stills / "val", classes=config.classes, labels="robot", problems=problems)
        precision = image_precision(model, config, dataset, device=torch.device("cpu"))
        return {
            "mixture": self.mixture,
            "seed": self.seed,
            "trained": file_hash(weights),
            "precision": asdict(precision),
            "provenance": provenance(began),
        }


def units() -> list[Synthetic]:
    """Return the work of the study: every mixture with one seed, then the next."""
    return [Synthetic(mixture, seed) for seed in SEEDS for mixture in MIXTURES]
