"""Scores of a model or a tracker, computed with the public evaluation tools (see docs/evaluation.md).

problems = ProblemLog()
comparison = open_comparison("truth.json", "results.json", None, ScoreSettings(), problems)
scores = score_videos(comparison, ScoreSettings(), problems)
print(results_of(scores, comparison.scope, ScoreSettings(), comparison.categories)["amodal.AP"])
"""

from .files import Comparison, open_comparison
from .instances import TrackRecord, VideoInfo, VideoTracks
from .scoring import curves_of, results_of, score_videos
from .settings import ScoreSettings

__all__ = [
    "Comparison",
    "ScoreSettings",
    "TrackRecord",
    "VideoInfo",
    "VideoTracks",
    "curves_of",
    "open_comparison",
    "results_of",
    "score_videos",
]
