"""The composed world: cut-outs of real photographs moving over real photographs, seen by a robot's camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .billboard import Pose, draw
from .camera import Camera, vector
from .clip import MIN_VISIBLE_PIXELS, RenderedClip
from .composed_scene import Scene, sample_scene
from .compositor import STATIC, ClipRecorder, ComposedFrame, Identity, Layer, compose
from .cutouts import Pictures
from .harmonise import shade_ground
from .obstacles import Obstacle
from .sensor import Sensor, frame_times, sample_sensor
from .things import Thing

FPS = 30
WORLD = "composed"


@dataclass(frozen=True)
class ComposedClip:
    """A video that is not rendered yet: its frames can be rendered at any time and in any order."""

    pictures: Pictures
    seed: int
    scene: Scene
    sensor: Sensor
    times: tuple[float, ...]
    """Scene time of each frame in seconds."""

    @classmethod
    def sample(cls, pictures: Pictures, *, seed: int, frames: int, height: int, width: int) -> ComposedClip:
        """Make the video of a seed; equal arguments give equal videos."""
        for_scene, for_sensor = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
        times = frame_times(for_sensor, frames, FPS)
        sensor = sample_sensor(for_sensor, height, width)
        if for_sensor.uniform() < 0.6:
            sensor = replace(sensor, quality=int(for_sensor.integers(30, 96)))
        scene = sample_scene(for_scene, pictures, duration=times[-1], height=height, width=width)
        return cls(pictures, seed, scene, sensor, tuple(scene.start + time for time in times))

    def frame(self, index: int) -> ComposedFrame:
        """Render one frame as the camera took it, with its masks."""
        time = self.times[index]
        composed = compose_scene(self.scene, time, exposure=self.sensor.shutter / FPS)
        # A repeated frame has the same noise.
        rng = np.random.default_rng((self.seed, self.times.index(time)))
        shift = self.scene.view.ride.shift(time, 1 / FPS, self.scene.backdrop.depth)
        return replace(composed, picture=self.sensor.expose(composed.picture, time=time, shift=shift, rng=rng))

    def render(self, indices: Sequence[int] | None = None, least: int = MIN_VISIBLE_PIXELS) -> RenderedClip:
        """Render all frames or those of `indices`, and the objects of which they show more than `least` pixels."""
        chosen = range(len(self.times)) if indices is None else indices
        camera = self.scene.backdrop.camera
        recorder = ClipRecorder(camera.height, camera.width)
        for place, index in enumerate(chosen):
            if place and self.times[index] == self.times[chosen[place - 1]]:
                recorder.repeat()
            else:
                frame = self.frame(index)
                recorder.add(frame.picture, frame.masks)
        class_ids = {name: number for number, name in enumerate(self.pictures.classes)}
        identities = (
            Identity(thing.id, class_ids[thing.class_name], thing.class_name, thing.speed, thing.sprite.height)
            for thing in self.scene.things
        )
        return RenderedClip(
            world=WORLD,
            seed=self.seed,
            frames=np.stack(recorder.frames),
            objects=recorder.objects(identities, least),
            fps=FPS,
            parameters=_parameters(self, [self.times[index] for index in chosen]),
        )


def compose_scene(scene: Scene, time: float, exposure: float = 0.0) -> ComposedFrame:
    """Render the scene at `time` seconds without noise.

    Only things that move while the shutter is open for `exposure` seconds are blurred.
    """
    camera = scene.view.camera(time)
    picture = scene.backdrop.view(camera)
    layers: list[Layer] = []
    items: list[Obstacle | Thing] = [*scene.obstacles, *scene.things]
    for item in items:
        step, later = item.journey.at(time), item.journey.at(time + exposure)
        travel = vector(later.x - step.x, 0, later.z - step.z)
        pose, lift, owner = Pose(turn=step.turn), 0.0, STATIC
        if isinstance(item, Thing):
            pose, lift, owner = item.gait.pose(step, time), item.lift, item.id
        place = vector(step.x, lift, step.z)
        if not lift:
            shade_ground(picture, camera, place, item.sprite.width, scene.shadow)
        drawn = draw(item.sprite, place, pose, camera, travel)
        if drawn is not None:
            layers.append(Layer(*drawn, owner=owner))
    return compose(picture, layers)


def _parameters(clip: ComposedClip, times: Sequence[float]) -> dict[str, Any]:
    """Return the geometry of a video as JSON: the ground is y = 0.

    Lengths are metres, focal lengths and centres pixels.
    """
    scene = clip.scene
    cameras = [scene.view.camera(time) for time in times]
    return {
        "pictures": clip.pictures.digest,
        "sceneTimes": list(times),
        "backdropDepth": scene.backdrop.depth,
        "cameras": [
            {
                "focal": camera.focal,
                "centre": camera.centre.tolist(),
                "position": camera.position.tolist(),
                "rotation": camera.rotation.tolist(),
            }
            for camera in cameras
        ],
        "things": [_track(thing, times, cameras) for thing in scene.things],
    }


def _track(thing: Thing, times: Sequence[float], cameras: Sequence[Camera]) -> dict[str, Any]:
    """Return a thing's foot [x, y, z] and depth in each frame."""
    steps = [thing.journey.at(time) for time in times]
    feet = [vector(step.x, thing.lift, step.z) for step in steps]
    return {
        "id": thing.id,
        "file": thing.file,
        "height": thing.sprite.height,
        "foot": [foot.tolist() for foot in feet],
        "depth": [float(camera.to_camera(foot)[2]) for foot, camera in zip(feet, cameras, strict=True)],
    }
