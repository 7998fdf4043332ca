"""What is measured: overlaps, occlusions, the hidden part, the lives of IDs, and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_data import (
    HEIGHT,
    WIDTH,
    random_video,
    score,
    track,
    videos,
    write_files,
)
from evaluation_masks import AWAY, LENGTH, STILL, covered
from pycocotools import mask as coco_mask

from a2vis_model.data.problems import DataError
from a2vis_model.errors import A2VISError
from a2vis_model.evaluation import ScoreSettings, TrackRecord
from a2vis_model.evaluation.box_tracking import count_tracking, match_timeline, tracking_values
from a2vis_model.evaluation.id_survival import Episode, episodes, survival
from a2vis_model.evaluation.occlusion import occlusion_of, outside, start_when_seen
from a2vis_model.evaluation.overlaps import compare_boxes, compare_masks
from a2vis_model.evaluation.youtube_vis import write_json
from a2vis_model.masks.coco import decode, encode


def test_tube_iou_is_common_over_either_in_all_frames() -> None:
    rng = np.random.default_rng(1)
    objects = [
        [encode(rng.random((HEIGHT, WIDTH)) < 0.3) if rng.random() < 0.7 else None for _ in range(5)] for _ in range(3)
    ]
    found = [
        [encode(rng.random((HEIGHT, WIDTH)) < 0.3) if rng.random() < 0.7 else None for _ in range(5)] for _ in range(4)
    ]

    def tube(masks: list[Any]) -> Any:
        return np.stack([np.zeros((HEIGHT, WIDTH), bool) if m is None else decode(m) for m in masks])

    overlap = compare_masks(objects, found, 5)
    for g, wanted in enumerate(map(tube, objects)):
        for p, guess in enumerate(map(tube, found)):
            assert overlap.tube_iou[p, g] == (wanted & guess).sum() / (wanted | guess).sum()


def test_empty_masks_have_no_overlap_and_no_box() -> None:
    empty = encode(np.zeros((HEIGHT, WIDTH), bool))
    overlap = compare_masks([[empty]], [[empty]], 1)
    assert overlap.tube_iou.tolist() == [[0]]
    assert overlap.frames[0].iou.tolist() == [[0]]


def test_occlusion_begins_when_an_object_is_first_seen() -> None:
    hidden_first = track(1, 1, STILL, occluder=[(10, 10, 20, 16)] * 2 + [(10, 10, 5, 16)] * 2 + [None] * 4)
    expected = [np.nan, np.nan, 0.25, 0.25, 0, 0, 0, 0]
    np.testing.assert_allclose(occlusion_of(hidden_first), expected)
    started = start_when_seen(hidden_first)
    assert started.amodal is not None
    assert [mask is None for mask in started.amodal] == [True, True] + [False] * 6


@pytest.mark.parametrize(("by", "high"), [("peak", [False, True, True]), ("mean", [False, False, True])])
def test_split_by_greatest_or_mean_occlusion(by: Any, high: list[bool]) -> None:
    levels: list[Any] = [np.array([0.0, 0.5]), np.array([0.1, 0.6]), np.array([np.nan, 0.9]), None]
    assert outside("high", levels, 0.5, by).tolist() == [*(not h for h in high), True]
    assert outside("low", levels, 0.5, by).tolist() == [*high, True]
    assert not outside("all", levels, 0.5, by).any()


def test_split_ignores_the_other_objects_and_what_follows_them(tmp_path: Path) -> None:
    open_, hidden = track(1, 1, STILL), track(2, 1, AWAY, occluder=covered(range(3, 5), (40, 30, 9, 10)))
    split = track(3, 1, [*STILL[:4], *[None] * 4]), track(4, 1, [*[None] * 4, *STILL[4:]])
    truth, results = write_files(tmp_path, videos(1, LENGTH), [[open_, hidden]], [[*split, track(2, 1, AWAY)]])
    values = score(truth, results, recall_tracks=10)
    assert values["occluded.low.objects"] == values["occluded.high.objects"] == 1
    # The switch is on the object that is never hidden.
    assert (values["boxes.IDs"], values["occluded.low.boxes.IDs"], values["occluded.high.boxes.IDs"]) == (1, 1, 0)
    # Its predictions stay right ones where the other is scored: they count for nothing.
    assert values["occluded.high.boxes.MOTA"] == values["occluded.high.boxes.HOTA"] == 1
    assert values["occluded.high.boxes.FP"] == 0
    assert values["occluded.high.amodal.AR"] == 1


def hidden_values(tmp_path: Path, prediction: TrackRecord, **options: Any) -> dict[str, Any]:
    truth = track(1, 1, STILL, occluder=covered(range(2, 6), (10, 10, 10, 16)))
    files = write_files(tmp_path, videos(1, LENGTH), [[truth]], [[prediction]])
    values = score(*files, **options)
    return {key.removeprefix("hidden."): value for key, value in values.items() if key.startswith("hidden.")}


def test_hidden_part_of_a_perfect_prediction(tmp_path: Path) -> None:
    values = hidden_values(tmp_path, track(1, 1, STILL))
    assert values == {"IoU": 1, "pixel_IoU": 1, "found": 1, "object_frames": 4}


def test_visible_masks_passed_off_as_amodal_get_nothing(tmp_path: Path) -> None:
    seen = track(1, 1, STILL, occluder=covered(range(2, 6), (10, 10, 10, 16)))
    values = hidden_values(tmp_path, TrackRecord(1, 1, visible=seen.visible, amodal=seen.visible))
    assert values == {"IoU": 0, "pixel_IoU": 0, "found": 1, "object_frames": 4}


def test_hidden_part_is_scored_pixel_by_pixel(tmp_path: Path) -> None:
    # Hidden are columns 10 to 19; the guess reaches columns 15 to 34: 5 right, 5 missed, and 5 beyond the object.
    values = hidden_values(tmp_path, track(1, 1, [(15, 10, 20, 16)] * LENGTH))
    assert values["IoU"] == pytest.approx(5 / 15)
    assert values["pixel_IoU"] == pytest.approx(5 / 15)


def test_hidden_part_without_prediction_and_below_the_least_size(tmp_path: Path) -> None:
    assert hidden_values(tmp_path, track(1, 1, AWAY))["found"] == 0
    assert hidden_values(tmp_path, track(1, 1, STILL), hidden_pixels=161)["object_frames"] == 0
    assert hidden_values(tmp_path, track(1, 1, STILL), hidden_pixels=160)["object_frames"] == 4


def test_an_id_survives_or_not() -> None:
    occlusion = np.array([0, 0.9, 0.9, 0, 0, 0.9, 0, 0.6, 0.9, 0.9, np.nan, 0, 0.9])
    timeline = np.array([1, 1, -1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3])
    # The third ends with the object out of the frame and the fourth with the video: nobody can tell.
    assert episodes(occlusion, timeline, 0.5) == [Episode(2, 1, True), Episode(1, 1, False)]
    assert episodes(occlusion, np.full(13, -1), 0.5) == []


def test_an_object_that_nothing_follows_afterwards_lost_its_id() -> None:
    assert episodes(np.array([0, 0.9, 0, 0]), np.array([4, -1, -1, -1]), 0.5) == [Episode(1, 0, False)]


def test_survival_by_length() -> None:
    values = survival([Episode(2, 1, True), Episode(4, 0, False), Episode(7, 7, True), Episode(60, 0, False)])
    assert (values["1-4.episodes"], values["1-4.survived"], values["1-4.followed"]) == (2, 0.5, 1 / 6)
    assert (values["5-9.survived"], values["10-19.survived"], values["50+.survived"]) == (1, None, 0)
    assert (values["all.episodes"], values["longest"]) == (4, 7)


def test_switches_on_the_timeline_are_those_that_trackeval_counts() -> None:
    rng = np.random.default_rng(4)
    switches = 0
    for _ in range(20):
        objects, found = random_video(rng, 12)
        boxes = [[np.asarray(boxes_of(t)) for t in side] for side in (objects, found)]
        frames = compare_boxes(boxes[0], boxes[1], 12)
        line = match_timeline(frames, len(objects))
        own = sum(int((np.diff(ids[ids >= 0]) != 0).sum()) for ids in line)
        everything = np.ones(len(objects), bool), np.ones(len(found), bool)
        counts = count_tracking(frames, *everything, np.zeros((len(objects), 12), np.int8))
        assert own == tracking_values(counts)["IDs"]
        switches += own
    assert switches


def boxes_of(made: TrackRecord) -> list[Any]:
    empty = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    boxes = [coco_mask.toBbox(coco_mask.encode(empty) if m is None else m) for m in made.amodal or ()]
    return [box if box[2] else [np.nan] * 4 for box in boxes]


def test_classes_together_averaged_or_pooled(tmp_path: Path) -> None:
    wrong = track(1, 2, STILL), track(2, 2, AWAY)
    files = write_files(tmp_path, videos(1, LENGTH), [[track(1, 1, STILL), track(2, 2, AWAY)]], [[*wrong]])
    assert score(*files)["boxes.MOTA"] == 1
    assert score(*files, tracking_classes="pooled")["boxes.MOTA"] == 0  # of two objects one found, and one too many
    assert score(*files, tracking_classes="averaged")["boxes.HOTA"] < 0.51
    assert score(*files, classes=("cat",))["boxes.TP"] == 0
    with pytest.raises(DataError, match="have no bird; there are cat, dog"):
        score(*files, classes=("bird",))


def test_weak_tracks_count_for_average_precision_alone(tmp_path: Path) -> None:
    found = [track(1, 1, STILL, score=0.9), track(2, 1, AWAY, score=0.1)]
    files = write_files(tmp_path, videos(1, LENGTH), [[track(1, 1, STILL), track(2, 1, AWAY)]], [found])
    values = score(*files, tracking_score=0.5, recall_tracks=2)
    assert (values["boxes.FN"], values["amodal.AR"], values["amodal.AR1"]) == (LENGTH, 1, 0.5)


def test_amodal_masks_are_ranked_by_their_own_score(tmp_path: Path) -> None:
    good, bad = track(1, 1, STILL, score=0.2), track(2, 1, AWAY, score=0.8)
    good.amodal_score, bad.amodal_score = 0.9, 0.1
    values = score(*write_files(tmp_path, videos(1, LENGTH), [[track(1, 1, STILL)]], [[good, bad]]))
    assert values["amodal.AP"] == pytest.approx(1)
    assert values["visible.AP"] == pytest.approx(0.5)


def test_other_tracks_for_box_tracking(tmp_path: Path) -> None:
    truth, ranked = write_files(tmp_path, videos(1, LENGTH), [[track(1, 1, STILL)]], [[track(1, 1, STILL)]])
    write_json(tmp_path / "tracks.json", [])
    values = score(truth, ranked, tmp_path / "tracks.json")
    assert (values["amodal.AP"], values["boxes.FN"]) == (pytest.approx(1), LENGTH)


def test_processes_do_not_change_the_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    sides = [random_video(rng, 10) for _ in range(3)]
    files = write_files(tmp_path, videos(3), [side[0] for side in sides], [side[1] for side in sides])
    assert score(*files) == score(*files, jobs=2)


@pytest.mark.parametrize(
    ("name", "value"), [("split_at", 1.5), ("tracking_score", -1), ("recall_tracks", 0), ("hidden_pixels", 0)]
)
def test_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(A2VISError, match=f"{name}={value}"):
        ScoreSettings(**{name: value})
