"""Study "limits": which part of a prediction costs most, by replacing each with the truth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from a2vis_model.evaluation.instances import VideoTracks
from a2vis_model.evaluation.prediction import PredictionSettings
from a2vis_model.weights import read_track_settings

from .clips import ClipSet, World
from .context import Context, Result
from .counts import ClipCounts
from .evaluating import answers, provenance, weights_hash
from .oracles import RANKED, STREAM, apply

STUDY = "limits"
WEIGHTS: dict[World, str] = {"aquarium": "onboard-fishbowl", "composed": "onboard"}
"""Weights that are examined, by the world that they know."""
SETS = 3
FRAMES: dict[World, int] = {"aquarium": 96, "composed": 60}

RULES: dict[str, tuple[dict[str, Any], int]] = {
    "the paper's clips": ({}, 3),
    "weak slots too": ({"start_score": 0.2, "keep_score": 0.1}, 1),
    "duplicates too": ({"duplicate_iou": 1.0, "duplicate_part": 1.0}, 1),
    "confirmed at once": ({"confirm_frames": 1}, 1),
    "specks too": ({"least_part": 0.0}, 1),
}
"""Fields of `TrackSettings` that are changed together, and the stride: what each rule costs against ranked slots.

All others are as the node runs them, as in `Limits`.
"""


@dataclass(frozen=True)
class Limits:
    """A network on a set of clips, its stream and its ranked slots with each part replaced by the truth."""

    clips: ClipSet
    weights: str
    study: str = field(default=STUDY, init=False)

    @property
    def name(self) -> str:
        """Name of the result."""
        return f"oracles-{self.clips.name}"

    def key(self) -> Mapping[str, Any]:
        """Return what determines the result."""
        oracles = {"stream": list(STREAM), "ranked": list(RANKED), "version": 2}
        return {"clips": self.clips.key(), "weights": weights_hash(self.weights), "oracles": oracles}

    def run(self, context: Context) -> Result:
        """Predict once, and score every replacement."""
        began = time.monotonic()
        folder = self.clips.folder(context)
        prediction = PredictionSettings(stride=1, tracks=read_track_settings(self.weights))
        found = answers(context, folder, self.weights, "network", prediction, f"{self.clips.name}-{self.weights}")
        stream: dict[str, list[Any]] = {name: [] for name in STREAM}
        ranked: dict[str, list[Any]] = {name: [] for name in RANKED}
        for video, truth, slots, tracks in found:
            for name, oracles in STREAM.items():
                changed = apply(oracles, truth, tracks)
                stream[name].append(ClipCounts.of(found.score(truth, changed, changed), ("all",)).as_json())
            nothing = VideoTracks(video)
            for name, oracles in RANKED.items():
                score = found.score(truth, apply(oracles, truth, slots), nothing, ranks=True)
                ranked[name].append(ClipCounts.of(score, ("all",)).as_json())
        return {
            "weights": self.weights,
            "classes": found.classes,
            "stream": stream,
            "ranked": ranked,
            "provenance": provenance(began),
        }


@dataclass(frozen=True)
class Rules:
    """The stream of a network on a set of clips under other rules."""

    clips: ClipSet
    weights: str
    rule: str
    study: str = field(default=STUDY, init=False)

    @property
    def name(self) -> str:
        """Name of the result."""
        return f"rules-{self.clips.name}-{self.rule.replace(' ', '_').replace(chr(39), '')}"

    def key(self) -> Mapping[str, Any]:
        """Return what determines the result."""
        changes, stride = RULES[self.rule]
        rule = changes | {"stride": stride}
        return {"clips": self.clips.key(), "weights": weights_hash(self.weights), "rule": rule}

    def run(self, context: Context) -> Result:
        """Predict and score the stream."""
        began = time.monotonic()
        changes, stride = RULES[self.rule]
        tracks = replace(read_track_settings(self.weights), **changes)
        prediction = PredictionSettings(output_mode="stream", stride=stride, tracks=tracks)
        found = answers(
            context, self.clips.folder(context), self.weights, "network", prediction, f"{self.name}-{self.weights}"
        )
        counts = [
            ClipCounts.of(found.score(truth, tracks, tracks), ("all",)).as_json() for _, truth, _, tracks in found
        ]
        return {
            "weights": self.weights,
            "rule": self.rule,
            "classes": found.classes,
            "clips": counts,
            "provenance": provenance(began),
        }


def units() -> list[Limits | Rules]:
    """Return the work of the study: the first set of each world first."""
    work: list[Limits | Rules] = []
    for number in range(SETS):
        for world, weights in WEIGHTS.items():
            work.append(Limits(ClipSet(world, number, FRAMES[world]), weights))
    for world, weights in WEIGHTS.items():
        work += [Rules(ClipSet(world, 0, FRAMES[world]), weights, rule) for rule in RULES]
    return work
