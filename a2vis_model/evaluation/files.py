"""Opening track files in any of the public formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..data.problems import DataError, DataProblem, ProblemLog
from ..files.regular import open_regular
from .instances import KINDS, TrackSource, VideoInfo
from .mot_text import Benchmark, TextTracks
from .settings import ScoreSettings
from .video_score import Scope
from .youtube_vis import YtvisGroundTruth, YtvisResults

TrackFormat = Literal["auto", "ytvis", "mot", "mots"]
TRACK_FORMATS: tuple[TrackFormat, ...] = get_args(TrackFormat)


@dataclass(frozen=True)
class Comparison:
    """Ground truth and predictions in the same format, and the scope in which they can be compared."""

    truth: TrackSource
    ranked: TrackSource
    """Predictions for average precision."""
    tracked: TrackSource
    """Predictions for every other metric."""
    videos: Sequence[VideoInfo]
    categories: dict[int, str]
    scope: Scope


def open_comparison(
    truth: str | Path,
    predictions: str | Path,
    tracks: str | Path | None,
    settings: ScoreSettings,
    problems: ProblemLog,
    *,
    format: TrackFormat = "auto",
    benchmark: Benchmark = "MOT17",
) -> Comparison:
    """Open the ground truth and the predictions.

    Args:
        truth: path of the ground truth.
        predictions: path of the predictions that are compared with it.
        tracks: path of other predictions of the same system for everything but average precision, if there are any.
        settings: settings that name the classes to score.
        problems: log to which broken records are reported.
        format: format of all files.
        benchmark: benchmark whose rules MOT text follows.

    Raises:
        DataError: if a file cannot be read at all, or there is nothing to compare.
    """
    if format == "auto":
        format = _sniff(Path(truth))
    if format == "ytvis":
        return _open_ytvis(truth, predictions, tracks, settings, problems)
    return _open_text(truth, tracks or predictions, problems, masks=format == "mots", benchmark=benchmark)


def _open_ytvis(
    truth_path: str | Path,
    ranked_path: str | Path,
    tracks_path: str | Path | None,
    settings: ScoreSettings,
    problems: ProblemLog,
) -> Comparison:
    truth = YtvisGroundTruth(truth_path, problems)
    ranked = YtvisResults(ranked_path, problems)
    tracked = ranked if tracks_path is None else YtvisResults(tracks_path, problems)
    for results in {id(source): source for source in (ranked, tracked)}.values():
        results.match(truth)
    unknown = set(settings.classes) - set(truth.categories.values())
    if unknown:
        names = ", ".join(truth.categories.values())
        raise DataError(
            DataProblem(truth.path, "categories", f"have no {', '.join(sorted(unknown))}; there are {names}")
        )
    classes = [c for c, name in sorted(truth.categories.items()) if not settings.classes or name in settings.classes]
    if not classes:
        raise DataError(DataProblem(truth.path, "categories", "there are none"))
    if not truth.kinds:
        raise DataError(DataProblem(truth.path, "annotations", "have no mask in any frame; there is nothing to score"))
    # An empty prediction file is a valid (bad) answer for every kind of mask.
    shared = truth.kinds & (ranked.kinds | tracked.kinds or frozenset(KINDS))
    kinds = tuple(kind for kind in KINDS if kind in shared)
    if not kinds:
        raise DataError(DataProblem(ranked.path, "file", f"holds no masks of a kind that {truth.path} has"))
    tracking = tuple(name for name, kind in (("boxes", "amodal"), ("visible_boxes", "visible")) if kind in kinds)
    scope = Scope(tuple(classes), kinds, tracking, ranked=True)
    return Comparison(truth, ranked, tracked, truth.videos, truth.categories, scope)


def _open_text(
    truth_path: str | Path, predictions: str | Path, problems: ProblemLog, *, masks: bool, benchmark: Benchmark
) -> Comparison:
    truth = TextTracks(truth_path, problems, masks=masks, ground_truth=True, benchmark=benchmark)
    results = TextTracks(predictions, problems, masks=masks, ground_truth=False, benchmark=benchmark)
    results.match(truth)
    tracking = ("masks", "visible_boxes") if masks else ("boxes",)
    categories = truth.categories
    scope = Scope(tuple(categories), (), tracking, ranked=False)
    return Comparison(truth, results, results, truth.videos(results), categories, scope)


def _sniff(path: Path) -> TrackFormat:
    if path.suffix == ".json":
        return "ytvis"
    files = (
        [path] if path.is_file() else sorted([*path.glob("*.txt"), *path.glob("*/gt/gt.txt"), *path.glob("data/*.txt")])
    )
    for file in (file for file in files if not file.name.startswith(".")):
        with open_regular(file) as content:
            line = content.readline(1 << 16)
        if line.strip():
            return "mot" if b"," in line else "mots"
    raise DataError(DataProblem(str(path), "file", "is neither a .json file nor text files; name its --format"))
