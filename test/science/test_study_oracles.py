"""Each replacement makes its own part right, and leaves the others as they were."""

from collections.abc import Sequence

import numpy as np
import pytest
from evaluation_data import HEIGHT, WIDTH, Box, random_video, track

from a2vis_model.evaluation import ScoreSettings, TrackRecord, VideoInfo
from a2vis_model.evaluation.instances import VideoTracks, mask_areas
from a2vis_model.evaluation.video_score import Scope, score_video
from a2vis_model.masks import coco
from science.oracles import (
    RANKED,
    STREAM,
    apply,
    best_class_only,
    true_amodal,
    true_association,
    true_classes,
    true_hidden,
    true_presence,
    true_ranking,
    true_visible,
    without_false_alarms,
    without_misses,
)

LENGTH = 6
INFO = VideoInfo(1, "clip", LENGTH, HEIGHT, WIDTH)
SCOPE = Scope((1, 2), ("visible", "amodal"), ("boxes",), ranked=True)


def still(x: float, frames: Sequence[int] = range(LENGTH), width: float = 12) -> list[Box | None]:
    return [(x, 10.0, width, 12.0) if t in frames else None for t in range(LENGTH)]


def truth_of(*objects: TrackRecord) -> VideoTracks:
    return VideoTracks(INFO, list(objects))


# An object that is wholly hidden in frames 2 and 3, and one that is never hidden.
COVER = still(4, (2, 3), 12)
TRUTH = truth_of(track(1, 1, still(4), occluder=COVER), track(2, 2, still(40)))


def on(record: TrackRecord) -> list[int]:
    """The frames in which a track has any mask."""
    areas = mask_areas(record.amodal or []) + mask_areas(record.visible or [])
    return np.flatnonzero(areas).tolist()


def same(first: TrackRecord, second: TrackRecord) -> bool:
    return (first.class_id, first.score, first.visible, first.amodal) == (
        second.class_id,
        second.score,
        second.visible,
        second.amodal,
    )


def test_classes_alone_become_those_of_the_objects() -> None:
    found = [track(1, 2, still(5), score=0.7), track(2, 1, [(20.0, 30.0, 5.0, 5.0)] * LENGTH)]
    right = true_classes(TRUTH, found)
    assert [t.class_id for t in right] == [1, 1]  # The second is on no object and keeps its own.
    assert all(same(TrackRecord(**{**vars(a), "class_id": b.class_id}), b) for a, b in zip(found, right, strict=True))


def test_visible_masks_alone_become_true_and_stay_inside_amodal_ones() -> None:
    (right,) = true_visible(TRUTH, [track(1, 1, still(7))])
    assert right.visible == TRUTH.tracks[0].visible
    for seen, whole in zip(right.visible or (), right.amodal or (), strict=True):
        assert whole is not None
        if seen is not None:
            assert coco.area(coco.intersection([seen, whole])) == coco.area(seen)


def test_hidden_parts_are_the_true_ones_beside_the_predicted_visible_mask() -> None:
    predicted = track(1, 1, still(6), occluder=COVER)
    (right,) = true_hidden(TRUTH, [predicted])
    assert right.visible == predicted.visible
    seen, hidden = (predicted.visible or [])[2], (TRUTH.tracks[0].amodal or [])[2]
    assert seen is not None
    assert hidden is not None
    assert (right.amodal or [])[2] == coco.union([seen, hidden])
    assert (right.amodal or [])[0] == (predicted.visible or [])[0]  # Nothing is hidden there.


def test_amodal_masks_alone_become_true() -> None:
    predicted = track(1, 1, still(7))
    (right,) = true_amodal(TRUTH, [predicted])
    assert right.amodal == TRUTH.tracks[0].amodal
    assert right.visible == predicted.visible


def test_false_alarms_go_frame_by_frame() -> None:
    boxes = [*still(5)[:3], *[(20.0, 30.0, 5.0, 5.0)] * 3]
    found = without_false_alarms(TRUTH, [track(1, 1, boxes, score=0.6), track(2, 1, [(20.0, 30.0, 5.0, 5.0)] * LENGTH)])
    assert [t.track_id for t in found] == [1]
    assert on(found[0]) == [0, 1, 2]
    assert found[0].score == 0.6


def test_misses_are_added_to_the_track_that_was_there_and_hidden_frames_are_not() -> None:
    found = without_misses(TRUTH, [track(7, 1, still(4, (0, 1)), score=0.2)])
    assert [t.track_id for t in found] == [7, 8]
    assert on(found[0]) == [0, 1, 4, 5]
    assert found[0].score == pytest.approx(0.4)  # Two frames of 0.1 each, and two more.
    assert on(found[1]) == list(range(LENGTH))
    assert (found[1].class_id, found[1].score) == (2, 1.0)


def test_presence_adds_hidden_frames_alone() -> None:
    (found,) = true_presence(truth_of(TRUTH.tracks[0]), [track(7, 1, still(4, (0, 1)))])
    assert on(found) == [0, 1, 2, 3]
    assert (found.amodal or [])[2] == (TRUTH.tracks[0].amodal or [])[2]
    assert (found.visible or [])[2] is None


def test_a_missed_frame_goes_to_a_new_track_if_the_old_one_is_elsewhere() -> None:
    wrong = [*still(4)[:3], *still(40)[3:]]  # It goes from the first object to the second.
    truth = truth_of(track(1, 1, still(4)), track(2, 1, still(40)))
    found = without_misses(truth, [track(1, 1, wrong)])
    assert [on(t) for t in found] == [list(range(LENGTH)), [3, 4, 5], [0, 1, 2]] or len(found) == 3
    assert sum(len(on(t)) for t in found) == 2 * LENGTH


def test_association_joins_pieces_and_splits_tracks_that_changed_object() -> None:
    truth = truth_of(track(1, 1, still(4)), track(2, 2, still(40)))
    first = track(1, 1, [*still(4)[:4], *still(40)[4:]], score=0.6)
    second = track(2, 2, [*still(40)[:4], *still(4)[4:]], score=0.3)
    found = true_association(truth, [first, second])
    assert [t.class_id for t in found] == [1, 2]
    assert [t.score for t in found] == pytest.approx([0.6 * 4 / 6 + 0.3 * 2 / 6, 0.3 * 4 / 6 + 0.6 * 2 / 6])
    for joined, thing in zip(found, truth.tracks, strict=True):
        assert joined.amodal == thing.amodal
    assert len({t.track_id for t in found} | {1, 2}) == 4


def test_association_leaves_false_alarms_in_their_track() -> None:
    found = true_association(TRUTH, [track(1, 1, [*still(4)[:3], *[(20.0, 30.0, 5.0, 5.0)] * 3], score=0.6)])
    assert [on(t) for t in found] == [[0, 1, 2], [3, 4, 5]]
    assert [t.score for t in found] == pytest.approx([0.3, 0.3])


def test_the_true_ranking_is_by_overlap_within_the_class() -> None:
    found = true_ranking(TRUTH, [track(1, 2, still(40)), track(2, 1, still(40)), track(3, 1, still(10), score=0.9)])
    assert found[0].score == pytest.approx(1)
    assert found[1].score == 0
    assert 0 < found[2].score < 0.5


def test_of_equal_masks_the_best_class_stays() -> None:
    found = best_class_only(TRUTH, [track(1, 1, still(4), score=0.2), track(2, 2, still(4), score=0.5)])
    assert [(t.track_id, t.class_id) for t in found] == [(2, 2)]


def test_shared_slots_are_all_on_the_object_that_they_overlap_most() -> None:
    slots = [track(1, 2, still(4), score=0.9), track(2, 2, still(6), score=0.8), track(3, 1, still(41), score=0.5)]
    assert [t.class_id for t in true_classes(TRUTH, slots)] == [1, 2, 2]  # One to one the second is on nothing.
    assert [t.class_id for t in true_classes(TRUTH, slots, shared=True)] == [1, 1, 2]
    right = true_amodal(TRUTH, slots, shared=True)
    assert [t.amodal for t in right] == [TRUTH.tracks[i].amodal for i in (0, 0, 1)]


@pytest.mark.parametrize("seed", range(4))
def test_everything_right_gives_perfect_scores(seed: int) -> None:
    objects, predictions = random_video(np.random.default_rng(seed), 10)
    info = VideoInfo(1, "clip", 10, HEIGHT, WIDTH)
    truth = VideoTracks(info, objects)
    seen = [o for o in objects if mask_areas(o.visible or []).any()]
    found = apply(STREAM["everything"], VideoTracks(info, seen), VideoTracks(info, predictions))
    score = score_video(VideoTracks(info, seen), found, found, ScoreSettings(), SCOPE)
    tracking = score.tracking["boxes"]["all"][None]
    assert tracking.hota["HOTA"].mean() == pytest.approx(1)
    assert tracking.identity["IDF1"] == pytest.approx(1)
    assert len(truth.tracks) >= len(seen)


def test_nothing_is_changed_in_place() -> None:
    objects, predictions = random_video(np.random.default_rng(9), 10)
    info = VideoInfo(1, "clip", 10, HEIGHT, WIDTH)
    before = [TrackRecord(**vars(t)) for t in predictions]
    for oracles in (*STREAM.values(), *RANKED.values()):
        apply(oracles, VideoTracks(info, objects), VideoTracks(info, predictions))
    assert all(same(a, b) for a, b in zip(before, predictions, strict=True))
