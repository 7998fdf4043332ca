"""How good objects in space are, against what is known to be true. NumPy alone; no ROS, and nothing of the localizer.

Errors are horizontal, for a planner moves on the ground. Objects are told apart by how they are seen (`View`), because
what matters here is what becomes of those that are not.
"""

import enum
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LEAST_VISIBLE = 0.05
"""Seen share of the silhouette below which an object counts as hidden."""
FULLY_VISIBLE = 0.9
"""Seen share of the silhouette from which an object counts as in full view."""
FOOT_COVERED = 0.05
"""Share of the amodal height by which the visible mask may end above the foot before that counts as covered."""
WITHIN = 1.0
"""Metres within which an object counts as found."""
HIDDEN_SECONDS = (0.5, 1.0, 2.0)
"""Limits between the lengths of occlusion that are told apart."""
GATE_95 = 5.991
"""95 % of the squared normalised errors of an honest covariance are below it: the quantile of chi² with 2 degrees."""


class View(str, enum.Enum):
    """How an object is seen in a frame.

    Those that the border of the picture cuts off are `CUT_OFF`, however they are seen. Those that are `HIDDEN` have not
    been seen for a time within the limits that the name says, in seconds.
    """

    FULL = "in full view"
    FOOT_SEEN = "partly hidden, foot seen"
    FOOT_COVERED = "partly hidden, foot covered"
    HIDDEN_1 = f"hidden up to {HIDDEN_SECONDS[0]:g} s"
    HIDDEN_2 = f"hidden {HIDDEN_SECONDS[0]:g} to {HIDDEN_SECONDS[1]:g} s"
    HIDDEN_3 = f"hidden {HIDDEN_SECONDS[1]:g} to {HIDDEN_SECONDS[2]:g} s"
    HIDDEN_4 = f"hidden over {HIDDEN_SECONDS[2]:g} s"
    CUT_OFF = "cut off by the border"


_HIDDEN = (View.HIDDEN_1, View.HIDDEN_2, View.HIDDEN_3, View.HIDDEN_4)


@dataclass(frozen=True)
class TrueObject:
    """An object in one frame as it is. Lengths are metres, vectors are in the fixed frame with z upwards."""

    thing_id: int
    position: Numbers
    """The middle of the box that holds it, `[3]`."""
    velocity: Numbers
    """`[3]` in m/s."""
    height: float
    width: float
    """Extent across the line of sight; NaN where it is not known."""
    visible_fraction: float
    """Seen share of its silhouette; NaN where none of that is in the picture."""
    foot_covered: float
    """Share of the amodal mask's height by which the visible mask ends above it; 0 where none is visible."""
    cut_off: bool
    """The picture ends within it."""


@dataclass(frozen=True)
class EstimatedObject:
    """An object in one frame as a localizer reports it."""

    thing_id: int | None
    """The true object that it is of; None if it is of none."""
    position: Numbers
    """`[3]`"""
    velocity: Numbers
    """`[3]`"""
    covariance: Numbers
    """Covariance of position and velocity, `[6, 6]`, in SI units."""
    height: float
    width: float
    """Extent across the line of sight; of one that was not measured in this frame, across the line at which it was."""
    seen: bool
    """Some of the object was seen in this frame."""


@dataclass(frozen=True)
class EvaluatedFrame:
    """One moment: the true objects and those that a localizer reports."""

    seconds: float
    truth: tuple[TrueObject, ...]
    estimates: tuple[EstimatedObject, ...]


class Sample(NamedTuple):
    """One true object in one frame; NaN where nothing was said of it."""

    clip: int
    view: View
    position_error: float
    velocity_error: float
    height_error: float
    """Error of the height as a share of the true height."""
    width_error: float
    """Error of the extent across the line of sight as a share of the true one; NaN also where that is not known."""
    position_std: float
    """Standard deviation that is said of the horizontal position: the root of the covariance's trace, in metres."""
    position_nees: float
    """Squared error, normalised by its covariance; 2 on average if that is honest."""
    velocity_nees: float


@dataclass(frozen=True)
class ViewScore:
    """Scores over all objects that are seen in one way. NaN where there is none."""

    objects: int
    """True objects, each counted in every frame."""
    recall: float
    """Share of them of which something is said."""
    within: float
    """Share of them of which something is said that is out by at most `WITHIN`."""
    position_median: float
    position_p95: float
    position_std_median: float
    """Median of what is said of the position's standard deviation, in metres."""
    velocity_median: float
    velocity_p95: float
    height_median: float
    """Median of the relative error of the height."""
    width_median: float
    """Median of the relative error of the extent across the line of sight, of objects whose true one is known."""
    nees_mean: float
    """2 for an honest covariance, more where it is too small."""
    nees_in_gate: float
    """0.95 for an honest covariance."""
    velocity_nees_mean: float


class SpaceScorer:
    """Collects the frames of clips and sums them up."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.false_estimates = 0
        """Estimates of no true object, or of one of which another estimate was taken."""
        self.frames = 0
        self.clips = 0

    def add_clip(self, frames: Iterable[EvaluatedFrame]) -> None:
        """Take the frames of one clip in the order of time.

        An object counts from the frame on in which it is first seen, as long as it is in the picture.
        """
        clip, self.clips = self.clips, self.clips + 1
        last_seen: dict[int, float] = {}
        for frame in frames:
            self.frames += 1
            said: dict[int, EstimatedObject] = {}
            for estimate in frame.estimates:
                known = None if estimate.thing_id is None else said.get(estimate.thing_id)
                self.false_estimates += estimate.thing_id is None or known is not None
                # Where two estimates are of one object, the one that sees it is taken.
                if estimate.thing_id is not None and (known is None or estimate.seen > known.seen):
                    said[estimate.thing_id] = estimate
            for true in frame.truth:
                if true.visible_fraction >= LEAST_VISIBLE:
                    last_seen[true.thing_id] = frame.seconds
                if true.thing_id in last_seen and not math.isnan(true.visible_fraction):
                    view = view_of(true, frame.seconds - last_seen[true.thing_id])
                    self.samples.append(_sample(clip, view, true, said.get(true.thing_id)))

    def add(self, other: "SpaceScorer") -> None:
        """Take all clips of another scorer, after those that are here."""
        self.samples += [sample._replace(clip=self.clips + sample.clip) for sample in other.samples]
        self.false_estimates += other.false_estimates
        self.frames += other.frames
        self.clips += other.clips

    def scores(self) -> dict[View, ViewScore]:
        """Return the scores by the way in which objects are seen, of those ways in which any is."""
        groups: dict[View, list[Sample]] = defaultdict(list)
        for sample in self.samples:
            groups[sample.view].append(sample)
        return {view: _summed_up(groups[view]) for view in View if view in groups}

    def median_interval(self, views: Sequence[View]) -> tuple[float, float]:
        """Return the 95 % interval of the median position error of objects seen so.

        Whole videos are drawn anew, because the frames of a video are no independent samples. It is NaN where such
        objects are in fewer than two videos.
        """
        errors: dict[int, list[float]] = defaultdict(list)
        for sample in self.samples:
            if sample.view in views and not math.isnan(sample.position_error):
                errors[sample.clip].append(sample.position_error)
        return _median_interval([np.array(one) for one in errors.values()])


@dataclass(frozen=True)
class Paired:
    """Two ways compared on the same true objects: those of which both say something. NaN where there is none."""

    objects: int
    """Each counted in every frame."""
    median: float
    """Median position error of the first way, in metres."""
    other_median: float
    """That of the other."""
    nearer: float
    """Share in which the first is nearer to the truth."""
    gain: float
    """Median of the other's error less the first's, in metres: above 0 the first is better."""
    gain_interval: tuple[float, float]
    """95 % interval of the gain, by drawing whole videos anew; NaN where there are fewer than two."""


def paired(scorer: SpaceScorer, other: SpaceScorer, views: Sequence[View]) -> Paired:
    """Compare two ways of finding objects on those which are seen so and of which both say something.

    Medians of all that each way says would be of different objects, for what is hard is often not said at all.

    Args:
        scorer: of the first way.
        other: of another way, over the same clips.
        views: how the objects are seen.
    """
    both = [
        (one.clip, one.position_error, two.position_error)
        for one, two in zip(scorer.samples, other.samples, strict=True)
        if one.view in views and not math.isnan(one.position_error) and not math.isnan(two.position_error)
    ]
    if not both:
        return Paired(0, math.nan, math.nan, math.nan, math.nan, (math.nan, math.nan))
    clips, errors, others = (np.array(column) for column in zip(*both, strict=True))
    gains = others - errors
    return Paired(
        objects=len(both),
        median=float(np.median(errors)),
        other_median=float(np.median(others)),
        nearer=float(np.mean(gains > 0)),
        gain=float(np.median(gains)),
        gain_interval=_median_interval([gains[clips == clip] for clip in np.unique(clips)]),
    )


def _median_interval(clips: Sequence[Numbers], draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the median of all values, by drawing whole videos anew."""
    if len(clips) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(len(clips), size=len(clips)) for _ in range(draws))
    low, high = np.quantile([np.median(np.concatenate([clips[i] for i in one])) for one in drawn], (0.025, 0.975))
    return float(low), float(high)


def view_of(true: TrueObject, hidden_s: float) -> View:
    """Return in which way an object is seen that was last seen `hidden_s` seconds ago."""
    if true.cut_off:
        return View.CUT_OFF
    if true.visible_fraction < LEAST_VISIBLE:
        return _HIDDEN[int(np.searchsorted(HIDDEN_SECONDS, hidden_s, side="left"))]
    if true.visible_fraction >= FULLY_VISIBLE:
        return View.FULL
    return View.FOOT_COVERED if true.foot_covered > FOOT_COVERED else View.FOOT_SEEN


def standing_still(frames: Sequence[EvaluatedFrame]) -> list[EvaluatedFrame]:
    """The naive baseline: what is not seen stays where it was when it last was, as sure as it was then."""
    last: dict[int, EstimatedObject] = {}
    changed = []
    for frame in frames:
        estimates = []
        for estimate in frame.estimates:
            thing = estimate.thing_id
            if thing is not None and not estimate.seen and thing in last:
                estimate = replace(last[thing], velocity=np.zeros(3), seen=False)
            elif thing is not None:
                last[thing] = estimate
            estimates.append(estimate)
        changed.append(replace(frame, estimates=tuple(estimates)))
    return changed


def _sample(clip: int, view: View, true: TrueObject, said: EstimatedObject | None) -> Sample:
    if said is None:
        return Sample(clip, view, *[math.nan] * 7)
    position, velocity = (said.position - true.position)[:2], (said.velocity - true.velocity)[:2]
    return Sample(
        clip=clip,
        view=view,
        position_error=float(np.hypot(*position)),
        velocity_error=float(np.hypot(*velocity)),
        height_error=abs(said.height - true.height) / true.height,
        width_error=abs(said.width - true.width) / true.width,
        position_std=math.sqrt(max(said.covariance[0, 0] + said.covariance[1, 1], 0.0)),
        position_nees=_nees(position, said.covariance[:2, :2]),
        velocity_nees=_nees(velocity, said.covariance[3:5, 3:5]),
    )


def _nees(error: Numbers, covariance: Numbers) -> float:
    """Return eᵀ P⁻¹ e, infinite where the covariance is none.

    Source: Bar-Shalom et al., Estimation with Applications to Tracking and Navigation, 5.4.
    """
    try:
        value = float(error @ np.linalg.solve(covariance, error))
    except np.linalg.LinAlgError:
        return math.inf
    return value if value >= 0 else math.inf


def _summed_up(samples: Sequence[Sample]) -> ViewScore:
    said = [sample for sample in samples if not math.isnan(sample.position_error)]
    if not said:
        return ViewScore(len(samples), 0.0, 0.0, *[math.nan] * 10)
    columns = {name: np.array([getattr(sample, name) for sample in said]) for name in Sample._fields[2:]}
    position, velocity, width = (columns[f"{name}_error"] for name in ("position", "velocity", "width"))
    width = width[~np.isnan(width)]
    return ViewScore(
        objects=len(samples),
        recall=len(said) / len(samples),
        within=float(np.count_nonzero(position <= WITHIN)) / len(samples),
        position_median=float(np.median(position)),
        position_p95=float(np.quantile(position, 0.95)),
        position_std_median=float(np.median(columns["position_std"])),
        velocity_median=float(np.median(velocity)),
        velocity_p95=float(np.quantile(velocity, 0.95)),
        height_median=float(np.median(columns["height_error"])),
        width_median=float(np.median(width)) if len(width) else math.nan,
        nees_mean=float(np.mean(columns["position_nees"])),
        nees_in_gate=float(np.mean(columns["position_nees"] <= GATE_95)),
        velocity_nees_mean=float(np.mean(columns["velocity_nees"])),
    )
