"""Scoring many videos in several processes, and combining the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from ..data.problems import DataError, DataProblem, ProblemLog, quiet_loaders
from ..workers import LocalWorkers
from .average_precision import RECALL_POINTS, ClassMatches, accumulate, summarise
from .box_tracking import ALPHAS, TrackingCounts, combine_classes, combine_videos, tracking_values
from .files import Comparison
from .hidden_part import HiddenPart
from .id_survival import survival
from .instances import Kind, VideoInfo
from .occlusion import GROUPS, Group
from .settings import ScoreSettings
from .video_score import Scope, VideoScore, score_video

Results = dict[str, Any]
"""Flat results: "amodal.AP" and so on; see docs/evaluation.md."""


def score_videos(
    comparison: Comparison, settings: ScoreSettings, problems: ProblemLog, *, jobs: int = 1, quiet: bool = False
) -> list[VideoScore]:
    """Score every video, in the order of the ground truth. A video that cannot be scored is reported and left out."""
    job = _Job(comparison, settings)
    bar = tqdm(total=len(comparison.videos), unit="video", desc="scoring", disable=quiet)
    found: list[VideoScore] = []
    with bar, quiet_loaders():
        for score, reported in LocalWorkers(jobs).run(job.prepare, comparison.videos):
            for problem in reported:
                problems.report(problem)
            if score is not None:
                found.append(score)
            bar.update()
    return found


def results_of(
    scores: Sequence[VideoScore], scope: Scope, settings: ScoreSettings, categories: Mapping[int, str]
) -> Results:
    """Combine the scores of a whole data set under their stable keys.

    None stands for a value that is undefined, for example because there are no objects.
    """
    results: Results = {"videos": len(scores), "frames": sum(score.info.length for score in scores)}
    if not scores:
        return results
    for group in GROUPS:
        if group != "all" and not any(group in score.objects for score in scores):
            continue
        prefix = "" if group == "all" else f"occluded.{group}."
        results[f"{prefix}objects"] = sum(score.objects.get(group, 0) for score in scores)
        if scope.ranked:
            for kind in scope.kinds:
                values = _average_precision(_matches(scores, kind, group), scope.classes, settings)
                results |= _prefixed(f"{prefix}{kind}", values)
        for name in scope.tracking:
            results |= _prefixed(f"{prefix}{name}", tracking_values(_tracking(scores, name, group, scope, settings)))
    for class_id in scope.classes:
        prefix = f"classes.{categories[class_id]}"
        if scope.ranked:
            for kind in scope.kinds:
                values = _average_precision(_matches(scores, kind, "all"), (class_id,), settings)
                results |= _prefixed(f"{prefix}.{kind}", values)
        for name in scope.tracking:
            counts = combine_videos([score.tracking[name]["all"][class_id] for score in scores])
            results |= _prefixed(f"{prefix}.{name}", tracking_values(counts))
    hidden = _hidden(scores)
    if hidden is not None:
        results |= _prefixed("hidden", hidden.values())
    if any(score.survival is not None for score in scores):
        found = (episode for score in scores for episode in score.survival or ())
        results |= _prefixed("survival", survival(found))
    return results


def curves_of(scores: Sequence[VideoScore], scope: Scope, settings: ScoreSettings) -> dict[str, Any]:
    """Compute the curves of the plots: precision over recall, HOTA over thresholds, IoU over occlusion."""
    curves: dict[str, Any] = {"precision_recall": {}, "hota": {}}
    if not scores:
        return curves
    for kind in scope.kinds if scope.ranked else ():
        precision = accumulate(_matches(scores, kind, "all"), scope.classes, settings.max_tracks).precision
        if precision.min() >= 0:
            lines = {"IoU 0.5": precision[0], "IoU 0.75": precision[5], "mean": precision.mean(axis=0)}
            curves["precision_recall"][kind] = {
                "recall": RECALL_POINTS.tolist(),
                **{name: line.tolist() for name, line in lines.items()},
            }
    for name in scope.tracking:
        hota = _tracking(scores, name, "all", scope, settings).hota
        lines = {key: np.asarray(hota[key]) for key in ("HOTA", "DetA", "AssA")}
        curves["hota"][name] = {"IoU": ALPHAS.tolist(), **{key: line.tolist() for key, line in lines.items()}}
    hidden = _hidden(scores)
    if hidden is not None and hidden.amodal_frames.any():
        mean = hidden.amodal_iou / np.maximum(hidden.amodal_frames, 1)
        values = [float(value) if count else None for value, count in zip(mean, hidden.amodal_frames, strict=True)]
        curves["occlusion"] = {"IoU": values, "object_frames": hidden.amodal_frames.tolist()}
    return curves


@dataclass(frozen=True)
class _Job:
    comparison: Comparison
    settings: ScoreSettings

    def prepare(self) -> Callable[[VideoInfo], tuple[VideoScore | None, list[DataProblem]]]:
        return self.run

    def run(self, video: VideoInfo) -> tuple[VideoScore | None, list[DataProblem]]:
        with quiet_loaders():
            return self._run(video)

    def _run(self, video: VideoInfo) -> tuple[VideoScore | None, list[DataProblem]]:
        log = ProblemLog()
        comparison = self.comparison
        sources = {id(s): s for s in (comparison.truth, comparison.ranked, comparison.tracked)}
        for source in sources.values():
            source.problems = log
        try:
            truth, ranked = comparison.truth.read(video), comparison.ranked.read(video)
            tracked = ranked if comparison.tracked is comparison.ranked else comparison.tracked.read(video)
            return score_video(truth, ranked, tracked, self.settings, comparison.scope), list(log)
        except DataError as error:
            return None, [*log, error.problem]


def _matches(scores: Sequence[VideoScore], kind: Kind, group: Group) -> list[Mapping[int, ClassMatches | None]]:
    return [score.matches[kind].get(group, {}) for score in scores]


def _average_precision(
    matches: Sequence[Mapping[int, ClassMatches | None]], classes: Sequence[int], settings: ScoreSettings
) -> dict[str, float | None]:
    return summarise(matches, classes, max_tracks=settings.max_tracks, recall_tracks=settings.recall_tracks)


def _tracking(
    scores: Sequence[VideoScore], name: str, group: Group, scope: Scope, settings: ScoreSettings
) -> TrackingCounts:
    # A video of unknown occlusion has no objects of a group.
    groups = [score.tracking[name][group] for score in scores if group in score.tracking[name]]
    if settings.tracking_classes == "together":
        return combine_videos([counts[None] for counts in groups])
    classes = {c: combine_videos([counts[c] for counts in groups]) for c in scope.classes}
    present = {c: counts for c, counts in classes.items() if _present(counts)}
    return combine_classes(present or classes, settings.tracking_classes)


def _present(counts: TrackingCounts) -> bool:
    clear = counts.clear
    return bool(clear["CLR_TP"] + clear["CLR_FN"] + clear["CLR_FP"])


def _hidden(scores: Sequence[VideoScore]) -> HiddenPart | None:
    parts = [score.hidden for score in scores if score.hidden is not None]
    if not parts:
        return None
    total = HiddenPart()
    for part in parts:
        total.add(part)
    return total


def _prefixed(prefix: str, values: Mapping[str, Any]) -> Results:
    return {f"{prefix}.{key}": value for key, value in values.items()}
