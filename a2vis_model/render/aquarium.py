"""The aquarium: a fixed camera among circling fish, with scene parameters drawn from FISHBOWL's priors."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import scenery
from .camera import Array, Camera, vector
from .classes import FISH_NAMES
from .clip import RenderedClip
from .compositor import ClipRecorder, Identity, Layer, compose
from .fish import Fish, fish_mesh, fish_texture, sample_fish
from .raster import rasterise
from .scenery import Water
from .texture import Rng, Texture

FPS = 30
_POPULATION = (8, 8, 8, 4, 4)
_FIELD_OF_VIEW = np.deg2rad(53.96)  # Share of the picture's height.
_SCHOOL_SHARE = 0.1  # Share of videos in which the fish of a species keep together.
_FOREGROUND_SHARE = 0.2  # Share of videos with something big close by, for long full occlusions.


def render_aquarium(*, seed: int, frames: int, height: int, width: int) -> RenderedClip:
    """Render one video; equal arguments give equal pixels."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)]
    parameters = _sample_parameters(streams[0])
    camera = _camera(parameters, height, width)
    water = _water(parameters)
    school, counts = _sample_school(streams[1], parameters)
    background = scenery.tank(streams[2], camera, water)
    props = _furnish(streams[2], camera, water)
    textures: dict[int, Texture] = {}
    recorder = ClipRecorder(height, width)
    for t in range(frames):
        layers = list(props)
        for fish in school:
            layer = _draw(fish, t / FPS, camera, water, textures)
            if layer is not None:
                layers.append(layer)
        frame = compose(background, layers)
        recorder.add(frame.picture, frame.masks)
    identities = (Identity(f.id, f.class_id, FISH_NAMES[f.class_id], f.speed, f.scale) for f in school)
    return RenderedClip(
        world="aquarium",
        seed=seed,
        frames=np.stack(recorder.frames),
        objects=recorder.objects(identities),
        fps=FPS,
        parameters={"parameters": parameters, "fishCounts": counts},
    )


def _clipped_normal(rng: Rng, mean: float, deviation: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, deviation), low, high))


def _sample_parameters(rng: Rng) -> dict[str, Any]:
    eye = _clipped_normal(rng, 18, 8, 5, 50)
    target = eye + rng.normal(0, 4)
    return {
        "globals.azimuth": float(rng.uniform(0, 2 * np.pi)),
        "globals.targetHeight": float(target),
        "globals.eyeHeight": eye,
        "globals.eyeRadius": _clipped_normal(rng, 0, 6, -18, 18),
        "globals.fieldOfView": float(np.rad2deg(_FIELD_OF_VIEW)),
        "globals.fogPower": _clipped_normal(rng, 20, 4, 3, 27),
        "globals.fogMult": 1.66,
        "globals.fogOffset": 0.53,
        "globals.fogRed": _clipped_normal(rng, 0.53, 0.07, 0.35, 0.75),
        "globals.fogGreen": _clipped_normal(rng, 0.86, 0.095, 0.6, 1.05),
        "globals.fogBlue": _clipped_normal(rng, 0.96, 0.15, 0.6, 1.3),
        "globals.ambientRed": _clipped_normal(rng, 0.23, 0.056, 0.1, 0.4),
        "globals.ambientGreen": _clipped_normal(rng, 0.25, 0.04, 0.12, 0.4),
        "globals.ambientBlue": _clipped_normal(rng, 0.33, 0.077, 0.12, 0.5),
        "fish.fishHeightRange": _clipped_normal(rng, 1, 0.4, 0, 2),
        "fish.fishHeight": float(target + 5 + rng.normal(0, 2)),
        "fish.fishSpeed": _clipped_normal(rng, 0.13, 0.05, 0, 0.3),
    }


def _camera(p: dict[str, Any], height: int, width: int) -> Camera:
    azimuth = p["globals.azimuth"]
    outward = vector(float(np.sin(azimuth)), 0, float(np.cos(azimuth)))
    eye = outward * np.float32(p["globals.eyeRadius"]) + vector(0, p["globals.eyeHeight"], 0)
    target = -outward * np.float32(scenery.WALL_RADIUS) + vector(0, p["globals.targetHeight"], 0)
    focal = height / 2 / float(np.tan(_FIELD_OF_VIEW / 2))
    return Camera.look_at(eye=eye, target=target, focal=focal, height=height, width=width)


def _water(p: dict[str, Any]) -> Water:
    return Water(
        fog_colour=vector(p["globals.fogRed"], p["globals.fogGreen"], p["globals.fogBlue"]),
        ambient=vector(p["globals.ambientRed"], p["globals.ambientGreen"], p["globals.ambientBlue"]),
        fog_power=p["globals.fogPower"],
        fog_multiplier=p["globals.fogMult"],
        fog_offset=p["globals.fogOffset"],
        lamp=vector(20, -30, 0),
    )


def _sample_school(rng: Rng, p: dict[str, Any]) -> tuple[list[Fish], list[int]]:
    counts = [int(rng.poisson(mean)) for mean in _POPULATION]
    together = rng.uniform() < _SCHOOL_SHARE
    fish: list[Fish] = []
    for class_id, count in enumerate(counts):
        lead = rng.uniform(0, 40 * np.pi)
        for _ in range(count):
            phase = lead + rng.normal(0, 0.5) if together else rng.uniform(0, 40 * np.pi)
            fish.append(
                sample_fish(
                    rng,
                    fish_id=len(fish),
                    class_id=class_id,
                    phase=float(phase),
                    speed=p["fish.fishSpeed"],
                    height=p["fish.fishHeight"],
                    height_range=p["fish.fishHeightRange"],
                )
            )
    return fish, counts


def _draw(fish: Fish, time: float, camera: Camera, water: Water, textures: dict[int, Texture]) -> Layer | None:
    mesh = fish_mesh(fish.class_id)
    centre = camera.to_camera(fish.position(time))
    if not camera.sees_sphere(centre, mesh.radius * fish.scale * 1.15):
        return None
    points, normals = fish.body(time)
    if fish.id not in textures:
        textures[fish.id] = fish_texture(fish.class_id, np.random.default_rng(fish.colour_seed))
    depth = float(centre[2])
    points, normals = camera.to_camera(points), normals @ camera.rotation.T
    patch = rasterise(mesh, points, normals, textures[fish.id], water.tone(depth), camera)
    return None if patch is None else Layer(depth, patch, fish.id)


def _furnish(rng: Rng, camera: Camera, water: Water) -> list[Layer]:
    """Make rocks, corals, weeds, columns and wrecks on the floor, and sometimes something big close by."""
    layers: list[Layer | None] = []

    def place(depth: float, across: float) -> Array:
        """Return a point on the floor, `across` of the picture's half width from its middle."""
        forward = camera.rotation[2] * vector(1, 0, 1)
        right = camera.rotation[0]
        reach = across * depth * camera.width / 2 / camera.focal
        return camera.position * vector(1, 0, 1) + forward * np.float32(depth) + right * np.float32(reach)

    def add_mesh(thing: tuple[Any, Texture], foot: Array) -> None:
        layers.append(scenery.render_prop(thing[0], foot, thing[1], camera, water))

    def across(spread: float = 1.1) -> float:
        return float(rng.uniform(-spread, spread))

    if rng.uniform() < 0.4:
        layers.append(scenery.wreck(rng, camera, place(rng.uniform(52, 68), across(0.8)), rng.uniform(30, 45), water))
    if rng.uniform() < 0.4:
        add_mesh(scenery.submarine(rng, rng.uniform(20, 32)), place(rng.uniform(50, 66), across()))
    for _ in range(int(rng.poisson(6))):
        add_mesh(scenery.rock(rng, rng.uniform(1.5, 6)), place(rng.uniform(26, 72), across()))
    for _ in range(int(rng.poisson(2))):
        add_mesh(
            scenery.column(rng, rng.uniform(0.8, 1.4), rng.uniform(4, 11)),
            place(rng.uniform(36, 66), across()),
        )
    layers += [
        scenery.coral(rng, camera, place(rng.uniform(24, 60), across()), rng.uniform(4, 8), water)
        for _ in range(int(rng.poisson(4)))
    ]
    layers += [
        scenery.weed(rng, camera, place(rng.uniform(30, 66), across()), rng.uniform(5, 13), water)
        for _ in range(int(rng.poisson(3)))
    ]
    if rng.uniform() < _FOREGROUND_SHARE:
        depth, eye_height = rng.uniform(9, 24), float(camera.position[1])
        foot = place(depth, across(0.9))
        # The thing is high enough to reach into the picture, whatever the height of the eye above the floor.
        top = eye_height + depth * rng.uniform(-0.2, 0.6)
        kind = rng.integers(3)
        if kind == 0:
            add_mesh(scenery.rock(rng, depth * rng.uniform(0.2, 0.32), max(top, 4.0)), foot)
        elif kind == 1:
            add_mesh(scenery.column(rng, depth * rng.uniform(0.08, 0.16), eye_height + depth), foot)
        else:
            for _ in range(int(rng.integers(4, 8))):
                bush = foot + camera.rotation[0] * np.float32(rng.uniform(-0.2, 0.2) * depth)
                layers.append(scenery.weed(rng, camera, bush, max(top, 8.0), water))
    return [layer for layer in layers if layer is not None]
