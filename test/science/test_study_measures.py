"""Measures of weighted clips are those of the evaluation, also for samples in which clips occur twice or not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_data import random_video, videos, write_files

from a2vis_model.data.problems import ProblemLog
from a2vis_model.evaluation import ScoreSettings, open_comparison, results_of, score_videos
from a2vis_model.evaluation.id_survival import Episode
from science.counts import ClipCounts
from science.measures import measure

KEYS = (
    *(f"{kind}.{name}" for kind in ("visible", "amodal") for name in ("AP", "AP50", "AP75", "AR")),
    *(
        f"{what}.{name}"
        for what in ("boxes", "visible_boxes")
        for name in ("HOTA", "DetA", "AssA", "IDF1", "IDs", "MOTA")
    ),
    *(f"occluded.{group}.{key}" for group in ("low", "high") for key in ("amodal.AP", "boxes.HOTA", "boxes.IDF1")),
    *(f"hidden.{name}" for name in ("IoU", "pixel_IoU", "found")),
)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], Any]:
    rng, infos = np.random.default_rng(5), videos(6)
    pairs = [random_video(rng, 10) for _ in infos]
    files = write_files(tmp_path_factory.mktemp("files"), infos, [p[0] for p in pairs], [p[1] for p in pairs])
    problems = ProblemLog(strict=True)
    comparison = open_comparison(*files, None, ScoreSettings(), problems)
    return score_videos(comparison, ScoreSettings(), problems, quiet=True), comparison


def through_json(scores: list[Any]) -> list[ClipCounts]:
    return [ClipCounts.from_json(json.loads(json.dumps(ClipCounts.of(score).as_json()))) for score in scores]


@pytest.mark.parametrize("chosen", [(0, 1, 2, 3, 4, 5), (0, 0, 2, 5, 5, 5), (1, 3)])
def test_measures_are_those_of_the_evaluation(scored: tuple[list[Any], Any], chosen: tuple[int, ...]) -> None:
    scores, comparison = scored
    expected = results_of([scores[i] for i in chosen], comparison.scope, ScoreSettings(), comparison.categories)
    weights = np.bincount(chosen, minlength=6)[None].astype(np.float64)
    clips = through_json(scores)
    for key in KEYS:
        found = float(measure(key, clips, weights)[0])
        wanted = expected[key]
        assert (np.isnan(found) and wanted is None) or found == pytest.approx(wanted, abs=2e-4), key


def test_survival_is_the_share_of_the_occlusions_of_a_length(scored: tuple[list[Any], Any]) -> None:
    scores = [replace(score, survival=None) for score in scored[0]]
    scores[0].survival = [Episode(2, 1, True), Episode(4, 0, False), Episode(5, 5, True)]
    scores[3].survival = [Episode(1, 0, False)]
    clips = through_json(scores)
    weights = np.array([[1.0] * 6, [2, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]])
    assert measure("survival.1-4", clips, weights).tolist() == pytest.approx([1 / 3, 1 / 2, 0])
    assert measure("survival.5-9", clips, weights)[:2].tolist() == [1, 1]
    assert np.isnan(measure("survival.5-9", clips, weights)[2])


def test_an_unknown_measure_is_refused(scored: tuple[list[Any], Any]) -> None:
    with pytest.raises(KeyError):
        measure("amodal.best", through_json(scored[0]), np.ones((1, 6)))


def test_groups_that_are_not_asked_for_are_left_out(scored: tuple[list[Any], Any], tmp_path: Path) -> None:
    few = ClipCounts.of(scored[0][0], ("all",))
    assert set(few.precision) == {"visible.all", "amodal.all"}
    assert set(few.tracking) == {"boxes.all", "visible_boxes.all"}
