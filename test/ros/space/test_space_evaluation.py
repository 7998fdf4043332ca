"""The metrics of positions in space: known errors in, known numbers out."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from a2vis_ros.space.evaluation import (
    EstimatedObject,
    EvaluatedFrame,
    SpaceScorer,
    TrueObject,
    View,
    paired,
    standing_still,
    view_of,
)
from a2vis_ros.space.rehearsal import METHODS
from a2vis_ros.space.report import as_json, claim, details, document
from a2vis_ros.space.samples import read_samples, write_samples


def true(thing_id: int = 1, x: float = 0.0, vx: float = 0.0, **changes: object) -> TrueObject:
    whole = TrueObject(thing_id, np.array([x, 0, 0.0]), np.array([vx, 0, 0.0]), 2.0, 0.5, 1.0, 0.0, False)
    return replace(whole, **changes)  # type: ignore[arg-type]


def said(thing_id: int | None = 1, x: float = 0.0, y: float = 0.0, *, std: float = 1.0, **changes: object):
    said = EstimatedObject(thing_id, np.array([x, y, 9.0]), np.zeros(3), np.eye(6) * std**2, 2.0, 0.5, True)
    return replace(said, **changes)


def frame(seconds: float, truth: list[TrueObject], estimates: list[EstimatedObject]) -> EvaluatedFrame:
    return EvaluatedFrame(seconds, tuple(truth), tuple(estimates))


def scorer_of(*frames: EvaluatedFrame) -> SpaceScorer:
    scorer = SpaceScorer()
    scorer.add_clip(frames)
    return scorer


def score(*frames: EvaluatedFrame):
    return scorer_of(*frames).scores()


def test_known_errors_give_known_numbers():
    errors = np.arange(1, 102) / 100
    found = score(*(frame(i, [true(vx=1)], [said(x=e, height=2.2)]) for i, e in enumerate(errors)))
    full = found[View.FULL]
    assert full.objects == 101
    assert full.recall == 1
    assert full.within == pytest.approx(100 / 101)
    assert full.position_median == pytest.approx(0.51)
    assert full.position_p95 == pytest.approx(0.96)
    assert (full.velocity_median, full.velocity_p95) == (1, 1)
    assert full.height_median == pytest.approx(0.1)
    assert full.nees_mean == pytest.approx(np.mean(errors**2))
    assert full.velocity_nees_mean == pytest.approx(1)


def test_the_width_is_scored_where_it_is_known():
    widths = [0.5, 0.6, 0.7]
    frames = [frame(t, [true()], [said(width=width)]) for t, width in enumerate(widths)]
    unknown = frame(3, [true(width=math.nan)], [said(width=99.0)])
    full = score(*frames, unknown)[View.FULL]
    assert full.objects == 4
    assert full.width_median == pytest.approx(0.2)
    nowhere = scorer_of(unknown)
    assert math.isnan(nowhere.scores()[View.FULL].width_median)
    header, _, line = details({METHODS[0]: nowhere}).splitlines()
    assert dict(zip(header.split("|"), line.split("|"), strict=True))[" width, median "] == " - "


def test_height_above_the_ground_is_no_error_of_position():
    assert score(frame(0, [true()], [said(x=3, y=4)]))[View.FULL].position_median == 5


@pytest.mark.parametrize(("factor", "mean", "share"), [(1.0, 2.0, 0.95), (0.5, 8.0, 0.527), (2.0, 0.5, 1.0)])
def test_nees_tells_an_honest_covariance_from_others(factor, mean, share):
    rng = np.random.default_rng(0)
    spread = np.array([[2.0, 0.8], [0.8, 0.5]])
    covariance = np.eye(6)
    covariance[:2, :2] = spread * factor**2
    errors = rng.multivariate_normal(np.zeros(2), spread, 5_000)
    full = score(*(frame(i, [true()], [said(x=x, y=y, covariance=covariance)]) for i, (x, y) in enumerate(errors)))
    assert full[View.FULL].nees_mean == pytest.approx(mean, rel=0.03)
    assert full[View.FULL].nees_in_gate == pytest.approx(share, abs=0.01)
    assert full[View.FULL].position_std_median == pytest.approx(factor * np.sqrt(2.5))


@pytest.mark.parametrize("covariance", [np.zeros((6, 6)), -np.eye(6)])
def test_a_covariance_that_is_none_is_never_honest(covariance):
    found = score(frame(0, [true()], [said(x=1, covariance=covariance)]))[View.FULL]
    assert math.isinf(found.nees_mean)
    assert found.nees_in_gate == 0
    assert as_json({View.FULL: found})["in full view"]["nees_mean"] is None


def test_what_is_not_said_lowers_recall_and_no_error():
    found = score(frame(0, [true(1), true(2)], [said(1, x=0.5)]))[View.FULL]
    assert (found.objects, found.recall, found.within, found.position_median) == (2, 0.5, 0.5, 0.5)
    nothing = scorer_of(frame(0, [true()], []))
    silent = nothing.scores()[View.FULL]
    assert (silent.recall, silent.within) == (0, 0)
    assert math.isnan(silent.position_median)
    assert "| ground, amodal | in full view | 1 | 0.00 | 0.00 | - |" in details({METHODS[3]: nothing})


def test_estimates_of_nothing_and_doubles_are_counted_and_the_one_that_sees_is_taken():
    scorer = SpaceScorer()
    scorer.add_clip([frame(0, [true()], [said(None), said(1, x=5, seen=False), said(1, x=0.25), said(1, x=7)])])
    assert scorer.false_estimates == 3
    assert scorer.scores()[View.FULL].position_median == 0.25


@pytest.mark.parametrize(
    ("changes", "hidden_s", "view"),
    [
        ({}, 0, View.FULL),
        ({"visible_fraction": 0.9}, 0, View.FULL),
        ({"visible_fraction": 0.5}, 0, View.FOOT_SEEN),
        ({"visible_fraction": 0.5, "foot_covered": 0.2}, 0, View.FOOT_COVERED),
        ({"visible_fraction": 0.04}, 0.3, View.HIDDEN_1),
        ({"visible_fraction": 0.0}, 0.5, View.HIDDEN_1),
        ({"visible_fraction": 0.0}, 0.7, View.HIDDEN_2),
        ({"visible_fraction": 0.0}, 1.5, View.HIDDEN_3),
        ({"visible_fraction": 0.0}, 60, View.HIDDEN_4),
        ({"cut_off": True}, 0, View.CUT_OFF),
        ({"cut_off": True, "visible_fraction": 0.0}, 3, View.CUT_OFF),
    ],
)
def test_views(changes, hidden_s, view):
    assert view_of(true(**changes), hidden_s) is view


def test_objects_count_from_when_they_are_first_seen_and_while_they_are_in_the_picture():
    fractions = [math.nan, 0.0, 1.0, 0.0, 0.0, math.nan, 1.0]
    found = score(*(frame(0.4 * t, [true(visible_fraction=f)], []) for t, f in enumerate(fractions)))
    assert {view: s.objects for view, s in found.items()} == {View.FULL: 2, View.HIDDEN_1: 1, View.HIDDEN_2: 1}


def test_the_time_since_an_object_was_seen_is_of_its_own_clip():
    scorer = SpaceScorer()
    for _ in range(2):
        scorer.add_clip([frame(0, [true()], []), frame(0.4, [true(visible_fraction=0.0)], [])])
    scorer.add_clip([frame(0.4, [true(visible_fraction=0.0)], [])])
    assert {view: s.objects for view, s in scorer.scores().items()} == {View.FULL: 2, View.HIDDEN_1: 2}
    assert [sample.clip for sample in scorer.samples] == [0, 0, 1, 1]


def test_scorers_are_added_up_clip_by_clip_and_kept_in_a_file(tmp_path):
    nowhere = np.zeros((6, 6))
    clips = [
        [frame(0, [true(width=math.nan)], [said(x=x, covariance=nowhere), said(None)]), frame(1, [true()], [])]
        for x in (0.1, 0.3, 0.7)
    ]
    whole, pooled = SpaceScorer(), SpaceScorer()
    for number, clip in enumerate(clips):
        whole.add_clip(clip)
        write_samples(tmp_path / f"{number}.npz", {"true": {METHODS[0]: scorer_of(*clip)}, "predicted": {}})
        ((group, scorers),) = read_samples(tmp_path / f"{number}.npz").items()
        assert group == "true"
        pooled.add(scorers[METHODS[0]])
    assert repr(pooled.samples) == repr(whole.samples)
    assert (pooled.clips, pooled.frames, pooled.false_estimates) == (3, 6, 3)
    assert pooled.median_interval([View.FULL]) == whole.median_interval([View.FULL])


def test_what_stands_still_stays_where_it_was_last_seen():
    moving = np.array([1.0, 0, 0])
    frames = [
        frame(t, [], [said(1, x=t, seen=t < 3 or t > 5, velocity=moving), said(None, x=t, seen=False)])
        for t in range(8)
    ]
    still = [f.estimates[0] for f in standing_still(frames)]
    assert [e.position[0] for e in still] == [0, 1, 2, 2, 2, 2, 6, 7]
    assert [e.velocity[0] for e in still] == [1, 1, 1, 0, 0, 0, 1, 1]
    assert [f.estimates[1].position[0] for f in standing_still(frames)] == list(range(8))


def test_the_interval_of_a_median_is_that_of_clips_and_not_of_frames():
    rng = np.random.default_rng(0)
    scorer = SpaceScorer()
    for error in rng.uniform(1, 3, 40):
        # A hundred frames of a clip that all say the same are one observation.
        scorer.add_clip([frame(t, [true()], [said(x=error)]) for t in range(100)])
    low, high = scorer.median_interval([View.FULL])
    assert 1.3 < low < 2 < high < 2.7
    assert high - low > 0.2
    assert scorer.median_interval([View.FULL]) == (low, high)
    assert all(math.isnan(end) for end in scorer.median_interval([View.HIDDEN_4]))
    alone = scorer_of(frame(0, [true()], [said(x=1)]))
    assert all(math.isnan(end) for end in alone.median_interval([View.FULL]))


def test_the_claim_is_of_the_objects_of_which_amodal_and_visible_masks_both_say_something():
    groups = {"true": {method: SpaceScorer() for method in METHODS}}
    for clip in range(4):
        truth = [true(1, visible_fraction=0.5, foot_covered=0.3), true(2, x=5.0, visible_fraction=0.5)]
        for method, scorer in groups["true"].items():
            error = 0.25 if method.amodal else 1.0 + clip
            estimates = [said(1, x=error), *([said(2, x=5.0)] if method.amodal else [])]
            scorer.add_clip([frame(0, truth, estimates)])
    rows = [line for line in claim(groups).splitlines() if line.startswith("| true |")]
    assert rows[0].startswith("| true | partly hidden | 4 | 0.25 | 2.50 | 100% | 2.25 (")
    assert rows[1].startswith("| true | partly hidden, foot covered | 4 | 0.25 | 2.50 | 100% | 2.25 (")
    found = document(groups)
    assert [(one["masks"], one["objects"], one["gain"]) for one in found["claim"]] == [("true", 4, 2.25)] * 2
    assert found["true"]["ground, visible"]["views"]["partly hidden, foot seen"]["position_median"] is None
    nothing = {"predicted": {method: SpaceScorer() for method in METHODS}}
    assert "| predicted | partly hidden | 0 | - | - | - | - (- to -) |" in claim(nothing)
    assert json.loads(json.dumps(document(nothing), allow_nan=False))["claim"][0]["gain_interval"] == [None, None]


def test_two_ways_are_compared_on_what_both_say_something_of():
    one, other = SpaceScorer(), SpaceScorer()
    for clip in range(5):
        truth = [true(1), true(2, x=5.0), true(3, x=9.0, cut_off=True)]
        # The first says nothing of the second thing, and the third is not seen so.
        near, far = said(1, x=0.1), said(1, x=0.4 + 0.1 * clip)
        one.add_clip([frame(0, truth, [near, said(3, x=9.0)])])
        other.add_clip([frame(0, truth, [far, said(2, x=9.0), said(3, x=20.0)])])
    found = paired(one, other, [View.FULL])
    assert found.objects == 5
    assert (found.median, found.other_median) == pytest.approx((0.1, 0.6))
    assert found.gain == pytest.approx(0.5)
    low, high = found.gain_interval
    assert 0.3 <= low < 0.5 < high <= 0.7 + 1e-9
    assert found.nearer == 1
    back = paired(other, one, [View.FULL])
    assert (back.gain, back.nearer) == (pytest.approx(-0.5), 0)
    nothing = paired(one, other, [View.HIDDEN_4])
    assert nothing.objects == 0
    assert math.isnan(nothing.gain)
