"""The way in: which frames belong together, who waits, who is dropped, and that the books always add up."""

import threading
import time
from collections import Counter
from typing import Any

import pytest
from frame_keys import IMAGE, at, key

from a2vis_ros.stream.epochs import EpochGuard, FrameKey
from a2vis_ros.stream.frame_queue import QUEUE_FULL, STOPPED, SUPERSEDED, FrameQueue, Ledger, Policy
from a2vis_ros.stream.frames import Frame, Stamp
from a2vis_ros.stream.image_decoding import ImageError, RawImage
from a2vis_ros.stream.intake import FrameIntake
from a2vis_ros.stream.turns import Turns


def frame(sequence: int, arrived: float | None = None) -> Frame:
    return Frame(sequence, at(sequence), "camera", IMAGE, 2, 2, time.monotonic() if arrived is None else arrived, 0, "")


def queued(ledger: Ledger, turns: Turns, policy: Policy = "every_frame", **values: Any) -> FrameQueue:
    """A queue that takes part in the turns."""
    given = {"capacity": 50, "patience_s": 0.0, **values}
    queue = FrameQueue(policy=policy, ledger=ledger, changed=turns.changed, **given)
    turns.add(queue)
    return queue


def take(turns: Turns, timeout_s: float = 0.0) -> Frame | None:
    taken = turns.take(timeout_s)
    return None if taken is None else taken[1]


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
    turns = Turns()
    queue = queued(ledger, turns, "latest", capacity=50, patience_s=0)
    for _ in range(5):
        queue.put(frame(ledger.receive()))
    taken = take(turns)
    assert taken is not None
    assert taken.sequence == 5
    assert take(turns, 0.01) is None
    assert ledger.read().dropped == {SUPERSEDED: 4}


def test_every_frame_keeps_the_order_and_loses_none() -> None:
    ledger = Ledger()
    turns = Turns()
    queue = queued(ledger, turns, "every_frame", capacity=3, patience_s=10)
    taken: list[int] = []

    def work() -> None:
        while (got := take(turns, 0.5)) is not None:
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
    turns = Turns()
    queue = queued(ledger, turns, "every_frame", capacity=2, patience_s=0.05)
    start = time.monotonic()
    for _ in range(3):
        queue.put(frame(ledger.receive()))
    assert 0.04 < time.monotonic() - start < 1
    assert ledger.read().dropped == {QUEUE_FULL: 1}
    assert len(queue) == 2


def test_closing_drops_what_waits_and_lets_nobody_wait() -> None:
    ledger = Ledger()
    turns = Turns()
    queue = queued(ledger, turns, "every_frame", capacity=1, patience_s=60)
    queue.put(frame(ledger.receive()))
    waiting = threading.Thread(target=lambda: queue.put(frame(ledger.receive())))
    waiting.start()
    time.sleep(0.05)
    queue.close()
    waiting.join(5)
    assert not waiting.is_alive()
    assert take(turns, 10) is None
    entry = ledger.read()
    assert entry.dropped == {STOPPED: 2}
    assert entry.in_flight == 0


def test_the_books_add_up_at_every_moment() -> None:
    ledger = Ledger()
    turns = Turns()
    queue = queued(ledger, turns, "latest", capacity=1, patience_s=0)
    stop = threading.Event()
    unbalanced = []

    def audit() -> None:
        while not stop.is_set():
            entry = ledger.read()
            if not entry.balanced or entry.in_flight < 0:
                unbalanced.append(entry)

    def work() -> None:
        while not stop.is_set():
            if take(turns, 0.01) is not None:
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


def share(rates: dict[str, float], model_s: float, seconds: float) -> tuple[Counter[str], float]:
    """Cameras of these rates before a model of this cost, by a clock of the test's own.

    Returns:
        the frames that each camera had answered, and the longest time that one with a frame waiting was not looked at.
    """
    turns = Turns()
    queues = {name: queued(Ledger(), turns, "latest") for name in rates}
    names = {queue: name for name, queue in queues.items()}
    arrivals = sorted((i / rate, name) for name, rate in rates.items() for i in range(int(seconds * rate)))
    answered: Counter[str] = Counter()
    now, longest, since = 0.0, 0.0, dict.fromkeys(rates, 0.0)
    while arrivals:
        now += model_s
        while arrivals and arrivals[0][0] <= now:
            arrived, name = arrivals.pop(0)
            if not len(queues[name]):
                since[name] = max(arrived, since[name])
            queues[name].put(frame(1, arrived))
        taken = turns.take(0.0)
        if taken is not None:
            name = names[taken[0]]
            answered[name] += 1
            longest, since[name] = max(longest, now - since[name]), now
    return answered, longest


@pytest.mark.parametrize("count", [2, 3, 4])
def test_cameras_of_one_rate_have_equal_shares_of_a_slow_model(count: int) -> None:
    answered, longest = share({f"camera{i}": 30.0 for i in range(count)}, 0.1, 20.0)
    assert max(answered.values()) - min(answered.values()) <= 1
    assert longest <= (count + 1) * 0.1


def test_a_fast_camera_is_not_kept_waiting_by_slower_ones_nor_they_by_it() -> None:
    """The images of the fast one are always the youngest."""
    answered, longest = share({"fast": 100.0, "slow": 7.0, "slower": 5.0}, 0.1, 20.0)
    assert answered["slower"] >= 0.6 * answered["slow"] >= 0.5 * answered["fast"] > 0
    assert min(answered.values()) >= 50
    assert longest <= 0.4 + 1e-9


def test_a_model_that_is_fast_enough_answers_every_camera_at_its_rate() -> None:
    answered, _ = share({"left": 20.0, "right": 5.0}, 0.01, 10.0)
    assert answered == {"left": 200, "right": 50}


def test_a_camera_that_stalls_holds_nobody_up_and_is_next_when_it_comes_back() -> None:
    turns, ledger = Turns(), Ledger()
    left, right = queued(ledger, turns), queued(ledger, turns)
    left.put(frame(1, 1.0))
    right.put(frame(2, 1.01))
    assert [take(turns).sequence for _ in range(2)] == [1, 2]  # type: ignore[union-attr]
    for i in range(3, 6):
        right.put(frame(i, float(i)))
    assert take(turns).sequence == 3  # type: ignore[union-attr]
    left.put(frame(9, 9.0))
    assert [take(turns).sequence for _ in range(3)] == [9, 4, 5]  # type: ignore[union-attr]
    assert take(turns) is None


def test_a_camera_that_is_new_goes_first_and_one_that_leaves_is_forgotten() -> None:
    turns, ledger = Turns(), Ledger()
    left = queued(ledger, turns)
    left.put(frame(1, 1.0))
    left.put(frame(2, 2.0))
    assert take(turns).sequence == 1  # type: ignore[union-attr]
    right = queued(ledger, turns)
    right.put(frame(3, 3.0))
    assert take(turns).sequence == 3  # type: ignore[union-attr]
    right.close()
    assert take(turns, 60) is None, "the worker is to know at once that a queue was closed"
    turns.remove(right)
    assert take(turns).sequence == 2  # type: ignore[union-attr]
