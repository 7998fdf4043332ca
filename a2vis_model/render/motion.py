"""Walks of bodies and the motion of the robot's camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Array, Camera, vector
from .texture import Rng


@dataclass(frozen=True)
class Route:
    """A polyline that a body walks to and fro.

    `points` [n, 2] (x, z) are in metres, `speed` is in m/s, and the walk begins `start` metres along the way.
    `hesitation`
    in 0..1 is how nearly it comes to a stop every `2 pi / rhythm` seconds.
    """

    points: Array
    speed: float
    start: float
    hesitation: float
    rhythm: float
    phase: float

    def travelled(self, time: float) -> float:
        """Return the distance walked in metres, which increases with time."""
        wave = np.sin(self.rhythm * time + self.phase) / self.rhythm
        return self.start + self.speed * (time + self.hesitation * float(wave))

    def place(self, travelled: float) -> tuple[Array, float]:
        """Return position (x, z) [2] and heading in radians from z towards x."""
        steps = np.diff(self.points, axis=0)
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        total = float(lengths.sum())
        lap = travelled % (2 * total)
        back = lap > total
        along = 2 * total - lap if back else lap
        knots = np.concatenate(([0.0], np.cumsum(lengths)))
        position = vector(*(float(np.interp(along, knots, self.points[:, i])) for i in (0, 1)))
        # The heading turns within half a metre before and after a corner.
        ahead = [float(np.interp(along + s * 0.5, knots, self.points[:, i])) for s in (-1, 1) for i in (0, 1)]
        heading = float(np.arctan2(ahead[2] - ahead[0], ahead[3] - ahead[1]))
        return position, heading + (np.pi if back else 0.0)


@dataclass(frozen=True)
class Ride:
    """The camera's motion: start, constant `velocity` [3] in m/s, `sway` of yaw and `shake`.

    `sway` is (amplitude, radians per second, phase); `shake` [3 (yaw, pitch, roll), 3 waves, 3] holds the same for each
    wave.
    """

    position: Array
    yaw: float
    pitch: float
    velocity: Array
    sway: tuple[float, float, float]
    shake: Array
    focal: float
    height: int
    width: int

    def camera(self, time: float) -> Camera:
        """Return the camera at a time in seconds."""
        amplitude, rate, phase = self.sway
        waves = (self.shake[..., 0] * np.sin(self.shake[..., 1] * time + self.shake[..., 2])).sum(axis=1)
        yaw = self.yaw + amplitude * np.sin(rate * time + phase) + waves[0]
        pitch = self.pitch + waves[1]
        eye = self.position + self.velocity * np.float32(time)
        ahead = vector(float(np.sin(yaw) * np.cos(pitch)), float(np.sin(pitch)), float(np.cos(yaw) * np.cos(pitch)))
        return Camera.look_at(
            eye=eye,
            target=eye + ahead,
            focal=self.focal,
            height=self.height,
            width=self.width,
            roll=float(waves[2]),
        )

    def shift(self, time: float, period: float, distance: float) -> tuple[float, float]:
        """Return by how many pixels (x, y) a point `distance` metres ahead moves within `period` seconds."""
        now, then = self.camera(time - period / 2), self.camera(time + period / 2)
        point = now.position + now.rotation[2] * np.float32(distance)
        x, y = then.to_pixels(then.to_camera(point)[None])[0] - now.centre
        return float(x), float(y)


def sample_ride(rng: Rng, *, unit: float, height: int, width: int) -> Ride:
    """Sample a robot's or a fixed camera with a view along z; `unit` scales lengths, 1 for a room."""
    overhead = rng.uniform() < 0.2
    eye_height = unit * float(rng.uniform(2.4, 3.4) if overhead else rng.uniform(0.5, 1.7))
    pitch = float(rng.uniform(-0.45, -0.25) if overhead else rng.uniform(-0.15, 0.02))
    moving = rng.uniform() < 0.85
    pace = rng.normal(0, (0.35, 0.03, 0.5)).astype(np.float32) * np.float32(unit * moving * rng.uniform(0, 1))
    pan = float(rng.uniform(0, 0.35)) * moving
    jolt = float(rng.uniform(0, 0.006)) * moving
    shake = np.stack(
        [jolt * rng.uniform(0.1, 1, (3, 3)), rng.uniform(4, 40, (3, 3)), rng.uniform(0, 6, (3, 3))], axis=-1
    ).astype(np.float32)
    return Ride(
        position=vector(float(rng.uniform(-0.5, 0.5)) * unit, eye_height, 0),
        yaw=float(rng.uniform(-0.2, 0.2)),
        pitch=pitch,
        velocity=pace,
        sway=(pan, float(rng.uniform(0.3, 1.8)), float(rng.uniform(0, 6))),
        shake=shake,
        focal=width / 2 / float(np.tan(np.deg2rad(rng.uniform(55, 85)) / 2)),
        height=height,
        width=width,
    )
