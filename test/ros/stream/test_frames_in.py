"""The way in: which frames belong together, who waits, who is dropped, and that the books always add up."""

import threading
import time

import pytest
from frame_keys import IMAGE, at, key

from a2vis_ros.stream.epochs import EpochGuard, FrameKey
from a2vis_ros.stream.frame_queue import QUEUE_FULL, STOPPED, SUPERSEDED, FrameQueue, Ledger
from a2vis_ros.stream.frames import Frame, Stamp
from a2vis_ros.stream.image_decoding import ImageError, RawImage
from a2vis_ros.stream.intake import FrameIntake


def frame(sequence: int) -> Frame:
    return Frame(sequence, at(sequence), "camera", IMAGE, 2, 2, time.monotonic(), 0, "")


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (key(10.03), None),
        (key(10.0), None),
        (key(10.5), None),
        (key(10.501), "no image for 0.501 s"),
        (key(9.999999999), "backwards"),
        (key(0.001), "backwards"),
        (key(10.03, height=4), "size changed from 2x2 to 2x4"),
        (key(10.03, kind="rgb8"), "encoding changed"),
        (key(10.03, frame_id="other"), "frame_id changed"),
        (key(0.0), None),
    ],
)
def test_what_breaks_a_stream(second: FrameKey, words: str | None) -> None:
    guard = EpochGuard(0.5)
    assert guard.check(key(10.0)) is None
    reason = guard.check(second)
    assert reason is None if words is None else reason is not None and words in reason


def test_a_looping_bag_breaks_once_a_loop() -> None:
    guard = EpochGuard(0.5)
    breaks = [guard.check(key(1 + i / 30)) for _ in range(4) for i in range(20)]
    assert sum(reason is not None for reason in breaks) == 3


def test_images_without_stamps_are_one_stream_and_counted() -> None:
    ledger = Ledger()
    intake = FrameIntake(ledger, max_gap_s=0.5, max_image_side=100)
    frames = [intake.accept(at(0), "camera", IMAGE) for _ in range(3)]
    assert {f.segment for f in frames} == {0}
    assert intake.unstamped == 3


def test_images_without_stamps_hide_no_jump_in_time() -> None:
    guard = EpochGuard(0.5)
    reasons = [guard.check(key(t)) for t in (10.0, 0.0, 5.0, 0.0, 300.0, 0.0, 300.1)]
    assert [bool(reason) for reason in reasons] == [False, False, True, False, True, False, False]
    assert reasons[2] == "time ran backwards by 5.000 s"
    assert reasons[4] == "no image with a stamp for 295.000 s, more than max_gap_s=0.5"


def test_stamps_that_do_not_increase_are_counted() -> None:
    guard = EpochGuard(0.5)
    for t in (10.0, 9.0, 8.0, 8.0, 0.0, 8.1):
        guard.check(key(t))
    assert guard.non_increasing_stamps == 3
    guard.check(key(8.1, frame_id="other"))
    assert guard.non_increasing_stamps == 4


@pytest.mark.parametrize("stamp", [Stamp(1, 10**9), Stamp(1, 2**32 - 1), Stamp(-1, 0)])
def test_impossible_stamps_are_dropped_and_counted(stamp: Stamp) -> None:
    ledger = Ledger()
    intake = FrameIntake(ledger, max_gap_s=0.5, max_image_side=100)
    with pytest.raises(ImageError, match=r"header\.stamp"):
        intake.accept(stamp, "camera", IMAGE)
    entry = ledger.read()
    assert (entry.received, entry.in_flight, entry.dropped) == (1, 0, {"impossible stamp": 1})


def test_a_bad_image_does_not_change_the_stream() -> None:
    intake = FrameIntake(Ledger(), max_gap_s=0.5, max_image_side=100)
    first = intake.accept(at(1), "camera", IMAGE)
    with pytest.raises(ImageError):
        intake.accept(at(500), "elsewhere", RawImage(9, 9, "mono8", False, 9, memoryview(b"")))
    second = intake.accept(at(1.1), "camera", IMAGE)
    assert first.segment == second.segment
    assert (first.sequence, second.sequence) == (1, 3)


def test_latest_keeps_the_newest_and_counts_the_others() -> None:
    ledger = Ledger()
    queue = FrameQueue(policy="latest", capacity=50, patience_s=0, ledger=ledger)
    for _ in range(5):
        queue.put(frame(ledger.receive()))
    taken = queue.take(0)
    assert taken is not None
    assert taken.sequence == 5
    assert queue.take(0.01) is None
    assert ledger.read().dropped == {SUPERSEDED: 4}


def test_every_frame_keeps_the_order_and_loses_none() -> None:
    ledger = Ledger()
    queue = FrameQueue(policy="every_frame", capacity=3, patience_s=10, ledger=ledger)
    taken: list[int] = []

    def work() -> None:
        while (got := queue.take(0.5)) is not None:
            time.sleep(0.001)
            taken.append(got.sequence)

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(60):
        queue.put(frame(ledger.receive()))
        assert len(queue) <= 3
    worker.join()
    assert taken == list(range(1, 61))
    assert ledger.read().dropped == {}


def test_every_frame_gives_up_waiting_and_counts_it() -> None:
    ledger = Ledger()
    queue = FrameQueue(policy="every_frame", capacity=2, patience_s=0.05, ledger=ledger)
    start = time.monotonic()
    for _ in range(3):
        queue.put(frame(ledger.receive()))
    assert 0.04 < time.monotonic() - start < 1
    assert ledger.read().dropped == {QUEUE_FULL: 1}
    assert len(queue) == 2


def test_closing_drops_what_waits_and_lets_nobody_wait() -> None:
    ledger = Ledger()
    queue = FrameQueue(policy="every_frame", capacity=1, patience_s=60, ledger=ledger)
    queue.put(frame(ledger.receive()))
    waiting = threading.Thread(target=lambda: queue.put(frame(ledger.receive())))
    waiting.start()
    time.sleep(0.05)
    queue.close()
    waiting.join(5)
    assert not waiting.is_alive()
    assert queue.take(10) is None
    entry = ledger.read()
    assert entry.dropped == {STOPPED: 2}
    assert entry.in_flight == 0


def test_the_books_add_up_at_every_moment() -> None:
    ledger = Ledger()
    queue = FrameQueue(policy="latest", capacity=1, patience_s=0, ledger=ledger)
    stop = threading.Event()
    unbalanced = []

    def audit() -> None:
        while not stop.is_set():
            entry = ledger.read()
            if not entry.balanced or entry.in_flight < 0:
                unbalanced.append(entry)

    def work() -> None:
        while not stop.is_set():
            if queue.take(0.01) is not None:
                ledger.process()

    threads = [threading.Thread(target=target) for target in (audit, work)]
    for thread in threads:
        thread.start()
    for _ in range(3000):
        queue.put(frame(ledger.receive()))
    time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    entry = ledger.read()
    assert not unbalanced
    assert entry.in_flight == 0
    assert entry.received == 3000 == entry.processed + entry.dropped.get(SUPERSEDED, 0)
    assert "3000 received" in str(entry)
