"""Study "claims": the paper's ablations and baselines, from one frozen detector, with the same data and steps."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a2vis_model.evaluation.baselines import System
from a2vis_model.evaluation.prediction import PredictionSettings
from a2vis_model.machine import file_hash
from a2vis_model.shipped import find_weights
from a2vis_model.weights import read_config, read_track_settings

from .clips import ClipSet, World
from .context import Context, Result
from .counts import ClipCounts
from .evaluating import answers, detector_hash, provenance, weights_hash
from .side_by_side import Lesson, train_side_by_side
from .training import detector_of

STUDY = "claims"
SEEDS = (0, 1, 2)
SETS, FRAMES = 3, 40
"""Sets of ten clips of each world, 30 of aquariums and 30 composed ones, and their frames."""
STEPS = 200
DETECTORS: dict[World, str] = {"aquarium": "onboard-fishbowl", "composed": "onboard"}
"""Weights whose detector everything starts from, frozen; every video part is trained from scratch on it."""
SIZE = ("input_height=192", "input_width=288")
"""Networks see pictures of this size, to fit the hours of a CPU; measured is on the whole clips."""


@dataclass(frozen=True)
class Row:
    """A system of the paper's tables."""

    variant: str
    """Variant that is trained."""
    system: System = "network"
    shipped: bool = False
    """Whether its weights are those that ship, instead of the study's."""


ROWS: dict[str, Row] = {
    "A2VIS": Row("a2vis"),
    "without SAMH": Row("a2vis-no-samh"),
    "without VSPM": Row("a2vis-no-vspm"),
    "without ASPM": Row("a2vis-no-aspm"),
    "without VSPM and ASPM": Row("a2vis-no-priors"),
    "L = 1": Row("a2vis-layers-1"),
    "L = 3": Row("a2vis-layers-3"),
    "N_c = 1": Row("a2vis-clip-1"),
    "N_c = 5": Row("a2vis-clip-5"),
    "GenVIS-Amodal": Row("genvis-semi-online-amodal"),
    "VITA-Amodal": Row("vita-amodal"),
    "MinVIS-Amodal": Row("minvis-amodal"),
    "detector + ByteTrack": Row("minvis-amodal", "bytetrack"),
    "A2VIS, hidden stand still": Row("a2vis", "still"),
    "A2VIS, as it ships": Row("a2vis", shipped=True),
}
"""A2VIS has L = 2 and N_c = 3. MinVIS has no video part: its detector is trained on amodal masks for as many steps.

What ships has a video part that was trained for thousands of steps, and a larger input.
"""


@dataclass(frozen=True)
class Claim:
    """A system, trained with one seed, on a set of clips."""

    row: str
    seed: int
    clips: ClipSet
    study: str = field(default=STUDY, init=False)

    @property
    def name(self) -> str:
        """Name of the result."""
        return self._name(ROWS[self.row].system)

    def key(self) -> Mapping[str, Any]:
        """Return what determines the result."""
        source = DETECTORS[self.clips.world]
        same = {"clips": self.clips.key(), "detector": detector_hash(source), "row": self.row}
        if ROWS[self.row].shipped:
            return {**same, "weights": weights_hash(source)}
        return {**same, "lesson": self._lesson().key()}

    def run(self, context: Context) -> Result:
        """Train, if that is not done, and measure as the paper does: ranked slots for AP, the stream for the rest."""
        began = time.monotonic()
        row = ROWS[self.row]
        weights = self._weights(context)
        hashed = file_hash(weights)
        # Hidden objects stand still in the answers of the network itself, which are there already.
        system = "network" if row.system == "still" else row.system
        work = f"claims-{self._name(system)}-{hashed[:8]}"
        # The first set is timed.
        timed = self.seed == SEEDS[0] and self.clips.number == 0
        memory = None if timed or row.shipped else context.detections
        prediction = PredictionSettings(tracks=read_track_settings(weights))
        found = answers(context, self.clips.folder(context), str(weights), row.system, prediction, work, memory)
        counts = [ClipCounts.of(found.score(truth, ranked, tracks)).as_json() for _, truth, ranked, tracks in found]
        return {
            "row": self.row,
            "seed": self.seed,
            "world": self.clips.world,
            "trained": hashed,
            "classes": found.classes,
            "kinds": list(found.scope.kinds),
            "parameters": found.parameters,
            "fps": found.fps,
            "clips": counts,
            "provenance": provenance(began),
        }

    def _name(self, system: System) -> str:
        row = ROWS[self.row]
        trained = "shipped" if row.shipped else f"seed{self.seed}"
        return f"{row.variant}-{system}-{trained}-{self.clips.name}"

    def _weights(self, context: Context) -> Path:
        """Return the weights of the row, after training those of all rows with this seed where that is not done."""
        world, source = self.clips.world, DETECTORS[self.clips.world]
        if ROWS[self.row].shipped:
            return find_weights(source)
        starts = {
            variant: detector_of(context, source, amodal=variant.endswith("-amodal"))
            for variant in dict.fromkeys(row.variant for row in ROWS.values())
        }
        data = "render:aquarium" if world == "aquarium" else f"composed:{context.root('robot')}"
        name = f"claims-{world}-seed{self.seed}"
        return train_side_by_side(context, name, data, self._lesson(), starts)[ROWS[self.row].variant]

    def _lesson(self) -> Lesson:
        """Return what the networks learn."""
        classes = read_config(find_weights(DETECTORS[self.clips.world])).classes
        return Lesson(classes, SIZE, STEPS, self.seed)


def units() -> list[Claim]:
    """Return the work of the study: all rows with one seed, then the next; set by set, in which they see the same."""
    return [
        Claim(row, seed, ClipSet(world, number, FRAMES))
        for world in DETECTORS
        for seed in SEEDS
        for number in range(SETS)
        for row in ROWS
        if seed == SEEDS[0] or not ROWS[row].shipped
    ]


def current_keys() -> dict[str, Any]:
    """Return what results of the units are of, by the units' names and in the form that results have."""
    return {unit.name: json.loads(json.dumps(unit.key())) for unit in units()}
