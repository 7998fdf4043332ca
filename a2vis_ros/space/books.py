"""What becomes of every message of tracks, and what went wrong with its input: counted, and put into words. No ROS."""

import enum
import math
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..programs.reports import ALARM_S, Level, RateMeter, RecentCount, Report, resident_mib
from .localizer import Localized
from .placement import Source

_AGES_KEPT = 300
"""Age percentiles are of this many results."""


class Drop(str, enum.Enum):
    """Reason why a message of tracks led to no objects."""

    DAMAGED = "damaged tracks"
    UNSTAMPED = "tracks without a stamp"
    NO_CAMERA = "no camera_info"
    CAMERA = "unusable camera_info"
    TRANSFORM = "no transform"
    TRANSFORM_LATE = "transform too old"
    GROUND = "camera not above ground"
    LATE = "late frame"
    FULL = "queue full"
    STOPPED = "stopped"
    FAILED = "processing failed"


class Lack(str, enum.Enum):
    """Reason why a frame was localized without its depth image, or by that alone."""

    NO_DEPTH = "no depth image"
    STAMPS = "depth stamps do not match"
    UNUSABLE = "unusable depth image"
    GROUND = "ground not below camera"

    @property
    def lacking(self) -> str:
        """What the frame was localized without, in a word."""
        return "ground" if self is Lack.GROUND else "depth"


class Books:
    """Counts since the node was configured: received = localized + dropped + waiting, at any moment."""

    def __init__(self) -> None:
        self.received = self.localized = 0
        self.dropped: Counter[Drop] = Counter()
        self.lacks: Counter[Lack] = Counter()
        self.unplaced: Counter[str] = Counter()
        self.sources: Counter[Source] = Counter()
        """Number of objects of the last frame by the way in which they were found."""
        self.outliers = self.forgotten = 0
        self.lost: Counter[str] = Counter()
        """Number of messages that the transport lost, by topic."""
        self.last_problem = ""
        self.last_arrival: float | None = None
        self.results = RateMeter()
        self._losses: dict[str, RecentCount] = {}
        self._problems: dict[Drop | Lack, RecentCount] = {}
        self._last: dict[Drop | Lack, str] = {}
        self._ages: deque[float] = deque(maxlen=_AGES_KEPT)

    def receive(self, now: float) -> None:
        """A message of tracks has come; `now` is of the monotonic clock, in seconds."""
        self.received += 1
        self.last_arrival = now

    def drop(self, cause: Drop, words: str, now: float) -> None:
        """Count a frame that leads to no objects, and keep the reason."""
        self.dropped[cause] += 1
        self._note(cause, words, now)

    def lack(self, cause: Lack, words: str, now: float) -> None:
        """A frame is localized without its depth image or without the ground, for this reason."""
        self.lacks[cause] += 1
        self._note(cause, words, now)

    def lose(self, topic: str, count: int, now: float) -> None:
        """Count messages of a topic that the transport reports as lost."""
        self.lost[topic] += count
        self._losses.setdefault(topic, RecentCount()).add(now, count)

    def losses(self, now: float) -> str:
        """Say what was lost within the last seconds, with the remedy; empty if nothing was."""
        counts = {topic: recent.count(now) for topic, recent in self._losses.items()}
        topic = max(counts, key=lambda one: counts[one], default="")
        if not topic or not counts[topic]:
            return ""
        return (
            f"{counts[topic]} messages on {topic} lost in transport in {ALARM_S:.0f} s; let it be published reliably, "
            f"set the parameter qos_overrides.{topic}.subscription.reliability to reliable, and use "
            "config/fastdds_large_image.xml for both processes"
        )

    def publish(self, result: Localized, age_s: float, now: float) -> None:
        """Count a frame whose objects are published at an age in seconds; NaN where it is not known."""
        self.localized += 1
        self.results.count(now)
        if not math.isnan(age_s):
            self._ages.append(age_s)
        self.unplaced.update({cause.value: count for cause, count in result.unplaced.items()})
        self.sources = Counter(found.source for found in result.objects)
        self.outliers += result.outliers
        self.forgotten += result.forgotten

    def ages(self) -> tuple[float, float, int]:
        """p50 and p95 of the last ages in seconds, and of how many; NaN without any."""
        if not self._ages:
            return math.nan, math.nan, 0
        p50, p95 = np.percentile(np.array(self._ages), (50, 95))
        return float(p50), float(p95), len(self._ages)

    def problem(self, now: float) -> str:
        """Return what has gone wrong most often within the last seconds; empty if nothing has."""
        counts = {cause: recent.count(now) for cause, recent in self._problems.items() if cause is not Drop.STOPPED}
        # Where causes came equally often, the last one is named; they stand in the order in which they last came.
        causes = [cause for cause in reversed(counts) if counts[cause]]
        if not causes:
            return ""
        worst = max(causes, key=lambda cause: (isinstance(cause, Drop), counts[cause]))
        return f"{counts[worst]} frames in {ALARM_S:.0f} s: {worst.value}: {self._last[worst]}"

    def _note(self, cause: Drop | Lack, words: str, now: float) -> None:
        self.last_problem = words
        self._last[cause] = words
        recent = self._problems.pop(cause, None) or RecentCount()
        recent.add(now)
        self._problems[cause] = recent


@dataclass(frozen=True)
class LocalizerStatus:
    """State of the localizer that the report needs beside the books."""

    state: str
    fixed_frame: str
    """Frame in which objects are placed, in words."""
    ground: str
    """Source of the ground plane, in words."""
    depth: str
    waiting: int
    silence: str
    """Explanation why no tracks arrive; empty where some do."""
    age_warn_s: float
    topics: Sequence[tuple[str, str]] = field(default_factory=tuple)
    """Optional topics, each with "published" or what it lacks."""


def report(status: LocalizerStatus, books: Books) -> Report:
    """The status in /diagnostics."""
    now = time.monotonic()
    p50, p95, count = books.ages()
    level, message = _judge(status, books, p95, now)
    values = [
        ("state", status.state),
        ("fixed_frame", status.fixed_frame),
        ("ground", status.ground),
        ("depth", status.depth),
        ("frame_rate_node", f"{books.results.rate(now):.2f}"),
        ("age_p50_ms", f"{p50 * 1e3:.1f}"),
        ("age_p95_ms", f"{p95 * 1e3:.1f}"),
        ("age_count", str(count)),
        ("received", str(books.received)),
        ("localized", str(books.localized)),
        ("waiting", str(status.waiting)),
        ("total_dropped_frames", str(books.dropped.total())),
        *((f"dropped: {cause.value}", str(books.dropped[cause])) for cause in Drop),
        *((f"without {cause.lacking}: {cause.value}", str(books.lacks[cause])) for cause in Lack),
        *((f"unplaced: {cause}", str(number)) for cause, number in sorted(books.unplaced.items())),
        *((f"objects: {source.name.lower()}", str(books.sources[source])) for source in Source),
        ("lost_in_transport", str(books.lost.total())),
        ("outliers", str(books.outliers)),
        ("forgotten", str(books.forgotten)),
        ("memory_mib", f"{resident_mib():.0f}"),
        ("last_problem", books.last_problem),
        *status.topics,
    ]
    return Report(level, message, tuple(values))


def _judge(status: LocalizerStatus, books: Books, p95: float, now: float) -> tuple[int, str]:
    if status.state != "active":
        return Level.OK, f"{status.state}; no tracks are taken"
    if status.silence:
        return Level.WARN, status.silence
    problem = books.problem(now)
    if problem:
        return Level.WARN, problem
    losses = books.losses(now)
    if losses:
        return Level.WARN, losses
    # A comparison with NaN, where there is no age, is false.
    if p95 >= status.age_warn_s:
        return Level.WARN, f"objects are {p95:.2f} s old (p95), age_warn_s is {status.age_warn_s:g}"
    return Level.OK, f"running; {books.localized} of {books.received} frames localized"
