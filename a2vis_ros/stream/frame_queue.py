"""Queue between a camera's subscription and the worker, and the ledger that counts what becomes of every image."""

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal, get_args

from .frames import Frame

Policy = Literal["latest", "every_frame"]
POLICIES: tuple[str, ...] = get_args(Policy)

SUPERSEDED = "superseded"
QUEUE_FULL = "queue full"
STOPPED = "stopped"
RESET = "reset"
FAILED = "processing failed"


@dataclass(frozen=True)
class LedgerEntry:
    """Counts at one moment; received = processed + all dropped + in_flight."""

    received: int
    processed: int
    in_flight: int
    """Images in the queue, in the model, or in a clip that is not full yet."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Dropped images by cause."""

    @property
    def balanced(self) -> bool:
        """Whether the counts add up."""
        return self.received == self.processed + sum(self.dropped.values()) + self.in_flight

    def __str__(self) -> str:
        causes = ", ".join(f"{count} {cause}" for cause, count in sorted(self.dropped.items()))
        dropped = f"{sum(self.dropped.values())} dropped" + (f" ({causes})" if causes else "")
        return f"{self.received} received = {self.processed} processed + {dropped} + {self.in_flight} in flight"


class Ledger:
    """Counts what becomes of every image; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0
        self._processed = 0
        self._in_flight = 0
        self._dropped: Counter[str] = Counter()

    def receive(self) -> int:
        """Count an image that arrived, and return the number of all that did."""
        with self._lock:
            self._received += 1
            self._in_flight += 1
            return self._received

    def process(self) -> None:
        """Count an image whose result is published."""
        with self._lock:
            self._in_flight -= 1
            self._processed += 1

    def drop(self, cause: str, count: int = 1) -> None:
        """Count images that will have no result."""
        if count:
            with self._lock:
                self._in_flight -= count
                self._dropped[cause] += count

    def read(self) -> LedgerEntry:
        """Return the present counts."""
        with self._lock:
            return LedgerEntry(self._received, self._processed, self._in_flight, dict(self._dropped))


class FrameQueue:
    """Frames of one camera on their way from the subscription to the worker, which takes them by `Turns`.

    Args:
        policy: "latest" keeps only the newest frame, for a bounded age; "every_frame" keeps all of them and lets the
            subscription wait where there is no more room, for replay.
        capacity: number of frames that wait under "every_frame".
        patience_s: seconds that the subscription waits for room under "every_frame" before it drops the frame.
        ledger: counts dropped frames.
        changed: condition that is held and notified with every change, shared by the queues of one `Turns`.
    """

    def __init__(
        self, *, policy: Policy, capacity: int, patience_s: float, ledger: Ledger, changed: threading.Condition
    ) -> None:
        self.policy = policy
        self.capacity = 1 if policy == "latest" else capacity
        self._patience_s = patience_s
        self._ledger = ledger
        self._frames: deque[Frame] = deque()
        self.closed = False
        """Whether it accepts no more frames."""
        self.nudged = False
        """Whether the worker is wanted though there is no frame; `Turns.take` resets it."""
        self._changed = changed

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> None:
        """Add a frame, dropping an older one or waiting for room, as the policy says. After `close` it is dropped."""
        with self._changed:
            if self.policy == "latest":
                while self._frames and not self.closed:
                    self._frames.popleft()
                    self._ledger.drop(SUPERSEDED)
            else:
                self._changed.wait_for(lambda: self.closed or len(self._frames) < self.capacity, self._patience_s)
            if self.closed:
                self._ledger.drop(STOPPED)
            elif len(self._frames) >= self.capacity:
                self._ledger.drop(QUEUE_FULL)
            else:
                self._frames.append(frame)
                self._changed.notify_all()

    @property
    def head(self) -> Frame:
        """Oldest frame; call it while `changed` is held, and not on an empty queue."""
        return self._frames[0]

    def pop(self) -> Frame:
        """Take the oldest frame; call it while `changed` is held, and not on an empty queue."""
        frame = self._frames.popleft()
        self._changed.notify_all()
        return frame

    def nudge(self) -> None:
        """Wake the worker without a frame."""
        with self._changed:
            self.nudged = True
            self._changed.notify_all()

    def close(self) -> None:
        """Drop all waiting frames and accept no more."""
        with self._changed:
            self.closed = True
            self._ledger.drop(STOPPED, len(self._frames))
            self._frames.clear()
            self._changed.notify_all()
