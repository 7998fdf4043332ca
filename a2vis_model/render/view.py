"""Camera of a composed video: its height, direction, motion and zoom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .camera import Camera, vector
from .motion import Ride
from .texture import Rng
from .traits import Traits


@dataclass(frozen=True)
class View:
    """A camera that rides, pans and shakes, and whose focal length oscillates.

    `zoom` is (amplitude as a share, radians per second, phase).
    """

    ride: Ride
    zoom: tuple[float, float, float]

    def camera(self, time: float) -> Camera:
        """Return the camera at a time in seconds."""
        amplitude, rate, phase = self.zoom
        camera = self.ride.camera(time)
        return replace(camera, focal=camera.focal * float(np.exp(amplitude * np.sin(rate * time + phase))))

    def at_rest(self, time: float) -> Camera:
        """Return the camera at a time in seconds, without sway, shake and zoom."""
        return replace(self.ride, sway=(0.0, 1.0, 0.0), shake=np.zeros_like(self.ride.shake)).camera(time)


def sample_view(rng: Rng, things: Sequence[Traits], *, window: float, height: int, width: int) -> tuple[View, float]:
    """Sample a robot's, a hand-held or a fixed camera in front of things.

    Also return the metres to the end of the ground.

    Args:
        rng: random numbers.
        things: traits of the visible things: pets are mostly seen from low down, and vehicles need room.
        window: seconds for which the camera moves.
        height: height of the picture in pixels.
        width: width of the picture in pixels.
    """
    largest = max(traits.metres for traits in things)
    vehicles = any(traits.motion == "rolls" for traits in things)
    focal = width / 2 / float(np.tan(np.deg2rad(rng.uniform(48, 85)) / 2))
    if largest < 0.9 and rng.uniform() < 0.7:
        eye = float(rng.uniform(0.2, 0.8))
    else:
        eye = float(np.exp(rng.uniform(np.log(0.5), np.log(2.4))))
    # The row where the ground ends in most photographs; in some it reaches far, nearly up to the horizon.
    edge, above = (0.55, 0.8), (0.08, 0.3)
    if rng.uniform() < 0.25:
        edge, above = (0.4, 0.6), (0.02, 0.08)
    far_edge = float(rng.uniform(*edge)) * height
    horizon = far_edge - float(rng.uniform(*above)) * height
    if rng.uniform() < 0.12:
        eye, horizon, far_edge = float(rng.uniform(2.4, 4.5)), float(rng.uniform(-0.1, 0.2)) * height, 0.3 * height
    pitch = -float(np.arctan((height / 2 - horizon) / focal))
    depth = float(np.clip(focal * eye / (far_edge - horizon), 4 * largest if vehicles else 2.5, 60))
    moving = rng.uniform() < 0.65
    forward = min(float(rng.uniform(-0.1, 0.7)), 0.2 * depth / window) * (rng.uniform() < 0.5)
    velocity = np.array([rng.normal(0, 0.25), rng.normal(0, 0.01), forward]) * moving
    jolt = float(rng.uniform(0, 0.006)) * (rng.uniform() < 0.7)
    shake = np.stack(
        [jolt * rng.uniform(0.1, 1, (3, 3)), rng.uniform(3, 30, (3, 3)), rng.uniform(0, 6, (3, 3))], axis=-1
    )
    ride = Ride(
        position=vector(0, eye, 0),
        yaw=0.0,
        pitch=pitch,
        velocity=velocity.astype(np.float32),
        sway=(float(rng.uniform(0, 0.16)) * moving, float(rng.uniform(0.3, 1.6)), float(rng.uniform(0, 6))),
        shake=shake.astype(np.float32),
        focal=focal,
        height=height,
        width=width,
    )
    zooms = rng.uniform() < 0.25
    zoom = (float(rng.uniform(0, 0.2)) * zooms, float(rng.uniform(0.3, 1.5)), float(rng.uniform(0, 6)))
    return View(ride, zoom), depth
