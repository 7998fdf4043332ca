"""The life of tracks, without a network."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from track_worlds import EMPTY, IdentityBook, Mover, Slot, cells, observe, scene, unit

from a2vis_model.tracking.settings import TrackSettings
from a2vis_model.tracking.tracks import TrackManager, TrackState

Q = 4
DIM = 8
SETTINGS = TrackSettings(
    start_score=0.7, keep_score=0.25, confirm_frames=2, max_occluded_frames=5, max_lost_frames=3, duplicate_iou=0.5
)
HERE, THERE = cells(4, 4, 8, 8), cells(4, 20, 8, 8)


def one(visible, amodal=None, slot=0, **changes):
    return observe({slot: Slot(visible, amodal, **changes)}, Q)


SEEN = one(HERE)
HIDDEN = one(EMPTY, HERE)
GONE = one(EMPTY)
NOTHING = observe({}, Q)


def states(manager, frames):
    return [[(t.track_id, t.state.name) for t in manager.update(frame, 0.0)] for frame in frames]


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
        (track,) = manager.update(frame, 0.0)
    assert (track.age, track.frames_since_visible) == (2, 1)
    (track,) = manager.update(NOTHING, 0.0)
    assert (track.age, track.frames_since_visible, track.frames_lost) == (3, 2, 1)
    (track,) = manager.update(SEEN, 0.0)
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
    weak, faint = one(HERE, score=0.4), one(HERE, score=0.1)
    assert states(manager, [weak]) == [[]]
    assert states(manager, [SEEN, weak]) == [[(1, "TENTATIVE")], [(1, "VISIBLE")]]
    assert states(manager, [faint]) == [[(1, "LOST")]]
    assert manager.least_scores(Q).tolist() == [0.25] * Q


def test_small_masks_do_not_count():
    manager = TrackManager(TrackSettings(min_area=100))
    small = cells(4, 4, 1, 1)
    assert states(manager, [one(small, HERE)]) == [[]]
    assert states(manager, [one(cells(4, 4, 1, 2), HERE)]) == [[(1, "TENTATIVE")]]


def test_of_slots_that_show_one_object_the_surest_is_its_track():
    both = observe({0: Slot(HERE), 1: Slot(cells(4, 5, 8, 8), score=0.95)}, Q)
    manager = TrackManager(SETTINGS)
    assert [t.slot for t in manager.update(both, 0.0)] == [1]
    # A part of the object, for which IoU is small, is the object too.
    part = observe({0: Slot(HERE), 1: Slot(cells(4, 4, 3, 3), score=0.8)}, Q)
    assert [(t.track_id, t.slot) for t in manager.update(part, 0.0)] == [(1, 0)]


def test_a_track_follows_its_mask_from_slot_to_slot():
    manager = TrackManager(SETTINGS)
    frames = [observe({t % 3: Slot(cells(4, 4 + t, 8, 8)), 3: Slot(cells(16, 20 - t, 5, 5))}, Q) for t in range(12)]
    assert {(i, s) for frame in states(manager, frames)[1:] for i, s in frame} == {(1, "VISIBLE"), (2, "VISIBLE")}
    assert [t.slot for t in manager.tracks] == [11 % 3, 3]


def test_two_tracks_whose_slots_change_places_change_nothing_else():
    manager = TrackManager(SETTINGS)
    a, b = Slot(HERE, class_id=1), Slot(THERE, class_id=2)
    for slots in ({0: a, 1: b}, {0: b, 1: a}, {2: a, 0: b}):
        tracks = manager.update(observe(slots, Q), 0.0)
        assert [(t.track_id, t.class_id) for t in tracks] == [(1, 1), (2, 2)]
        assert [t.slot for t in tracks] == [next(s for s, x in slots.items() if x is y) for y in (a, b)]


def test_a_slot_that_moves_on_to_another_object_leaves_its_track_lost():
    """What the slot draws now is not the track: its mask must not be published for it."""
    manager = TrackManager(SETTINGS)
    frames = [SEEN, SEEN, one(THERE), one(THERE)]
    assert states(manager, frames)[2:] == [
        [(1, "LOST"), (2, "TENTATIVE")],
        [(1, "LOST"), (2, "VISIBLE")],
    ]


def test_an_object_that_comes_back_elsewhere_is_known_by_prototype_and_motion():
    """It moves behind something for 20 frames in which no slot draws it, and comes out in another slot."""
    settings = replace(SETTINGS, max_lost_frames=30, max_occluded_frames=30)

    def frame(t, slot, number, **changes):
        return observe({slot: Slot(cells(4, t // 2, 6, 6), prototype=unit(DIM, number), **changes)}, Q, DIM)

    def story(last):
        manager = TrackManager(settings)
        for t in range(10):
            manager.update(frame(t, 0, 1), t / 30)
        for t in range(10, 30):
            (track,) = manager.update(observe({}, Q, DIM), t / 30)
        assert track.state is TrackState.LOST
        return [(t.track_id, t.state.name) for t in manager.update(last, 1.0)]

    assert story(frame(30, 2, 1)) == [(1, "VISIBLE")]
    assert story(frame(30, 2, 1, score=0.5)) == [(1, "VISIBLE")], "known again below the score of a newcomer"
    assert story(frame(30, 2, 3)) == [(1, "LOST"), (2, "TENTATIVE")], "another object in the same place"
    assert story(frame(66, 2, 1)) == [(1, "LOST"), (2, "TENTATIVE")], "an object like it where it cannot be"


def test_an_object_that_stopped_while_it_was_hidden_keeps_its_id():
    """Its velocity would have taken it 20 cells on, which is out of reach of a thing of 4 x 4 cells."""
    manager = TrackManager(replace(SETTINGS, max_lost_frames=30, max_occluded_frames=30))

    def frame(left, slot):
        return observe({slot: Slot(cells(4, left, 4, 4), prototype=unit(DIM, 1))}, Q, DIM)

    for t in range(5):
        manager.update(frame(t, 0), t / 30)
    for t in range(5, 25):
        manager.update(observe({}, Q, DIM), t / 30)
    assert [(t.track_id, t.state.name) for t in manager.update(frame(5, 2), 25 / 30)] == [(1, "VISIBLE")]


def test_of_two_that_are_like_a_hidden_object_the_one_where_it_stopped_is_it():
    """The other, of a higher score, is between that place and the one to which the velocity would have taken it."""
    manager = TrackManager(replace(SETTINGS, max_lost_frames=30, max_occluded_frames=30))

    def slot(left, score=0.9):
        return Slot(cells(4, left, 4, 4), score=score, prototype=unit(DIM, 1))

    for t in range(5):
        manager.update(observe({0: slot(t)}, Q, DIM), t / 30)
    for t in range(5, 15):
        manager.update(observe({}, Q, DIM), t / 30)
    found = manager.update(observe({1: slot(9, score=0.99), 2: slot(4)}, Q, DIM), 0.5)
    assert [(t.track_id, t.slot) for t in found] == [(1, 2), (2, 1)]


def test_without_prototypes_the_class_tells_objects_apart():
    manager = TrackManager(SETTINGS)
    other = one(cells(4, 13, 8, 8), class_id=1)
    assert states(manager, [SEEN, SEEN, NOTHING, other])[3] == [(1, "LOST"), (2, "TENTATIVE")]
    manager = TrackManager(SETTINGS)
    assert states(manager, [SEEN, SEEN, NOTHING, one(cells(4, 13, 8, 8))])[3] == [(1, "VISIBLE")]


def test_a_hidden_track_is_what_a_slot_draws_that_is_like_it():
    def frame(slots):
        return observe({s: replace(slot, prototype=unit(DIM, n)) for s, (n, slot) in slots.items()}, Q, DIM)

    drawn = Slot(EMPTY, HERE)
    seen = frame({0: (1, Slot(HERE)), 1: (2, Slot(THERE))})
    for slots, expected in (
        ({0: (1, drawn), 1: (2, Slot(THERE))}, "OCCLUDED"),
        ({3: (1, drawn), 1: (2, Slot(THERE))}, "OCCLUDED"),  # also another slot
        ({0: (3, drawn), 1: (2, Slot(THERE))}, "LOST"),  # its own, but with something else in it
        ({0: (1, Slot(EMPTY, cells(15, 28, 8, 8))), 1: (2, Slot(THERE))}, "LOST"),  # far away
    ):
        manager = TrackManager(SETTINGS)
        assert states(manager, [seen, seen, frame(slots)])[2] == [(1, expected), (2, "VISIBLE")]


def test_the_class_is_that_of_the_last_visible_frame():
    manager = TrackManager(SETTINGS)
    manager.update(one(HERE, class_id=2), 0.0)
    manager.update(one(HERE, class_id=3), 0.0)
    (track,) = manager.update(one(EMPTY, HERE, class_id=3), 0.0)
    assert (track.class_id, track.state) == (3, TrackState.OCCLUDED)


def test_a_network_with_visible_masks_alone_loses_hidden_objects():
    frames = [replace(frame, amodal=None, amodal_area=None) for frame in (SEEN, SEEN, NOTHING)]
    assert [r[0][1] for r in states(TrackManager(SETTINGS), frames)] == ["TENTATIVE", "VISIBLE", "LOST"]


def test_a_network_with_amodal_masks_alone_takes_them_for_visible():
    def amodal(slots):
        return replace(observe(slots, Q), visible=None, visible_area=None)

    two = amodal({0: Slot(cells(4, 4, 8, 8)), 1: Slot(cells(4, 20, 8, 8))})
    # Amodal masks of two objects may well be the same, but no track starts where there is one.
    same = amodal({0: Slot(cells(4, 4, 8, 8)), 1: Slot(cells(4, 6, 8, 8)), 2: Slot(cells(4, 5, 8, 8))})
    near = amodal({0: Slot(cells(4, 4, 8, 8)), 1: Slot(cells(4, 13, 8, 8))})
    manager = TrackManager(SETTINGS)
    result = states(manager, [two, two, near, same])
    assert result[1:] == [[(1, "VISIBLE"), (2, "VISIBLE")]] * 3


def test_ids_are_never_reused_over_resets_and_many_lives():
    manager = TrackManager(SETTINGS)
    seen = set()
    for _ in range(50):
        ids = {t.track_id for frame in (SEEN, SEEN) for t in manager.update(frame, 0.0)}
        assert not ids & seen
        seen |= ids
        manager.reset()
        assert not manager.tracks
        assert not manager.take_released()
    for _ in range(50):
        for frame in (SEEN, *[NOTHING] * 2):
            ids = {t.track_id for t in manager.update(frame, 0.0)}
        assert not ids & seen
        seen |= ids


def test_slots_go_back_when_their_track_ends_and_when_nobody_holds_them_for_long():
    manager = TrackManager(SETTINGS)
    for frame in (SEEN, SEEN, *[NOTHING] * 3):
        manager.update(frame, 0.0)
        assert manager.take_released() == [], "the track lives, and its slot may remember it"
    manager.update(NOTHING, 0.0)
    assert manager.take_released() == [0]
    assert manager.take_released() == []
    # A track that has moved on leaves a slot behind, which nobody holds.
    manager = TrackManager(replace(SETTINGS, idle_frames=20))
    released = []
    for t in range(30):
        manager.update(one(HERE, slot=0 if t < 10 else 1), t / 30)
        released.append(manager.take_released())
    assert [(t, slots) for t, slots in enumerate(released) if slots] == [(19, [2, 3]), (29, [0])]


def test_a_slot_that_is_taken_again_at_once_is_not_given_back():
    manager = TrackManager(SETTINGS)
    manager.update(SEEN, 0.0)
    tracks = manager.update(one(THERE), 0.0)
    assert [(t.track_id, t.state.name) for t in tracks] == [(1, "ENDED"), (2, "TENTATIVE")]
    assert manager.take_released() == []


@pytest.mark.parametrize("dim", [0, 16])
@pytest.mark.parametrize("hidden_frames", [10, 30, 90])
def test_true_masks_in_shuffled_slots_keep_their_ids_through_full_occlusions(hidden_frames, dim):
    """Two objects pass behind a wall in opposite directions, another crosses in front; 30 frames are a second."""
    speed = 8 / hidden_frames
    movers = [
        Mover(0, 2, 14, 14, 8 + 4),
        Mover(1, 4, 14 - 4 - 20 * speed, 4, 4, dx=speed),
        Mover(2, 10, 26 + 20 * speed, 4, 4, dx=-speed),
        Mover(3, 18, 0, 4, 4, dx=0.2),
    ]
    rng = np.random.default_rng(hidden_frames)
    # Without prototypes, what a slot draws while nothing is seen of it is all there is.
    manager, book = TrackManager(TrackSettings()), IdentityBook()
    fully = np.zeros(len(movers), int)
    for t in range(int(16 / speed) + 40):
        order = rng.permutation(6)
        found = scene(movers, t)
        slots = {
            int(order[i]): Slot(visible, amodal, prototype=unit(dim, mover.number) if dim else None)
            for i, (mover, visible, amodal) in enumerate(found)
        }
        of_slot = {int(order[i]): mover.number for i, (mover, _, _) in enumerate(found)}
        for _, (mover, visible, _) in enumerate(found):
            fully[mover.number] += not visible.any()
        for track in manager.update(observe(slots, 6, dim), t / 30):
            if track.state in (TrackState.VISIBLE, TrackState.OCCLUDED):
                book.note(of_slot[track.slot], track.track_id)
    assert fully[1] >= hidden_frames - 2
    assert fully[2] >= hidden_frames - 2
    assert sorted(book.ids) == [0, 1, 2, 3]
    assert book.switches == 0
    assert not book.shared


def test_a_stream_without_end_gives_every_object_one_id_and_slots_back():
    """Objects come and go, in few slots: many more than there are slots."""
    rng = np.random.default_rng(0)
    manager, book = TrackManager(replace(SETTINGS, confirm_frames=2)), IdentityBook()
    slots, movers, owners = 6, [], {}
    released, ids, sizes, last_ended = 0, set(), [], 0
    for t in range(1500):
        movers = [mover for mover in movers if mover.at(t).any()]
        if t % 15 == 0 and len(movers) < 4:
            row = [r for r in (0, 6, 12, 18) if all(mover.top != r for mover in movers)]
            movers.append(Mover(t, float(rng.choice(row)), 0, 5, 5, dx=float(rng.uniform(0.3, 0.9)), start=t))
        owners = {number: slot for number, slot in owners.items() if any(m.number == number for m in movers)}
        for mover in movers:
            owners.setdefault(mover.number, min(set(range(slots)) - set(owners.values())))
        seen = {owners[m.number]: Slot(visible, whole) for m, visible, whole in scene(movers, t)}
        by_slot = {slot: number for number, slot in owners.items()}
        for track in manager.update(observe(seen, slots), t / 30):
            ids.add(track.track_id)
            if track.state is TrackState.VISIBLE:
                book.note(by_slot[track.slot], track.track_id)
            last_ended = max(last_ended, track.track_id if track.state is TrackState.ENDED else 0)
        released += len(manager.take_released())
        if t in (500, 1499):
            sizes.append(len(pickle.dumps(manager)) / max(len(manager.tracks), 1))
    assert len(book.ids) > 50
    assert book.switches == 0
    assert not book.shared
    assert ids == set(range(1, len(ids) + 1))
    assert len(ids) <= len(book.ids) + 5
    assert released >= last_ended - slots, "a slot for every track that ended"
    assert len(manager.tracks) <= slots
    assert sizes[1] < 1.5 * sizes[0], "memory grows"


def test_the_same_frames_make_the_same_tracks():
    rng = np.random.default_rng(1)
    movers = [Mover(n, rng.uniform(0, 18), rng.uniform(0, 30), 5, 5, dx=rng.uniform(-0.5, 0.5)) for n in range(5)]
    frames = [
        observe({i: Slot(v, a) for i, (_, v, a) in enumerate(scene(movers, t)) if rng.random() < 0.9}, 6)
        for t in range(60)
    ]
    assert states(TrackManager(SETTINGS), frames) == states(TrackManager(SETTINGS), frames)


@pytest.mark.parametrize(
    "change",
    [
        {"start_score": 1.5},
        {"keep_score": -0.1},
        {"min_area": 0},
        {"confirm_frames": 0},
        {"max_lost_frames": -1},
        {"idle_frames": 0},
        {"match_iou": 2.0},
        {"duplicate_part": -1.0},
        {"reappear_similarity": 1.1},
    ],
)
def test_bad_settings_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        TrackSettings(**change)
