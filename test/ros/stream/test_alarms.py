"""What diagnostics warn of, and for how long: late images, losses, epochs that follow each other, errors."""

from contextlib import suppress

import pytest
from frame_keys import IMAGE, at, key, status

from a2vis_ros.programs.reports import ALARM_S, Level, RecentCount
from a2vis_ros.stream.diagnostics import MANY_EPOCHS, StreamStatistics, report
from a2vis_ros.stream.epochs import EpochGuard
from a2vis_ros.stream.frame_queue import Ledger
from a2vis_ros.stream.image_decoding import ImageError
from a2vis_ros.stream.intake import FrameIntake


def intake() -> tuple[FrameIntake, Ledger]:
    ledger = Ledger()
    return FrameIntake(ledger, max_gap_s=0.5, max_image_side=100), ledger


def test_a_late_image_is_dropped_and_no_id_ends() -> None:
    found, ledger = intake()
    segments = [found.accept(at(10 + i / 30), "camera", IMAGE).segment for i in (0, 1, 2, 4)]
    with pytest.raises(ImageError, match=r"its stamp is 0\.033 s before") as late:
        found.accept(at(10 + 3 / 30), "camera", IMAGE)
    assert late.value.cause == "late image"
    segments.append(found.accept(at(10 + 5 / 30), "camera", IMAGE).segment)
    assert set(segments) == {0}
    assert found.breaks == 0
    assert found.guard.non_increasing_stamps == 1
    assert ledger.read().dropped == {"late image": 1}
    assert ledger.read().balanced


def test_a_clock_that_is_set_back_a_little_costs_images_but_no_ids() -> None:
    """Until it has caught up, within max_gap_s."""
    found, ledger = intake()
    for i in range(30):
        found.accept(at(10 + i / 30), "camera", IMAGE)
    for i in range(30):
        with suppress(ImageError):
            found.accept(at(10 + 29 / 30 - 0.29 + i / 30), "camera", IMAGE)
    assert found.breaks == 0
    assert ledger.read().dropped == {"late image": 9}


@pytest.mark.parametrize("frames", [5, 20])
def test_a_loop_is_no_lateness_however_short(frames: int) -> None:
    found, ledger = intake()
    for _ in range(4):
        for i in range(frames):
            found.accept(at(1 + i / 30), "camera", IMAGE)
    assert found.breaks == 3
    assert ledger.read().dropped == {}


def test_what_is_not_late() -> None:
    guard = EpochGuard(0.5)
    guard.check(key(10.0))
    for other in (key(10.0), key(10.1), key(9.4), key(0.0), key(9.9, frame_id="other"), key(9.9, height=4)):
        assert guard.late_by(other) == 0
    assert guard.late_by(key(9.9)) == pytest.approx(0.1)
    guard.forget()
    assert guard.late_by(key(9.9)) == 0


def test_sources_that_take_turns_are_known_by_their_frame_ids() -> None:
    guard = EpochGuard(0.5)
    guard.check(key(1.0, frame_id="left"))
    guard.check(key(1.0, frame_id="right"))
    # One camera in place of another is no such thing.
    assert guard.frame_ids_in_turn == ()
    guard.check(key(1.1, frame_id="left"))
    assert guard.frame_ids_in_turn == ("left", "right")
    guard.check(key(1.2, frame_id="third"))
    assert guard.frame_ids_in_turn == ()


def test_a_count_forgets_what_is_long_ago() -> None:
    count = RecentCount()
    count.add(10.0, 3)
    count.add(20.0)
    assert [count.count(now) for now in (20.0, 10.0 + ALARM_S, 10.1 + ALARM_S, 20.1 + ALARM_S)] == [4, 4, 1, 0]


def broken(statistics: StreamStatistics) -> None:
    for _ in range(MANY_EPOCHS):
        statistics.breaks.add(100.0)
    statistics.epoch_reason = "no image for 0.6 s"


ALARMS = {
    "568 images lost in transport in 30 s (reliable, keep last 3)": lambda statistics: statistics.lose(100.0, 568),
    "3 new epochs in 30 s": broken,
    "image dropped: x": lambda statistics: statistics.errors.add(100.0),
    "1 images without a stamp": lambda statistics: statistics.arrive(100.0, 0.0),
}


@pytest.mark.parametrize("words", ALARMS)
def test_an_alarm_lasts_for_a_while_and_no_longer(words: str) -> None:
    """One bad image does not colour the rest of the day."""
    statistics = StreamStatistics()
    ALARMS[words](statistics)
    found = status(last_error="image dropped: x")
    first = report(found, statistics, 101.0)
    assert (first.level, words in first.message) == (Level.WARN, True), first.message
    later = report(found, statistics, 101.0 + ALARM_S)
    assert (later.level, later.message.startswith("running")) == (Level.OK, True)
    # What has happened stays said.
    values = dict(later.values)
    assert values["last_error"] == "image dropped: x"
    assert values["lost_in_transport"] == ("568" if "568" in words else "0")


def test_mixed_sources_are_named_before_their_epochs() -> None:
    statistics = StreamStatistics()
    found = status(mixed_sources="2 publishers on /image send images with different frame_ids")
    assert report(found, statistics, 101.0).level == Level.OK
    broken(statistics)
    assert report(found, statistics, 101.0).message.startswith("2 publishers on /image")


def test_a_few_epochs_are_no_alarm() -> None:
    statistics = StreamStatistics()
    for _ in range(MANY_EPOCHS - 1):
        statistics.breaks.add(100.0)
    assert report(status(), statistics, 101.0).level == Level.OK
