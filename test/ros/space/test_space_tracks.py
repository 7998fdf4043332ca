"""Which track is of which true object, and how an object is seen, by masks alone."""

import math

import numpy as np
import pytest

from a2vis_ros.planner.mask_codec import RunLengthMask, encode_image
from a2vis_ros.space.evaluation import View, view_of
from a2vis_ros.space.localizer import ImageTrack, LocatedObject, State
from a2vis_ros.space.placement import Source
from a2vis_ros.space.truth import TrackAssignment, TrueThing, evaluated_frame

SIZE = {"height": 40, "width": 60}


def block(x: int, y: int, width: int = 10, height: int = 20) -> RunLengthMask:
    mask = np.zeros((40, 60), np.bool_)
    mask[y : y + height, x : x + width] = True
    return encode_image(mask)


NOTHING = RunLengthMask.empty()


def thing(thing_id: int, visible: RunLengthMask, amodal: RunLengthMask | None = None) -> TrueThing:
    where = np.array([thing_id, 0.0, 0.0])
    return TrueThing(thing_id, "person", where, np.zeros(3), np.array([0.5, 0.5, 1.7]), 0.5, visible, amodal or visible)


def track(track_id: int, visible: RunLengthMask) -> ImageTrack:
    state = State.VISIBLE if visible.area else State.OCCLUDED
    return ImageTrack(track_id, state, 0, "person", 1.0, 1.0, visible, visible)


def assigned(*frames: tuple[list[TrueThing], list[ImageTrack]]) -> list[dict[int, int]]:
    assignment = TrackAssignment()
    return [assignment.update(things, tracks) for things, tracks in frames]


def test_tracks_are_of_what_their_visible_masks_overlap_most():
    things = [thing(1, block(5, 5)), thing(2, block(12, 5))]
    (found,) = assigned((things, [track(7, block(13, 5)), track(8, block(4, 5)), track(9, block(40, 5))]))
    assert found == {7: 2, 8: 1}


def test_a_track_that_sees_nothing_is_of_what_it_was_and_one_that_never_saw_is_of_nothing():
    before = ([thing(1, block(5, 5))], [track(7, block(5, 5))])
    hidden = ([thing(1, NOTHING, block(6, 5))], [track(7, NOTHING), track(8, NOTHING)])
    assert assigned(before, hidden, hidden) == [{7: 1}] * 3


def test_a_track_that_sees_a_part_stays_and_one_that_sees_another_changes():
    before = ([thing(1, block(5, 5)), thing(2, block(30, 5))], [track(7, block(5, 5))])
    part = ([thing(1, block(5, 5)), thing(2, block(30, 5))], [track(7, block(5, 5, height=6))])
    other = ([thing(1, block(5, 5)), thing(2, block(30, 5))], [track(7, block(31, 5))])
    beside = ([thing(1, block(5, 5)), thing(2, block(30, 5))], [track(7, block(17, 5))])
    assert assigned(before, part, other, beside, part) == [{7: 1}, {7: 1}, {7: 2}, {}, {}]


def test_no_tracks_or_things_are_no_fault():
    assert assigned(([], []), ([thing(1, block(5, 5))], []), ([], [track(7, block(5, 5))])) == [{}] * 3


@pytest.mark.parametrize(
    ("visible", "amodal", "view"),
    [
        (block(5, 5), block(5, 5), View.FULL),
        (block(5, 5, height=12), block(5, 5), View.FOOT_COVERED),
        (block(5, 5, width=5), block(5, 5), View.FOOT_SEEN),
        (NOTHING, block(5, 5), View.HIDDEN_1),
        (block(0, 5), block(0, 5), View.CUT_OFF),
        (block(5, 20), block(5, 20), View.CUT_OFF),
        (block(50, 5), block(50, 5), View.CUT_OFF),
        (block(5, 0), block(5, 0), View.CUT_OFF),
    ],
)
def test_masks_tell_how_an_object_is_seen(visible, amodal, view):
    assert view_of(thing(1, visible, amodal).as_seen(**SIZE), 0.0) is view


def test_shares_are_counted_in_pixels_and_rows():
    seen = thing(1, block(5, 5, height=15), block(5, 5)).as_seen(**SIZE)
    assert (seen.visible_fraction, seen.foot_covered, seen.height) == (0.75, 0.25, 1.7)
    assert math.isnan(thing(1, NOTHING, NOTHING).as_seen(**SIZE).visible_fraction)


def test_a_frame_holds_truth_and_what_is_said_of_it():
    located = [
        LocatedObject(
            track_id=track_id,
            state=State.VISIBLE,
            class_id=0,
            class_name="person",
            score=1.0,
            existence=1.0,
            hidden_s=0.0,
            measured_s=0.0,
            source=Source.GROUND,
            position=np.array([track_id, 2.0, 3.0]),
            velocity=np.array([1.0, 0, 0]),
            covariance=np.eye(6),
            orientation=np.array([0, 0, 0, 1.0]),
            size=np.array([0.4, 0.5, 1.6]),
            size_std=np.zeros(3),
            cut_off=False,
            emergences=(),
        )
        for track_id in (7, 8)
    ]
    tracks = [track(7, block(5, 5)), track(8, NOTHING)]
    frame = evaluated_frame(2.5, [thing(1, block(5, 5))], tracks, located, {7: 1}, **SIZE)
    assert frame.seconds == 2.5
    assert [true.thing_id for true in frame.truth] == [1]
    assert [true.width for true in frame.truth] == [0.5]
    assert [(said.thing_id, said.seen, said.height) for said in frame.estimates] == [(1, True, 1.6), (None, False, 1.6)]
    assert [said.width for said in frame.estimates] == [0.5, 0.5]
    assert frame.estimates[0].position.tolist() == [7, 2, 3]
