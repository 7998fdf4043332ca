"""Journeys of things on the ground, and the motion of their bodies on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .billboard import Pose
from .texture import Rng
from .traits import Motion

_TURNING = 0.3  # Seconds for turning round.


@dataclass(frozen=True)
class Step:
    """A moment of a journey.

    `x` and `z` are on the ground, `travelled` is in metres; `turn` is 1 facing the way of x, -1 against it, and between
    them while the thing turns.
    """

    x: float
    z: float
    travelled: float
    turn: float


@dataclass(frozen=True)
class Journey:
    """Straight ways from place to place.

    `places` [n, 2] (x, z) in metres are reached at `times` [n] in seconds, ascending; before the first and after the
    last the thing stands.
    """

    times: NDArray[np.float64]
    places: NDArray[np.float64]

    def at(self, time: float) -> Step:
        """Return place and facing at a time in seconds."""
        x, z = (float(np.interp(time, self.times, self.places[:, axis])) for axis in (0, 1))
        moves = np.diff(self.places, axis=0)
        lengths = np.concatenate(([0.0], np.cumsum(np.hypot(moves[:, 0], moves[:, 1]))))
        return Step(x, z, float(np.interp(time, self.times, lengths)), self._turn(time, moves[:, 0]))

    def _turn(self, time: float, across: NDArray[np.float64]) -> float:
        """Return the facing of the last motion, turning evenly at the knot between two ways."""
        facing = np.sign(across)
        for i in range(1, len(facing)):
            facing[i] = facing[i] or facing[i - 1]
        # A thing that stands at first, or goes straight ahead, faces where it will go.
        for i in range(len(facing) - 2, -1, -1):
            facing[i] = facing[i] or facing[i + 1]
        if not len(facing) or not facing[0]:
            return 1.0
        middles = self.times[1:-1]
        knots = np.stack([middles - _TURNING / 2, middles + _TURNING / 2], axis=1).ravel()
        # Where knots lie close together, none may come before the previous one.
        knots = np.maximum.accumulate(knots)
        return float(np.interp(time, knots, np.repeat(facing, 2)[1:-1])) if len(knots) else float(facing[0])


@dataclass(frozen=True)
class Gait:
    """Motion of a body while it travels.

    `bob`, `sway` and `stride` are shares of its height or width, `rock` and `phase` are in radians, `pace` is in
    radians per metre, `idle` in radians per second.
    """

    bob: float
    sway: float
    rock: float
    stride: float
    pace: float
    idle: float
    phase: float

    def pose(self, step: Step, time: float) -> Pose:
        """Return the pose at a step of a journey and a time in seconds."""
        beat = self.pace * step.travelled + self.phase
        breath = float(np.sin(self.idle * time + self.phase))
        return Pose(
            turn=step.turn,
            lean=self.rock * float(np.sin(beat)),
            sway=self.sway * (float(np.sin(beat / 2)) + 0.4 * breath),
            rise=self.bob * abs(float(np.sin(beat))),
            stride=self.stride * float(np.sin(beat)),
        )


def sample_gait(rng: Rng, motion: Motion, *, upright: bool, height: float, liveliness: float) -> Gait:
    """Sample the gait of a thing `height` metres high.

    Only things that stand `upright` on legs spread them. `liveliness` multiplies how far they bend.
    """
    if motion == "walks":
        limits = (0.012, 0.03, 0.015, 0.22 if upright else 0.05)
        stride_length = 0.4 * height
    elif motion == "trots":
        limits = (0.04, 0.03, 0.05, 0.12)
        stride_length = 0.8 * height
    elif motion == "rolls":
        limits = (0.004, 0.004, 0.004, 0.0)
        stride_length = 0.7
    else:
        limits = (0.01, 0.01, 0.01, 0.0)
        stride_length = 0.7
    bob, sway, rock, stride = (float(rng.uniform(0.3, 1)) * limit * liveliness for limit in limits)
    return Gait(
        bob=bob,
        sway=sway,
        rock=rock,
        stride=stride,
        pace=float(np.pi / stride_length * rng.uniform(0.8, 1.2)),
        idle=float(rng.uniform(1, 3)),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def sample_journey(
    rng: Rng, *, place: tuple[float, float], reach: float, speed: float, window: float, turns: bool
) -> Journey:
    """Sample a way through `place` (x, z), where the thing is at some time between 0 and `window`.

    Args:
        rng: random numbers.
        place: place on the ground in metres.
        reach: metres to either side of the view's middle at which the thing is out of sight.
        speed: speed in m/s.
        window: duration in seconds.
        turns: whether it may turn round in view; it does out of view in any case.
    """
    kind = rng.choice(4, p=(0.5, 0.25, 0.1, 0.15)) if turns else rng.choice((0, 2), p=(0.9, 0.1))
    meeting = float(rng.uniform(0.1, 0.9)) * window
    if kind == 0:
        return _crossing(rng, place, reach, speed, meeting)
    if kind == 1:
        return _wandering(rng, place, reach, speed, meeting, window)
    if kind == 2:
        return _along(rng, place, speed, meeting, window)
    return _returning(rng, place, reach, speed, 0.5 * meeting)


def _crossing(rng: Rng, place: tuple[float, float], reach: float, speed: float, meeting: float) -> Journey:
    """Sample a way from one side to the other, perhaps with a stop at `place`, and perhaps back later."""
    x, z = place
    side = float(rng.choice((-1, 1)))
    drift = float(rng.uniform(-0.1, 0.1)) * z
    stop = float(rng.uniform(0.3, 2.0)) if rng.uniform() < 0.3 else 0.0
    come, go = abs(x + side * reach) / speed, abs(side * reach - x) / speed
    times = [meeting - come, meeting, meeting + stop + 1e-3, meeting + stop + 1e-3 + go]
    places = [(-side * reach, z - drift), place, place, (side * reach, z + drift)]
    if rng.uniform() < 0.5:
        back = times[-1] + float(rng.uniform(0.3, 1.5))
        times += [back, back + 2 * reach / speed]
        places += [places[-1], (-side * reach, z)]
    return Journey(np.array(times), np.array(places))


def _wandering(
    rng: Rng, place: tuple[float, float], reach: float, speed: float, meeting: float, window: float
) -> Journey:
    """Sample a way to and fro within the view, with stops, which passes `place` at `meeting`."""

    def ways(sign: float) -> list[tuple[float, float, float]]:
        found: list[tuple[float, float, float]] = []
        time, (x, z) = meeting, place
        while 0 < time < window or not found:
            if rng.uniform() < 0.35:
                time += sign * float(rng.uniform(0.3, 1.5))
                found.append((time, x, z))
            goal = float(rng.uniform(-0.9, 0.9)) * reach
            depth = place[1] * float(rng.uniform(0.9, 1.1))
            time += sign * max(float(np.hypot(goal - x, depth - z)) / speed, 0.2)
            x, z = goal, depth
            found.append((time, x, z))
        return found

    knots = [*ways(-1)[::-1], (meeting, *place), *ways(1)]
    return Journey(np.array([knot[0] for knot in knots]), np.array([knot[1:] for knot in knots]))


def _along(rng: Rng, place: tuple[float, float], speed: float, meeting: float, window: float) -> Journey:
    """Sample a way towards the camera or away from it."""
    x, z = place
    away = float(rng.choice((-1, 1)))
    span = min(speed * window, 0.5 * z) / window
    slope = float(rng.uniform(-0.4, 0.4))
    ends = (0.0, window)
    places = [(x + slope * away * span * (t - meeting), z + away * span * (t - meeting)) for t in ends]
    return Journey(np.array(ends), np.array(places))


def _returning(rng: Rng, place: tuple[float, float], reach: float, speed: float, meeting: float) -> Journey:
    """Sample a way from `place` out of view and back later."""
    x, z = place
    side = float(rng.choice((-1, 1)))
    go, away = abs(side * reach - x) / speed, float(rng.uniform(0.3, 1.5))
    times = [meeting, meeting + go, meeting + go + away, meeting + 2 * go + away]
    return Journey(np.array(times), np.array([place, (side * reach, z), (side * reach, z), place]))
