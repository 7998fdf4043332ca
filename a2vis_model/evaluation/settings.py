"""Settings for what the paper leaves open in the evaluation protocol (see docs/evaluation.md)."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import A2VISError
from .box_tracking import ClassMode

SplitBy = Literal["peak", "mean"]
AmodalTruth = Literal["seen", "full"]


@dataclass(frozen=True)
class ScoreSettings:
    """How predictions are scored."""

    classes: tuple[str, ...] = ()
    """Names of the classes to score; empty for all of the ground truth."""
    max_tracks: int = 100
    """Number of predictions that AP counts in a video and class; 0 counts all."""
    recall_tracks: int = 1
    """Number of predictions that AR counts in a video and class."""
    tracking_classes: ClassMode = "together"
    """How box tracking treats classes."""
    tracking_score: float = 0.0
    """Score below which tracks are left out of box tracking, of the hidden part and of ID survival."""
    split_at: float = 0.5
    """Occlusion that separates objects of low and high occlusion."""
    split_by: SplitBy = "peak"
    """Measure of an object's occlusion: its greatest in any frame, or its mean."""
    amodal_truth: AmodalTruth = "seen"
    """Amodal ground truth begins with an object's first visible frame (paper 3.1), or is taken as annotated."""
    hidden_pixels: int = 16
    """Number of hidden pixels from which the hidden part of an object is scored."""
    survival_at: float = 0.5
    """Occlusion from which an object counts as occluded in ID survival."""

    def __post_init__(self) -> None:
        for name in ("tracking_score", "split_at", "survival_at"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise A2VISError(f"{name}={value} is not in [0, 1]")
        for name, least in (("max_tracks", 0), ("recall_tracks", 1), ("hidden_pixels", 1)):
            if getattr(self, name) < least:
                raise A2VISError(f"{name}={getattr(self, name)} must be {least} or more")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the settings to a command-line parser."""
    default = ScoreSettings()
    group = parser.add_argument_group("protocol (see docs/evaluation.md)")

    def add(flag: str, kind: Any, text: str, **more: Any) -> None:
        value = getattr(default, flag.replace("-", "_"))
        group.add_argument(f"--{flag}", type=kind, default=value, help=f"{text} (%(default)s)", **more)

    group.add_argument("--classes", metavar="A,B,...", default="", help="score only these classes (all)")
    add("max-tracks", int, "number of predictions that AP counts per video and class, 0 for all", metavar="N")
    add("recall-tracks", int, "number of predictions that AR counts per video and class", metavar="N")
    add("tracking-classes", str, "how box tracking treats classes", choices=get_args(ClassMode))
    add("tracking-score", float, "lowest score of tracks in box tracking", metavar="S")
    add("split-at", float, "occlusion that separates objects of low and high occlusion", metavar="SHARE")
    add("split-by", str, "measure of an object's occlusion: its greatest or its mean", choices=get_args(SplitBy))
    add(
        "amodal-truth",
        str,
        "amodal truth from the first visible frame, or as annotated",
        choices=get_args(AmodalTruth),
    )
    add("hidden-pixels", int, "hidden pixels from which a hidden part is scored", metavar="N")
    add("survival-at", float, "occlusion from which an object counts as occluded for ID survival", metavar="SHARE")


def settings_from(args: argparse.Namespace) -> ScoreSettings:
    """Return the settings given on the command line."""
    names = set(ScoreSettings.__dataclass_fields__) - {"classes"}
    classes = tuple(name.strip() for name in args.classes.split(",") if name.strip())
    return ScoreSettings(classes=classes, **{name: getattr(args, name) for name in names})
