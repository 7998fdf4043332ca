"""The life of tracks, without a network."""

import numpy as np
import pytest

from a2vis_model.tracks import SlotObservation, TrackManager, TrackSettings, TrackState

Q = 4
SETTINGS = TrackSettings(
    start_score=0.7, keep_score=0.25, confirm_frames=2, max_occluded_frames=5, max_lost_frames=3, duplicate_iou=0.5
)


def observe(scores=None, visible=None, amodal=None, classes=None, overlap=None):
    """One frame; dictionaries give the slots that differ from nothing."""

    def fill(values, dtype):
        array = np.zeros(Q, dtype)
        for slot, value in (values or {}).items():
            array[slot] = value
        return array

    return SlotObservation(
        classes=fill(classes, np.int64),
        scores=fill(scores, np.float32),
        existence=fill(scores, np.float32),
        visible_area=fill(visible, np.int64),
        amodal_area=fill(amodal, np.int64),
        overlap=np.eye(Q, dtype=np.float32) if overlap is None else overlap,
    )


SEEN = observe({0: 0.9}, {0: 500}, {0: 600})
HIDDEN = observe({0: 0.9}, {}, {0: 600})
GONE = observe({0: 0.9})
NOTHING = observe()


def states(manager, frames):
    return [[(t.track_id, t.state.name) for t in manager.update(frame)] for frame in frames]


def test_a_track_is_born_confirmed_hidden_lost_found_and_ended():
    manager = TrackManager(SETTINGS)
    assert states(manager, [SEEN, SEEN, HIDDEN, HIDDEN, GONE, SEEN, GONE, GONE, GONE, GONE, NOTHING]) == [
        [(1, "TENTATIVE")],
        [(1, "VISIBLE")],
        [(1, "OCCLUDED")],
        [(1, "OCCLUDED")],
        [(1, "LOST")],
        [(1, "VISIBLE")],
        [(1, "LOST")],
        [(1, "LOST")],
        [(1, "LOST")],
        [(1, "ENDED")],
        [],
    ]


def test_ages_count_every_frame_also_with_nothing_in_view():
    manager = TrackManager(SETTINGS)
    for frame in (SEEN, SEEN, HIDDEN):
        (track,) = manager.update(frame)
    assert (track.age, track.frames_since_visible) == (2, 1)
    (track,) = manager.update(NOTHING)
    assert (track.age, track.frames_since_visible, track.frames_lost) == (3, 2, 1)
    (track,) = manager.update(SEEN)
    assert (track.age, track.frames_since_visible, track.frames_lost) == (4, 0, 0)


def test_a_track_hidden_too_long_ends_and_its_id_does_not_come_back():
    manager = TrackManager(SETTINGS)
    result = states(manager, [SEEN, SEEN, *[HIDDEN] * 6, SEEN])
    assert [r[0][1] for r in result[2:8]] == ["OCCLUDED"] * 5 + ["ENDED"]
    assert result[8] == [(2, "TENTATIVE")]


def test_a_tentative_track_ends_at_its_first_miss():
    manager = TrackManager(SETTINGS)
    assert states(manager, [SEEN, HIDDEN, NOTHING]) == [[(1, "TENTATIVE")], [(1, "ENDED")], []]


def test_scores_gate_starting_and_keeping():
    manager = TrackManager(SETTINGS)
    weak = observe({0: 0.4}, {0: 500}, {0: 500})
    assert states(manager, [weak]) == [[]]
    assert states(manager, [SEEN, weak]) == [[(1, "TENTATIVE")], [(1, "VISIBLE")]]
    faint = observe({0: 0.1}, {0: 500}, {0: 500})
    assert states(manager, [faint]) == [[(1, "LOST")]]


def test_small_masks_do_not_count():
    manager = TrackManager(TrackSettings(min_area=100))
    assert states(manager, [observe({0: 0.9}, {0: 99}, {0: 500})]) == [[]]
    assert states(manager, [observe({0: 0.9}, {0: 100}, {0: 500})]) == [[(1, "TENTATIVE")]]


def test_a_second_slot_on_the_same_object_starts_no_track():
    overlap = np.eye(Q, dtype=np.float32)
    overlap[0, 1] = overlap[1, 0] = 0.8
    both = observe({0: 0.9, 1: 0.95}, {0: 500, 1: 500}, {0: 500, 1: 500}, overlap=overlap)
    manager = TrackManager(SETTINGS)
    tracks = manager.update(both)
    assert [t.slot for t in tracks] == [1], "the better of two newcomers"
    manager = TrackManager(SETTINGS)
    manager.update(SEEN)
    assert [t.slot for t in manager.update(both)] == [0], "the track that was there"


def test_of_tracks_that_come_to_show_the_same_the_oldest_stays():
    def frame(iou, **changes):
        overlap = np.eye(Q, dtype=np.float32)
        overlap[0, 1] = overlap[1, 0] = iou
        seen = observe({0: 0.9, 1: 0.95}, {0: 500, 1: 500}, {0: 600, 1: 600}, overlap=overlap)
        return SlotObservation(**{**seen.__dict__, **changes})

    manager = TrackManager(SETTINGS)
    assert states(manager, [SEEN, frame(0.0), frame(0.5), frame(0.6), frame(0.6)]) == [
        [(1, "TENTATIVE")],
        [(1, "VISIBLE"), (2, "TENTATIVE")],
        [(1, "VISIBLE"), (2, "VISIBLE")],
        [(1, "VISIBLE"), (2, "ENDED")],
        [(1, "VISIBLE")],
    ]
    # The amodal masks of two objects may well be the same, and so may those of a hidden one and of what hides it.
    manager = TrackManager(SETTINGS)
    amodal = [frame(iou, visible_area=None) for iou in (0.0, 0.8)]
    assert [state for _, state in states(manager, amodal)[1]] == ["VISIBLE", "VISIBLE"]
    manager = TrackManager(SETTINGS)
    hidden = frame(0.8, visible_area=np.array([500, 0, 0, 0]))
    assert states(manager, [frame(0.0), frame(0.0), hidden])[2] == [(1, "OCCLUDED"), (2, "VISIBLE")]


def test_the_class_is_that_of_the_last_visible_frame():
    manager = TrackManager(SETTINGS)
    manager.update(observe({0: 0.9}, {0: 500}, {0: 500}, {0: 2}))
    manager.update(observe({0: 0.9}, {0: 500}, {0: 500}, {0: 3}))
    (track,) = manager.update(observe({0: 0.9}, {}, {0: 500}, {0: 1}))
    assert (track.class_id, track.state) == (3, TrackState.OCCLUDED)


def test_a_network_with_visible_masks_alone_loses_hidden_objects():
    seen = observe({0: 0.9}, {0: 500})
    frames = [SlotObservation(**{**seen.__dict__, "amodal_area": None})] * 2
    frames += [SlotObservation(**{**NOTHING.__dict__, "amodal_area": None})]
    assert [r[0][1] for r in states(TrackManager(SETTINGS), frames)] == ["TENTATIVE", "VISIBLE", "LOST"]


def test_a_network_with_amodal_masks_alone_takes_them_for_visible():
    frame = SlotObservation(**{**SEEN.__dict__, "visible_area": None})
    assert [r[0][1] for r in states(TrackManager(SETTINGS), [frame] * 2)] == ["TENTATIVE", "VISIBLE"]


def test_ids_are_never_reused_over_resets_and_many_lives():
    manager = TrackManager(SETTINGS)
    seen = set()
    for _ in range(50):
        ids = {t.track_id for frame in (SEEN, SEEN) for t in manager.update(frame)}
        assert not ids & seen
        seen |= ids
        manager.reset()
        assert not manager.tracks
    for _ in range(50):
        for frame in (SEEN, *[NOTHING] * 2):
            ids = {t.track_id for t in manager.update(frame)}
        assert not ids & seen
        seen |= ids


@pytest.mark.parametrize(
    "change",
    [{"start_score": 1.5}, {"keep_score": -0.1}, {"min_area": 0}, {"confirm_frames": 0}, {"max_lost_frames": -1}],
)
def test_bad_settings_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        TrackSettings(**change)
