"""What a composed clip shows: a place, a camera in it, things on their ways, and what stands before them.

The world has the ground at y = 0, z ahead of the camera and metres as units. Things stand upright on the ground, so
that those lower in the picture are nearer, larger and in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from . import occluders
from .backdrop import Backdrop, sample_backdrop
from .billboard import Sprite, make_sprite
from .camera import Array, Camera, vector
from .cutouts import Cutout, Pictures, Pixels
from .harmonise import colour_change, harmonise
from .journey import Gait, Journey, sample_gait, sample_journey
from .motion import Ride
from .texture import Rng
from .traits import Traits, traits_of

_WINDOW = 4.0  # seconds for which journeys are made, at least: a shorter clip is a part of it
_CROWD_SHARE = 0.12  # of clips
_MOST = 15  # things
_PLANNED_SHARE = 0.3  # of things that an occluder is put before
_HIDDEN_SECONDS = (0.3, 3.0)
_SHARP = 1.3  # picture pixels that a cut-out's pixel may fill
_COMMON = 400  # cut-outs of a class from which none needs to be varied more than a little


@dataclass(frozen=True)
class View:
    """A camera that rides, pans and shakes, and whose focal length swings by the share ``zoom`` = (amplitude, radians
    per second, phase)."""

    ride: Ride
    zoom: tuple[float, float, float]

    def camera(self, time: float) -> Camera:
        amplitude, rate, phase = self.zoom
        camera = self.ride.camera(time)
        return replace(camera, focal=camera.focal * float(np.exp(amplitude * np.sin(rate * time + phase))))


@dataclass(frozen=True)
class Thing:
    """An object: its picture, the way its foot takes on the ground, and how it moves. ``lift`` is how high above the
    ground the lower edge of a thing is whose lower part its photograph lacks."""

    id: int
    class_name: str
    file: str
    sprite: Sprite
    journey: Journey
    gait: Gait
    speed: float
    lift: float


@dataclass(frozen=True)
class Obstacle:
    """Something that hides things and is none, at ``place`` ``[3]``."""

    sprite: Sprite
    place: Array


@dataclass(frozen=True)
class Scene:
    """A clip's content. ``start`` is the scene's time in seconds at the first frame, ``shadow`` how dark the ground is
    below things, in 0..1."""

    backdrop: Backdrop
    view: View
    things: tuple[Thing, ...]
    obstacles: tuple[Obstacle, ...]
    start: float
    shadow: float


def sample_scene(rng: Rng, pictures: Pictures, *, duration: float, height: int, width: int) -> Scene:
    """A scene for ``duration`` seconds in pictures of ``height`` by ``width`` pixels."""
    classes = _sample_classes(rng, pictures)
    window = max(duration, _WINDOW)
    view, depth = _sample_view(rng, classes, pictures, window, height, width)
    start = float(rng.uniform(0, window - duration))
    level = _at_rest(view, start)
    photo = pictures.backgrounds[int(rng.integers(len(pictures.backgrounds)))]
    backdrop = sample_backdrop(rng, photo, level, depth)
    middle = view.camera(window / 2)
    sampler = _ThingSampler(rng, pictures, backdrop, middle, window)
    things = tuple(sampler.sample(number, name) for number, name in enumerate(classes))
    obstacles = _sample_obstacles(rng, pictures, things, view, window, sampler)
    return Scene(
        backdrop=backdrop,
        view=view,
        things=things,
        obstacles=obstacles,
        start=start,
        shadow=float(rng.uniform(0.25, 0.65)),
    )


def _sample_classes(rng: Rng, pictures: Pictures) -> list[str]:
    """The class of each thing: every class as often as another."""
    crowd = rng.uniform() < _CROWD_SHARE
    kinds = 1 if crowd else int(rng.choice((1, 2, 3, 4), p=(0.2, 0.35, 0.25, 0.2)))
    names = rng.permutation(pictures.classes)[:kinds].tolist()
    count = int(rng.integers(9, _MOST + 1)) if crowd else int(min(1 + rng.geometric(0.24), 11) - rng.integers(0, 2))
    return [str(names[int(rng.integers(len(names)))]) for _ in range(max(count, 1))]


def _sample_view(
    rng: Rng, classes: Sequence[str], pictures: Pictures, window: float, height: int, width: int
) -> tuple[View, float]:
    """A robot's, a hand's or a fixed camera, and the metres to where the ground ends, for things of these classes."""
    every = [traits_of(name, pictures.sizes) for name in classes]
    largest = max(traits.metres for traits in every)
    vehicles = any(traits.motion == "rolls" for traits in every)
    focal = width / 2 / float(np.tan(np.deg2rad(rng.uniform(48, 85)) / 2))
    if largest < 0.9 and rng.uniform() < 0.7:
        eye = float(rng.uniform(0.2, 0.8))
    else:
        eye = float(np.exp(rng.uniform(np.log(0.5), np.log(2.4))))
    # Where the ground ends in most photographs, and in some it reaches far.
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
    forward = min(float(rng.uniform(-0.1, 0.7)), 0.3 * depth / window) * (rng.uniform() < 0.5)
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


def _at_rest(view: View, time: float) -> Camera:
    """The camera of that time without sway, shake and zoom: the one that took the photograph."""
    return replace(view.ride, sway=(0.0, 1.0, 0.0), shake=np.zeros_like(view.ride.shake)).camera(time)


@dataclass(frozen=True)
class _ThingSampler:
    """Draws things for one scene; ``camera`` is that of its middle."""

    rng: Rng
    pictures: Pictures
    backdrop: Backdrop
    camera: Camera
    window: float

    def sample(self, number: int, class_name: str) -> Thing:
        rng = self.rng
        cutouts = self.pictures.cutouts[class_name]
        cutout = cutouts[int(rng.integers(len(cutouts)))]
        traits = traits_of(class_name, self.pictures.sizes)
        rarity = float(np.clip(1 - np.log(len(cutouts)) / np.log(_COMMON), 0, 1))
        pixels = self._varied(cutout.pixels, rarity)
        cut = traits.motion in ("walks", "trots") and _is_cut(cutout)
        tall, lift = self._size(traits, pixels, cut)
        metres = tall * pixels.shape[1] / pixels.shape[0]
        depth = self._depth(tall, metres, lift, cut, pixels.shape[0])
        x = float(rng.normal(0, 0.45)) * self._half_view(depth)
        pixels = self._lit(pixels, x, depth, tall, traits, rarity)
        sprite = make_sprite(pixels, tall)
        speed = min(float(rng.uniform(*traits.speed)), 2 * self._half_view(depth))
        journey = self._journey(traits, (x, depth), metres, speed)
        upright = pixels.shape[0] > 1.7 * pixels.shape[1]
        gait = sample_gait(rng, traits.motion, upright=upright and not cut, height=tall, liveliness=1 + 0.5 * rarity)
        return Thing(number, class_name, cutout.file, sprite, journey, gait, speed, lift)

    def _varied(self, pixels: Pixels, rarity: float) -> Pixels:
        """Mirrored half of the time, and stretched, more so where there are few cut-outs of a class."""
        if self.rng.uniform() < 0.5:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        stretch = float(np.exp(self.rng.normal(0, 0.04 + 0.08 * rarity)))
        size = (max(round(pixels.shape[1] * stretch), 8), pixels.shape[0])
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)

    def _size(self, traits: Traits, pixels: Pixels, cut: bool) -> tuple[float, float]:
        """Metres that a thing is high, and how high its lower edge is."""
        rows, columns = pixels.shape[:2]
        whole = traits.metres * float(np.exp(self.rng.normal(0, 0.1)))
        share = traits.height(rows, columns) / traits.metres
        if not cut:
            if traits.motion == "walks" and rows < 1.4 * columns:
                share *= 0.75  # it sits or kneels
            return whole * share, 0.0
        if traits.motion != "walks":
            return 0.8 * whole * share, 0.0
        # A person's photograph: the wider it is the less of the body is in it.
        share = float(np.interp(rows / columns, (0.8, 1.3, 2.2, 3), (0.3, 0.45, 0.65, 0.9)))
        return whole * share, min(whole * (1 - share), 0.6 * float(self.camera.position[1]))

    def _ground_reach(self, above: float) -> float:
        """Metres ahead at which a point so many metres above the ground meets the lower border of the picture."""
        forward = self.camera.rotation[2]
        pitch = float(np.arcsin(np.clip(forward[1], -1, 1)))
        below = float(np.arctan(self.camera.height / 2 / self.camera.focal)) - pitch
        return max(float(self.camera.position[1]) - above, 0.05) / float(np.tan(np.clip(below, 0.03, 1.4)))

    def _half_view(self, depth: float) -> float:
        """Metres from the middle to the side of the picture."""
        return depth * self.camera.width / 2 / self.camera.focal

    def _depth(self, tall: float, metres: float, lift: float, cut: bool, rows: int) -> float:
        """Metres ahead. Sizes in the picture are even on a log scale, as far as the ground is in the picture, and as
        far as a picture of so many ``rows`` is sharp enough."""
        rng, camera = self.rng, self.camera
        unit = camera.focal / camera.height  # share of the picture that one metre fills at one metre
        standing, half = self._ground_reach(lift), self._ground_reach(lift + 0.6 * tall)
        if cut:
            low, high = min(half, 0.95 * standing), 0.98 * standing
        else:
            low, high = (half if rng.uniform() < 0.2 else 1.02 * standing), 0.95 * self.backdrop.depth
            low = max(low, tall * unit / 1.6, metres * camera.focal / camera.width / 1.3)
            low = max(low, tall * camera.focal / (_SHARP * rows))
            near, far = tall * unit / 0.9, tall * unit / 0.09
            if max(low, near) < min(high, far):
                low, high = max(low, near), min(high, far)
            else:
                high = min(high, 1.5 * low)
        low = max(low, 0.5)
        return float(np.exp(rng.uniform(np.log(low), np.log(max(high, 1.01 * low)))))

    def _lit(self, pixels: Pixels, x: float, depth: float, tall: float, traits: Traits, rarity: float) -> Pixels:
        """Shrunk to about the size at which it is seen, in light and colours of the place."""
        rng, camera = self.rng, self.camera
        shown = 1.4 * tall * camera.focal / depth / pixels.shape[0]
        if shown < 0.8:
            size = [max(round(side * shown), 6) for side in pixels.shape[1::-1]]
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        hue = 180.0 if traits.motion == "rolls" and rng.uniform() < 0.3 + 0.4 * rarity else 6 + 10 * rarity
        change = colour_change(rng, hue=hue, strength=0.15 + 0.25 * rarity)
        around = _around(self.backdrop, camera, x, depth, tall)
        light, colour = float(rng.uniform(0.1, 0.65)), float(rng.uniform(0.05, 0.5))
        lit = harmonise(pixels, change, around, light=light, colour=colour)
        # As soft as the photograph behind it, which is enlarged.
        softness = float(rng.uniform(0.2, 0.6) / self.backdrop.to_photo[0, 0] * min(max(shown, 1.0), 1.4))
        return np.asarray(cv2.GaussianBlur(lit, (5, 5), softness), np.uint8) if softness > 0.35 else lit

    def _journey(self, traits: Traits, place: tuple[float, float], metres: float, speed: float) -> Journey:
        rng = self.rng
        middle = self.camera.position[[0, 2]].astype(np.float64)
        if rng.uniform() < traits.standing:
            return Journey(np.zeros(1), np.array([place]) + middle)
        journey = sample_journey(
            rng,
            place=place,
            reach=1.1 * self._half_view(place[1]) + 0.6 * metres,
            speed=speed,
            window=self.window,
            turns=traits.motion != "rolls",
        )
        return replace(journey, places=journey.places + middle)


def _is_cut(cutout: Cutout) -> bool:
    """Whether a thing ends in a straight line below: the border of its photograph, or something before it."""
    solid = cutout.pixels[..., 3] >= 128
    rows, columns = solid.shape
    bottom = rows - 1 - np.argmax(solid[::-1], axis=0)
    return float((bottom >= rows - 1 - max(0.02 * rows, 1)).sum()) > 0.5 * columns


def _around(backdrop: Backdrop, camera: Camera, x: float, depth: float, tall: float) -> Pixels:
    """The picture behind a thing, and around it."""
    picture = backdrop.photo
    place = camera.position * vector(1, 0, 1) + vector(x, tall / 2, depth)
    foot = camera.to_pixels(camera.to_camera(place))
    where = backdrop.to_photo @ np.array([*foot, 1.0])
    reach = max(tall * camera.focal / depth * abs(backdrop.to_photo[0, 0]), 24)
    left, top = (int(np.clip(v - reach, 0, side - 16)) for v, side in zip(where[:2], picture.shape[1::-1], strict=True))
    return np.ascontiguousarray(picture[top : top + int(2 * reach), left : left + int(2 * reach)])


def _sample_obstacles(
    rng: Rng, pictures: Pictures, things: Sequence[Thing], view: View, window: float, sampler: _ThingSampler
) -> tuple[Obstacle, ...]:
    """Occluders put before things on their ways, others anywhere, and decoys."""
    found: list[Obstacle] = []

    def photo() -> Pixels:
        return pictures.backgrounds[int(rng.integers(len(pictures.backgrounds)))]

    def add(pixels: Pixels, tall: float, x: float, z: float) -> None:
        scale = 1.3 * tall * sampler.camera.focal / max(z - float(sampler.camera.position[2]), 0.5) / len(pixels)
        if scale < 0.8:
            size = [max(round(side * scale), 6) for side in pixels.shape[1::-1]]
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        around = _around(sampler.backdrop, sampler.camera, x - float(sampler.camera.position[0]), z, tall)
        change = colour_change(rng, hue=0, strength=0.3)
        light, colour = float(rng.uniform(0.2, 0.8)), float(rng.uniform(0, 0.5))
        lit = harmonise(pixels, change, around, light=light, colour=colour)
        found.append(Obstacle(make_sprite(lit, tall), vector(x, 0, z)))

    for thing in things:
        if rng.uniform() < _PLANNED_SHARE and len(found) < 5:
            tall, wide, x, z = _before(rng, thing, view, window)
            add(occluders.occluder(rng, photo(), tall, wide), tall, x, z)
    for _ in range(int(rng.poisson(0.5))):
        z = float(rng.uniform(0.3, 1)) * sampler.backdrop.depth * 0.6 + 1
        tall = float(np.exp(rng.uniform(np.log(0.3), np.log(3))))
        wide = tall * float(np.exp(rng.uniform(np.log(0.08), np.log(2))))
        x = float(rng.uniform(-1, 1)) * sampler._half_view(z)
        add(occluders.occluder(rng, photo(), tall, wide), tall, x, z)
    for _ in range(int(rng.poisson(0.5))):
        cutouts = pictures.cutouts[pictures.classes[int(rng.integers(len(pictures.classes)))]]
        silhouette = cutouts[int(rng.integers(len(cutouts)))].pixels[..., 3]
        tall = float(np.exp(rng.uniform(np.log(0.3), np.log(2))))
        z = sampler._depth(tall, tall, 0.0, False, len(silhouette))
        add(occluders.decoy(rng, photo(), silhouette), tall, float(rng.normal(0, 0.5)) * sampler._half_view(z), z)
    return tuple(found)


def _before(rng: Rng, thing: Thing, view: View, window: float) -> tuple[float, float, float, float]:
    """Height, width, x and z of an occluder that hides ``thing`` for 0.3 to 3 s, or partly."""
    time = float(rng.uniform(0.1, 0.9)) * window
    eye = view.camera(time).position.astype(np.float64)
    step, later = thing.journey.at(time), thing.journey.at(time + 0.1)
    speed = abs(later.x - step.x) / 0.1
    share = float(rng.uniform(0.45, 0.9))  # of the way from the eye to the thing
    x, z = eye[0] + share * (step.x - eye[0]), eye[2] + share * (step.z - eye[2])
    top = thing.lift + thing.sprite.height
    tall = eye[1] + (top - eye[1]) * share
    if speed and rng.uniform() < 0.65:
        seconds = float(np.exp(rng.uniform(*np.log(_HIDDEN_SECONDS))))
        wide = share * (1.1 * thing.sprite.width + speed * seconds)
        tall *= float(rng.uniform(1.05, 1.4))
    else:
        wide = share * thing.sprite.width * float(rng.uniform(0.15, 0.9))
        tall *= float(rng.uniform(0.4, 1.5))
    half_view = (z - eye[2]) * view.ride.width / 2 / view.ride.focal
    return max(tall, 0.1), float(np.clip(wide, 0.04, 0.8 * half_view)), float(x), float(z)
