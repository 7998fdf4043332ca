"""Content of /diagnostics, computed from statistics of the stream.

Keys shared with greenwave_monitor keep its names and units.
"""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..programs.reports import ALARM_S, Level, RateMeter, RecentCount, Report, resident_mib
from .frame_queue import LedgerEntry
from .models import GpuMemory, LoadedModel

AGES_KEPT = 300
"""Number of results from which percentiles of ages are computed."""
MANY_EPOCHS = 3
"""Number of new epochs within `ALARM_S` at which IDs live too briefly to be useful."""


class StreamStatistics:
    """Statistics of the stream: the subscription and the worker write them, the diagnostics read them."""

    def __init__(self) -> None:
        self.arrivals = RateMeter()
        self.results = RateMeter()
        self.stamps = RateMeter()
        self.last_arrival: float | None = None
        self.epoch = 0
        self.epoch_reason = ""
        self.transport_lost = 0
        """Number of images that the transport lost since the node was configured."""
        self.damaged = 0
        """Images that were used though some of their pixels are wrong, since the node was configured."""
        self.errors = RecentCount()
        self.losses = RecentCount()
        """Recent losses of images in the transport."""
        self.breaks = RecentCount()
        """Recent new epochs that were caused by the images themselves."""
        self.unstamped = RecentCount()
        self._ages: deque[float] = deque(maxlen=AGES_KEPT)
        self._tracks: Counter[str] = Counter()
        self._lock = threading.Lock()

    def arrive(self, now: float, stamp_s: float | None) -> None:
        """Count an image that arrived at `now`, by the monotonic clock.

        `stamp_s` is from its header, 0 where it has none, and None where the message is too damaged to have one.
        """
        self.last_arrival = now
        self.arrivals.count(now)
        if stamp_s:
            self.stamps.count(stamp_s)
        elif stamp_s is not None:
            self.unstamped.add(now)

    def lose(self, now: float, count: int) -> None:
        """Count images that the transport reports as lost."""
        self.transport_lost += count
        self.losses.add(now, count)

    def publish(self, age_s: float, states: Sequence[str]) -> None:
        """Count a published result, with its age (NaN where it has none) and the states of its tracks."""
        self.results.count(time.monotonic())
        with self._lock:
            if not math.isnan(age_s):
                self._ages.append(age_s)
            self._tracks = Counter(states)

    def ages(self) -> tuple[float, float, float, int]:
        """Return p50, p95 and p99 of the ages in seconds, and their number; NaN without any."""
        with self._lock:
            ages = np.array(self._ages)
        if not len(ages):
            return math.nan, math.nan, math.nan, 0
        p50, p95, p99 = np.percentile(ages, (50, 95, 99))
        return float(p50), float(p95), float(p99), len(ages)

    def tracks(self) -> dict[str, int]:
        """Return the number of tracks by state in the last result."""
        with self._lock:
            return dict(self._tracks)


@dataclass(frozen=True)
class NodeStatus:
    """State of the node apart from the statistics."""

    state: str
    """Lifecycle state."""
    model: LoadedModel
    gpu_memory: GpuMemory | None
    policy: str
    ledger: LedgerEntry
    waiting: int
    """Number of frames in the queue."""
    unstamped: int
    non_increasing_stamps: int
    silence: str
    """Explanation why no images arrive; empty where some do."""
    input_qos: str
    """QoS of the subscription in words; empty while there is none."""
    mixed_sources: str
    """Text that says that several cameras publish on the topic; empty where there is no sign of it."""
    clock: str
    """Explanation why ages are unknown; empty where they are known."""
    age_warn_s: float
    age_error_s: float
    last_error: str
    """Last error since the node was configured, however long ago."""
    degraded: bool
    degradation: str
    """Text that says what is given up because results are too old."""
    subscribers: int
    """Number of subscriptions to the results that the node has found."""


def report(status: NodeStatus, statistics: StreamStatistics, now: float) -> Report:
    """Report the node's status at the monotonic time `now`, in seconds."""
    p50, p95, p99, count = statistics.ages()
    tracks, ledger, model = statistics.tracks(), status.ledger, status.model
    level, message = _judge(status, statistics, p95, now)
    values: list[tuple[str, str]] = [
        ("state", status.state),
        ("model", model.name),
        ("backend", model.backend),
        ("backend_reason", model.reason),
        ("engine", model.engine or "none"),
        ("parity_gate", model.parity or "nothing to compare: no engine"),
        ("policy", status.policy),
        ("input_qos", status.input_qos),
        ("frame_rate_node", f"{statistics.results.rate(now):.3f}"),
        ("frame_rate_input", f"{statistics.arrivals.rate(now):.3f}"),
        ("frame_rate_msg", f"{statistics.stamps.rate():.3f}"),
        ("current_delay_from_realtime_ms", f"{p50 * 1e3:.3f}"),
        ("age_p50_ms", f"{p50 * 1e3:.3f}"),
        ("age_p95_ms", f"{p95 * 1e3:.3f}"),
        ("age_p99_ms", f"{p99 * 1e3:.3f}"),
        ("age_count", str(count)),
        ("received", str(ledger.received)),
        ("processed", str(ledger.processed)),
        ("in_flight", str(ledger.in_flight)),
        ("waiting", str(status.waiting)),
        ("total_dropped_frames", str(sum(ledger.dropped.values()))),
        *((f"dropped: {cause}", str(number)) for cause, number in sorted(ledger.dropped.items())),
        ("lost_in_transport", str(statistics.transport_lost)),
        ("damaged_images", str(statistics.damaged)),
        ("num_non_increasing_msg", str(status.non_increasing_stamps)),
        ("num_unstamped_msg", str(status.unstamped)),
        ("epoch", str(statistics.epoch)),
        ("epoch_reason", statistics.epoch_reason),
        *((f"tracks: {state}", str(tracks.get(state, 0))) for state in ("tentative", "visible", "occluded", "lost")),
        ("subscribers", str(status.subscribers)),
        ("memory_mib", f"{resident_mib():.0f}"),
        *_gpu_values(status.gpu_memory),
        ("degradation", status.degradation),
        ("last_error", status.last_error),
    ]
    return Report(level, message, tuple(values))


def _judge(status: NodeStatus, statistics: StreamStatistics, p95: float, now: float) -> tuple[int, str]:
    if status.state != "active":
        return Level.OK, f"{status.state}; no images are processed"
    if status.silence:
        return Level.WARN, status.silence
    # Comparisons with NaN, where there is no age, are false.
    if p95 >= status.age_error_s:
        return Level.ERROR, f"results are {p95:.2f} s old (p95), age_error_s is {status.age_error_s:g}"
    if status.degraded:
        return Level.WARN, f"degraded: {status.degradation}"
    if p95 >= status.age_warn_s:
        return Level.WARN, f"results are {p95:.2f} s old (p95), age_warn_s is {status.age_warn_s:g}"
    breaks = statistics.breaks.count(now)
    if breaks and status.mixed_sources:
        return Level.WARN, status.mixed_sources
    lost = statistics.losses.count(now)
    if lost:
        return Level.WARN, f"{lost} images lost in transport in {ALARM_S:.0f} s ({status.input_qos}); {_LOSS_REMEDY}"
    if breaks >= MANY_EPOCHS:
        reason = statistics.epoch_reason
        return Level.WARN, f"{breaks} new epochs in {ALARM_S:.0f} s, so that IDs are soon invalid; last: {reason}"
    if status.last_error and statistics.errors.count(now):
        return Level.WARN, status.last_error
    if status.clock:
        return Level.WARN, status.clock
    unstamped = statistics.unstamped.count(now)
    if unstamped:
        return Level.WARN, f"{unstamped} images without a stamp in {ALARM_S:.0f} s: gaps and loops cannot be found"
    return Level.OK, f"running; {status.ledger}"


_LOSS_REMEDY = "use config/fastdds_large_image.xml for the camera's process too, and let the camera publish reliably"


def _gpu_values(memory: GpuMemory | None) -> list[tuple[str, str]]:
    if memory is None:
        return []
    return [
        ("gpu_memory_mib", f"{memory.process:.0f}"),
        ("gpu_memory_all_processes_mib", f"{memory.used:.0f} of {memory.total:.0f}"),
    ]
