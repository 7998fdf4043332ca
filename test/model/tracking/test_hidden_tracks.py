"""Hidden tracks: whose amodal mask is drawn, whose is moved on, and for how long."""

from dataclasses import replace

import numpy as np
import pytest
from track_worlds import EMPTY, Mover, Slot, cells, observe, scene

from a2vis_model.tracking.settings import TrackSettings
from a2vis_model.tracking.tracks import TrackManager, TrackState

Q = 4
SETTINGS = TrackSettings(confirm_frames=2, max_predicted_s=0.5)
FPS = 30


def one(visible, amodal=None):
    return observe({0: Slot(visible, amodal)}, Q)


def after(*, seen=16, settings=SETTINGS, hidden=()):
    """The track in each of the `hidden` frames, after an object of 6 x 6 cells was seen moving to the right."""
    manager = TrackManager(settings)
    for t in range(seen):
        manager.update(one(cells(4, 1 + t, 6, 6)), t / FPS)
    found = []
    for t, frame in enumerate(hidden, seen):
        tracks = manager.update(frame, t / FPS)
        found.append(replace(tracks[0]) if tracks else None)
    return found


def test_what_no_slot_draws_moves_on_from_where_it_was():
    first, second, third = after(hidden=[observe({}, Q)] * 3)
    assert [track.state for track in (first, second, third)] == [TrackState.LOST] * 3
    for track, t in ((first, 16), (third, 18)):
        np.testing.assert_array_equal(track.forecast.whole, cells(4, 1 + t, 6, 6))


@pytest.mark.parametrize(
    ("drawn", "state"),
    [
        (cells(4, 17, 6, 6), TrackState.OCCLUDED),
        (cells(4, 17, 6, 3), TrackState.OCCLUDED),  # half of it
        (cells(4, 17, 6, 2), TrackState.LOST),
        (cells(8, 14, 6, 6), TrackState.OCCLUDED),  # elsewhere, but whole
    ],
)
def test_a_slot_is_believed_while_it_draws_half_of_the_object(drawn, state):
    (track,) = after(hidden=[one(EMPTY, drawn)])
    assert track.state is state
    assert (track.forecast is not None) == (state is TrackState.LOST)


def test_a_remnant_keeps_a_track_alive_as_a_whole_mask_does():
    settings = replace(SETTINGS, max_lost_frames=3)
    whole, remnant = (after(settings=settings, hidden=[one(EMPTY, cells(4, 16, 6, w))] * 6) for w in (6, 2))
    assert all(track.state is TrackState.OCCLUDED for track in whole)
    assert all(track.state is TrackState.LOST for track in remnant)
    assert [track.frames_lost for track in remnant] == [0] * 6
    ended = after(settings=settings, hidden=[observe({}, Q)] * 4)
    assert [track.state.name for track in ended] == ["LOST"] * 3 + ["ENDED"]
    assert ended[-1].forecast is None


@pytest.mark.parametrize(("limit", "frames"), [(0.0, 0), (0.09, 2), (0.49, 14), (9.0, 20)])
def test_it_is_moved_on_for_so_long_after_the_full_mask(limit, frames):
    for hidden, then in (
        (observe({}, Q), TrackState.LOST),
        (one(EMPTY, cells(4, 16, 6, 2)), TrackState.OCCLUDED),  # what the slot draws is all that is left
    ):
        found = after(settings=replace(SETTINGS, max_predicted_s=limit), hidden=[hidden] * 20)
        assert [track.forecast is not None for track in found] == [True] * frames + [False] * (20 - frames)
        assert {track.state for track in found[:frames]} <= {TrackState.LOST}
        assert {track.state for track in found[frames:]} <= {then}


def test_a_track_that_was_covered_slowly_is_moved_on_from_before():
    """The time counts from the full mask: what was last whole long ago may be anywhere."""
    manager = TrackManager(SETTINGS)
    for t in range(30):
        manager.update(one(cells(4, 2, 6, max(6 - t // 5, 1))), t / FPS)
    (track,) = manager.update(observe({}, Q), 1.0)
    assert track.state is TrackState.LOST
    assert track.forecast is None


def test_without_stamps_nothing_is_moved_on():
    manager = TrackManager(replace(SETTINGS, max_lost_frames=5))
    for _ in range(30):
        manager.update(one(cells(4, 2, 6, 6)), 0.0)
    (track,) = manager.update(observe({}, Q), 0.0)
    assert (track.state, track.forecast) == (TrackState.LOST, None)


@pytest.mark.parametrize(("seen", "moved"), [(15, False), (16, True)])
def test_what_was_seen_for_less_than_half_a_second_is_not_moved_on(seen, moved):
    """At 30 frames a second the 16th frame is half a second after the first."""
    (track,) = after(seen=seen, hidden=[observe({}, Q)])
    assert track.state is TrackState.LOST
    assert (track.forecast is not None) == moved


def test_one_that_is_seen_again_is_moved_on_no_longer():
    found = after(hidden=[observe({}, Q), one(cells(4, 18, 6, 6)), observe({}, Q)])
    assert [track.state.name for track in found] == ["LOST", "VISIBLE", "LOST"]
    assert found[1].forecast is None
    assert found[2].forecast.full.seconds == 17 / FPS


def test_true_masks_behind_a_wall_that_no_slot_draws_are_predicted():
    """In an endless stream: objects cross behind a wall one after the other, and slots say nothing of hidden ones."""
    wall = Mover(0, 0, 14, 20, 7)
    manager, overlaps, ids = TrackManager(TrackSettings(max_predicted_s=0.5)), [], set()
    for t in range(1200):
        passer = Mover(1, 6, -6 + 0.6 * (t % 80), 6, 5)
        found = scene([wall, passer], 0)
        slots = {mover.number: Slot(visible, amodal) for mover, visible, amodal in found if visible.any()}
        truth = next((amodal for mover, _, amodal in found if mover is passer), None)
        for track in manager.update(observe(slots, Q), t / FPS):
            ids.add(track.track_id)
            if track.forecast is not None and 1 not in slots and truth is not None:
                there = track.forecast.whole
                overlaps.append((there & truth).sum() / (there | truth).sum())
        assert len(manager.tracks) <= 4
        manager.take_released()
    assert len(overlaps) >= 3 * 1200 / 80
    assert np.mean(overlaps) > 0.7
    assert len(ids) > 10


def test_a_newcomer_where_it_is_expected_is_the_same_object_and_an_old_neighbour_is_not():
    manager, neighbour = TrackManager(SETTINGS), Slot(cells(12, 17, 3, 6), cells(4, 17, 11, 6), class_id=2)
    for t in range(16):
        manager.update(observe({0: Slot(cells(4, 1 + t, 6, 6)), 1: neighbour}, Q), t / FPS)
    lost, _ = manager.update(observe({1: neighbour}, Q), 16 / FPS)
    assert lost.forecast is not None
    newcomer = Slot(cells(4, 18, 6, 6), class_id=1)
    lost, _, born = manager.update(observe({1: neighbour, 2: newcomer}, Q), 17 / FPS)
    assert (lost.state, lost.forecast, born.track_id) == (TrackState.LOST, None, 3)
