"""The robot world: a moving camera among people, vehicles, boxes, balls and machines, in rooms and yards.

Depth is divided into lanes. Furniture stands in some, bodies move along others, so that they pass behind and
in front of one another without going through each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from . import bodies, room
from .bodies import Body
from .camera import Array, Camera, vector
from .classes import BODY_NAMES, FISH_NAMES
from .clip import RenderedClip
from .compositor import STATIC, ClipRecorder, ComposedFrame, Identity, Layer, compose
from .mesh import Mesh, about_y
from .motion import Ride, Route, sample_ride
from .raster import Tone, rasterise
from .sensor import frame_times, sample_sensor
from .space import SpaceRecorder, ThingPose, velocity_of
from .texture import Rng, Texture

FPS = 30
_SETTINGS = ("room", "hall", "yard")
_STANDING_SHARE = 0.5  # Share of boxes that never move.


@dataclass(frozen=True)
class _Actor:
    id: int
    kind: int  # Index into BODY_NAMES.
    body: Body
    scale: float
    route: Route | None  # None for a body that stands.
    place: Array  # Place (x, z) [2] where it stands.
    heading: float
    turns: bool  # Whether it faces where it goes.

    def at(self, time: float) -> tuple[Array, float, float]:
        """Return foot [3], heading in radians and metres travelled."""
        if self.route is None:
            return vector(float(self.place[0]), 0, float(self.place[1])), self.heading, 0.0
        travelled = self.route.travelled(time)
        (x, z), heading = self.route.place(travelled)
        return vector(float(x), 0, float(z)), heading if self.turns else self.heading, travelled

    def pose(self, time: float) -> ThingPose:
        """Return where the object is, how it moves and how large it is at a time in seconds."""
        foot, heading, travelled = self.at(time)
        vertices, _ = self.body.shape(travelled / self.scale, time)
        low, high = vertices.min(axis=0) * self.scale, vertices.max(axis=0) * self.scale
        across, up, along = (float(v) for v in high - low)
        return ThingPose(
            foot=foot,
            middle=foot + about_y(heading) @ ((low + high) / 2).astype(np.float32),
            velocity=velocity_of(lambda moment: self.at(moment)[0], time),
            size=(along, across, up),
            elevation=float(low[1]),
            yaw=heading,
        )


@dataclass(frozen=True)
class _Furniture:
    mesh: Mesh  # Vertices are in the world.
    texture: Texture
    place: Array  # Foot [3].
    reach: float


@dataclass(frozen=True)
class _Scene:
    setting: str
    surroundings: room.Surroundings
    actors: tuple[_Actor, ...]
    furniture: tuple[_Furniture, ...]
    ride: Ride
    lamp: Array
    ambient: Array
    power: float
    middle: float  # Distance in metres to the middle of the scene.


def render_robot_world(*, seed: int, frames: int, height: int, width: int, space: bool = False) -> RenderedClip:
    """One clip; equal arguments give equal pixels, with and without `space`: depth and poses."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)]
    scene = _sample_scene(streams[0], height, width)
    sensor = sample_sensor(streams[1], height, width)
    times = frame_times(streams[1], frames, FPS)
    recorder, in_space = ClipRecorder(height, width), SpaceRecorder(FPS)
    for t, time in enumerate(times):
        if t and time == times[t - 1]:
            # A repeated frame is the same picture including noise, because the camera sent nothing new.
            recorder.repeat()
            if space:
                in_space.repeat()
            continue
        frame = _compose(scene, time, with_depth=space)
        if frame.depth is not None:
            poses = {actor.id: actor.pose(time) for actor in scene.actors}
            in_space.add(time, scene.ride.camera(time), frame.depth, poses)
        shift = scene.ride.shift(time, 1 / FPS, scene.middle)
        recorder.add(sensor.expose(frame.picture, time=time, shift=shift, rng=streams[2]), frame.masks)
    first = len(FISH_NAMES)
    identities = (
        Identity(a.id, first + a.kind, BODY_NAMES[a.kind], a.route.speed if a.route else 0.0, a.scale)
        for a in scene.actors
    )
    objects = recorder.objects(identities)
    return RenderedClip(
        world="robot",
        seed=seed,
        frames=np.stack(recorder.frames),
        objects=objects,
        fps=FPS,
        parameters={
            "setting": scene.setting,
            "focal": scene.ride.focal,
            "velocity": scene.ride.velocity.tolist(),
            "sceneTimes": times,
        },
        space=in_space.truth(objects) if space else None,
        depth=in_space.depth() if space else None,
    )


def _compose(scene: _Scene, time: float, *, with_depth: bool) -> ComposedFrame:
    camera = scene.ride.camera(time)
    picture = scene.surroundings.view(camera)
    tone = Tone(
        lamp=camera.to_camera(scene.lamp),
        ambient=scene.ambient,
        fog_colour=vector(0, 0, 0),
        power=scene.power,
    )
    layers: list[Layer] = []
    spots: list[tuple[Array, float]] = [(item.place, 0.9 * item.reach) for item in scene.furniture]
    draw = partial(_draw, tone=tone, camera=camera, with_depth=with_depth)
    for item in scene.furniture:
        layers += draw(item.mesh, item.mesh.vertices, item.mesh.normals, item.texture, foot=item.place, owner=STATIC)
    for actor in scene.actors:
        foot, heading, travelled = actor.at(time)
        if not camera.sees_sphere(camera.to_camera(foot), actor.body.reach * actor.scale):
            continue
        vertices, normals = actor.body.shape(travelled / actor.scale, time)
        turn = about_y(heading)
        points = vertices @ turn.T * np.float32(actor.scale) + foot
        layers += draw(actor.body.mesh, points, normals @ turn.T, actor.body.texture, foot=foot, owner=actor.id)
        spots.append((foot, 0.6 * actor.body.width * actor.scale))
    room.shade_floor(picture, camera, spots)
    return compose(picture, layers, scene.surroundings.distances(camera) if with_depth else None)


def _draw(
    mesh: Mesh,
    points: Array,
    normals: Array,
    texture: Texture,
    *,
    tone: Tone,
    camera: Camera,
    foot: Array,
    owner: int,
    with_depth: bool,
) -> list[Layer]:
    turned = normals @ camera.rotation.T
    patch = rasterise(mesh, camera.to_camera(points), turned, texture, tone, camera, with_depth=with_depth)
    return [] if patch is None else [Layer(float(camera.to_camera(foot)[2]), patch, owner)]


def _sample_scene(rng: Rng, height: int, width: int) -> _Scene:
    setting = _SETTINGS[rng.choice(3, p=(0.5, 0.25, 0.25))]
    outside = setting == "yard"
    unit = {"room": 1.0, "hall": 1.0, "yard": 1.8}[setting]
    depth = {"room": rng.uniform(6, 10), "hall": rng.uniform(11, 18), "yard": rng.uniform(20, 30)}[setting]
    half_width, ceiling = (
        float(depth * rng.uniform(0.45, 0.8)),
        float(rng.uniform(2.5, 3.6) * (1.5 if setting == "hall" else 1)),
    )
    ride = sample_ride(rng, unit=1.0, height=height, width=width)
    if outside:
        surroundings = room.outdoors(rng, half_width=half_width, depth=depth, height=height, width=width)
    else:
        surroundings = room.indoors(
            rng, half_width=half_width, depth=depth, ceiling=ceiling, height=height, width=width
        )
    spread = width / 2 / ride.focal  # Half the view's width per metre of depth.
    count, pieces = int(rng.integers(4, 11)), int(rng.integers(1, 5))
    near, far = 2.4 * unit, depth - 0.8
    lanes = list(rng.permutation(np.geomspace(near, far, count + pieces)))
    spacing = (far / near) ** (1 / (count + pieces - 1)) - 1  # Distance between lanes per metre of depth.

    def across(z: float, share: float) -> float:
        limit = half_width * (3 if outside else 1) - 0.5
        return float(np.clip(rng.uniform(-share, share) * spread * z, -limit, limit))

    furniture = []
    for _ in range(pieces):
        z = float(lanes.pop())
        mesh, texture, reach = room.furniture(rng, unit=unit, ceiling=ceiling, outside=outside)
        place = vector(across(z, 0.9), 0, z)
        furniture.append(_Furniture(mesh.moved(offset=place), texture, place, reach))
    makers: tuple[Callable[[Rng], Body], ...] = (
        bodies.person,
        bodies.vehicle,
        bodies.box,
        bodies.toy,
        bodies.robot,
    )
    chances = (0.34, 0.2, 0.16, 0.14, 0.16) if outside else (0.3, 0.1, 0.24, 0.18, 0.18)
    actors = []
    for number in range(count):
        z, kind = float(lanes.pop()), int(rng.choice(5, p=chances))
        body = makers[kind](rng)
        scale = 1.0 if outside or kind != 1 else float(rng.uniform(0.2, 0.4))
        scale *= 1.0 if kind in (0, 1) else unit
        standing = kind == 2 and rng.uniform() < _STANDING_SHARE
        actors.append(
            _Actor(
                id=number,
                kind=kind,
                body=body,
                scale=scale,
                route=None if standing else _route(rng, z, kind, unit, across, spacing * z),
                place=vector(across(z, 0.8), z),
                heading=float(rng.uniform(0, 2 * np.pi)),
                turns=kind != 2,
            )
        )
    return _Scene(
        setting=setting,
        surroundings=surroundings,
        actors=tuple(actors),
        furniture=tuple(furniture),
        ride=ride,
        lamp=vector(float(rng.uniform(-4, 4)), float(rng.uniform(3, 8)) * unit, float(rng.uniform(-4, 3)))
        * np.float32(2 * unit),
        ambient=np.full(3, rng.uniform(0.35, 0.6), np.float32),
        power=float(rng.uniform(0.4, 0.75)),
        middle=float(depth / 2),
    )


def _route(rng: Rng, z: float, kind: int, unit: float, across: Callable[[float, float], float], lane: float) -> Route:
    """Make a route, mostly along a lane from side to side, out of view and back.

    One in six comes towards the camera or leaves it.
    """
    if rng.uniform() < 1 / 6:
        far = z + rng.uniform(1, 3) * unit
        points = [(across(z, 0.8), max(1.2, z - rng.uniform(1, 3) * unit)), (across(far, 0.7), far)]
    else:
        ends = [abs(across(z, 1.0)) + 0.4 * z, -abs(across(z, 1.0)) - 0.4 * z]
        stops = [ends[0], *(across(z, 0.8) for _ in range(int(rng.integers(0, 3)))), ends[1]]
        points = [(x, z + rng.uniform(-0.4, 0.4) * lane) for x in stops]
    speeds = ((0.6, 1.8), (1.0, 4.0), (0.2, 0.9), (0.5, 2.5), (0.3, 1.2))[kind]
    speed = float(rng.uniform(*speeds)) * unit
    return Route(
        points=np.array(points, np.float32),
        speed=speed,
        start=float(rng.uniform(0, 30)),
        hesitation=float(rng.uniform(0, 0.95)),
        rhythm=float(rng.uniform(0.8, 2.5)),
        phase=float(rng.uniform(0, 6)),
    )
