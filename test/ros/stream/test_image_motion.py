"""Velocity in the image and the belief in hidden tracks, by stamps."""

import numpy as np
import pytest

from a2vis_model import FrameResult, RegionMask, TrackedInstance, TrackState
from a2vis_ros.stream.image_motion import AT_REST, ImageMotion, ImageMotionTracker, true_motions


def box(x: int, y: int, width: int = 10, height: int = 20) -> RegionMask:
    counts = np.array([0, width * height], np.uint32)
    return RegionMask(x=x, y=y, width=width, height=height, counts=counts, image_height=240, image_width=320)


def result(seconds: float, state: TrackState, mask: RegionMask | None, *, epoch: int = 0) -> FrameResult:
    empty = RegionMask(x=0, y=0, width=0, height=0, counts=np.zeros(0, np.uint32), image_height=240, image_width=320)
    instance = TrackedInstance(
        track_id=1,
        slot=0,
        state=state,
        class_id=0,
        class_name="person",
        score=0.9,
        existence=0.8,
        age=0,
        frames_since_visible=0,
        visible=mask or empty,
        amodal=mask or empty,
    )
    return FrameResult(0, seconds, epoch, 240, 320, (instance,))


def last(*results: FrameResult) -> ImageMotion:
    tracker = ImageMotionTracker()
    for one in results:
        found = tracker.update(one)
    return found[1]


def test_velocity_is_in_pixels_a_second_whatever_the_rhythm() -> None:
    times = np.cumsum([0.03, 0.3, 0.1, 0.02, 0.2, 0.1, 0.1, 0.3])
    found = last(*(result(t, TrackState.VISIBLE, box(round(100 + 50 * t), round(80 - 20 * t))) for t in times))
    assert found.velocity == pytest.approx((50, -20), abs=10)


def test_a_new_track_and_images_without_stamps_are_at_rest() -> None:
    assert last(result(0.0, TrackState.TENTATIVE, box(5, 5))).velocity == (0, 0)
    assert last(*(result(0.0, TrackState.VISIBLE, box(5 + i, 5)) for i in range(3))).velocity == (0, 0)


def test_belief_halves_with_every_ten_seconds_hidden() -> None:
    seen = result(0.0, TrackState.VISIBLE, box(5, 5))
    for state, mask in ((TrackState.OCCLUDED, box(5, 5)), (TrackState.LOST, None)):
        assert last(seen, result(10.0, state, mask)).existence == pytest.approx(0.4)
        assert last(seen, result(4.0, state, mask), result(20.0, state, mask)).existence == pytest.approx(0.2)
    assert last(seen, result(10.0, TrackState.LOST, None), result(10.1, *_seen())).existence == pytest.approx(0.8)


def _seen() -> tuple[TrackState, RegionMask]:
    return TrackState.VISIBLE, box(5, 5)


@pytest.mark.parametrize("predicted", [None, box(90, 30)])
def test_a_lost_track_keeps_its_velocity(predicted: RegionMask | None) -> None:
    moving = [result(0.1 * i, TrackState.VISIBLE, box(10 * i, 5)) for i in range(5)]
    assert last(*moving, result(0.5, TrackState.LOST, predicted)).velocity == pytest.approx((100, 0))


def test_an_epoch_and_an_end_forget() -> None:
    tracker = ImageMotionTracker()
    tracker.update(result(0.0, TrackState.VISIBLE, box(0, 0)))
    tracker.update(result(0.1, TrackState.ENDED, None))
    assert not tracker._memories
    tracker.update(result(0.2, TrackState.VISIBLE, box(0, 0)))
    assert tracker.update(result(0.0, TrackState.VISIBLE, box(90, 0), epoch=1))[1].velocity == (0, 0)


def test_truth_knows_the_next_frame_too() -> None:
    """From the frame before to the one after, so that what speeds up has the velocity of its own frame."""
    frames = [result(0.1 * i, TrackState.VISIBLE, box(10 + 3 * i * i, 100 - 2 * i)) for i in range(3)]
    before, now, after = frames
    # Positions 10, 13 and 22 are those of 10 + 300 t², whose velocity at 0.1 s is 60.
    assert true_motions(before, now, after)[1].velocity == pytest.approx((60.0, -20.0))
    assert true_motions(None, before, now)[1].velocity == pytest.approx((30.0, -20.0))
    assert true_motions(now, after, None)[1].velocity == pytest.approx((90.0, -20.0))
    assert true_motions(None, now, None)[1] == ImageMotion(AT_REST, 0.8)


def test_truth_of_what_is_lost_or_appears_needs_two_frames_with_a_mask() -> None:
    seen, gone = result(1.0, TrackState.VISIBLE, box(10, 20)), result(1.5, TrackState.LOST, None)
    later = result(2.0, TrackState.VISIBLE, box(30, 20))
    assert true_motions(seen, gone, later)[1].velocity == pytest.approx((20.0, 0.0))
    assert true_motions(seen, gone, None)[1].velocity == AT_REST
    assert true_motions(gone, later, None)[1].velocity == AT_REST
    assert true_motions(seen, result(1.0, TrackState.VISIBLE, box(30, 20)), None)[1].velocity == AT_REST
