"""The tank of the aquarium: its wall, floor and light, and the things on the floor that fish pass behind.

Everything here stands still before a fixed camera, so it is rendered once per video.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Array, Camera, vector
from .compositor import Layer
from .mesh import Mesh, about_y, ball, cuboid, cylinder, merge
from .raster import Patch, Tone, rasterise
from .texture import Rng, Texture, mix, noise, plain

WALL_RADIUS = 88.0


@dataclass(frozen=True)
class Water:
    """Light and fog of a video; colours are RGB [3] in 0..1, the lamp is in camera coordinates."""

    fog_colour: Array
    ambient: Array
    fog_power: float
    fog_multiplier: float
    fog_offset: float
    lamp: Array

    def fog(self, depth: Array | float) -> Array:
        """Return the share of fog in 0..1 at camera depths, after FISHBOWL's curve."""
        clear = np.maximum(1 - 1.6 / np.maximum(np.asarray(depth, np.float32), 1.6), 0)
        return np.clip(clear**self.fog_power * self.fog_multiplier - self.fog_offset, 0, 1)

    def tone(self, depth: float) -> Tone:
        """Return the light on an object at a camera depth."""
        return Tone(lamp=self.lamp, ambient=self.ambient, fog_colour=self.fog_colour, fog=float(self.fog(depth)))


def tank(rng: Rng, camera: Camera, water: Water) -> NDArray[np.uint8]:
    """Draw the empty tank, uint8 [H, W, 3]: a round wall with pillars, louvres and glints, and a sandy floor."""
    rays = camera.rays()
    eye = camera.position
    horizontal = rays[..., 0] ** 2 + rays[..., 2] ** 2
    toward = eye[0] * rays[..., 0] + eye[2] * rays[..., 2]
    inside = WALL_RADIUS**2 - float(eye[0] ** 2 + eye[2] ** 2)
    depth = (np.sqrt(toward**2 + horizontal * inside) - toward) / np.maximum(horizontal, 1e-6)
    hit = eye + rays * depth[..., None]
    along = np.arctan2(hit[..., 0], hit[..., 2]) * WALL_RADIUS
    # The picture spans at most a third of the circle: the seam of the angle is shifted out of it.
    along = (along - float(np.median(along)) + np.pi * WALL_RADIUS) % (2 * np.pi * WALL_RADIUS)
    bank = 3 + 1.2 * np.sin(along / 9 + rng.uniform(0, 6)) + 0.8 * np.sin(along / 4 + rng.uniform(0, 6))
    floor = hit[..., 1] < bank
    colour = mix(_wall(rng, along, hit[..., 1]), _floor(rng, camera, rays), floor.astype(np.float32))
    floor_depth = np.where(rays[..., 1] < -1e-3, -eye[1] / np.minimum(rays[..., 1], -1e-3), depth)
    fog = water.fog(np.where(floor, np.minimum(floor_depth, depth), depth))
    colour = mix(colour * (0.55 + water.ambient), water.fog_colour, fog)
    return np.clip(colour * 255, 0, 255).astype(np.uint8)


def _wall(rng: Rng, along: Array, y: Array) -> Array:
    """Return the colour [H, W, 3] of the wall at angle `along` and height `y`, [H, W] each."""
    rows, columns = along.shape
    blur = noise(rng, rows, columns, 90, 4)
    ripple = noise(rng, rows, columns, 26, 2)
    colour = plain(rows, columns, (0.22, 0.48, 0.60)) * (1 + 0.10 * blur)[..., None]
    bands = noise(rng, 1, columns, 14, 4, 0.8)[0]
    streak = np.interp(along, np.linspace(along.min(), along.max(), columns), bands).astype(np.float32)
    colour *= (1 + 0.08 * streak * np.clip(0.8 + 0.5 * blur, 0, 1))[..., None]
    period = rng.uniform(20, 38)
    wobble = 0.35 * np.sin(y / 1.3 + 3 * ripple) + 0.5 * np.sin(y / 5 + ripple)
    place = (along + wobble) / period
    bay = np.floor(place)
    within = place - bay
    chance = np.random.default_rng(rng.integers(2**32)).random((64, 4), dtype=np.float32)
    lot = chance[bay.astype(np.int64) % 64]
    # Louvres: fine level lines in the upper part of some bays.
    level = y + 0.5 * np.sin(along / 6) + 0.3 * ripple
    louvre = (np.sin(level * (3.2 + lot[..., 0])) > 0.1) & (lot[..., 1] < 0.75) & (within > 0.14) & (within < 0.92)
    louvre &= y > 16 + 22 * lot[..., 2]
    colour = mix(colour, (0.36, 0.66, 0.78), 0.30 * louvre)
    pane = (within > 0.14) & (within < 0.92) & ((level + 4 * lot[..., 1]) % 26 < 20)
    colour = mix(colour, (0.10, 0.30, 0.42), 0.22 * pane)
    arch = np.abs((level + 1.2 * np.sin(2 * np.pi * within + 6 * lot[..., 0])) % 26 - 23) < 0.5
    colour = mix(colour, (0.45, 0.75, 0.85), 0.20 * arch * np.clip(0.6 + blur, 0, 1))
    # Glints along the pillars: thin bright wavering lines, in pairs.
    broken = np.clip(0.75 + 0.45 * np.sin(y / 2.1 + 5 * ripple + 9 * lot[..., 3]), 0, 1)
    for offset, width, strength in (
        (0.02, 0.016, 0.8),
        (0.065, 0.012, 0.6),
        (0.09, 0.007, 0.4),
        (0.98, 0.008, 0.4),
    ):
        glint = np.clip(1 - np.abs(within - offset) / width, 0, 1) * broken * (lot[..., 0] < 0.8)
        colour = mix(colour, (0.72, 0.95, 1.0), strength * np.minimum(glint * 1.6, 1))
    colour = mix(colour, (0.36, 0.64, 0.74), 0.25 * ((within < 0.07) & (within > 0.015)))
    low = np.clip((26 - y) / 26, 0, 1)
    return mix(colour, (0.14, 0.36, 0.44), 0.35 * low)


def _floor(rng: Rng, camera: Camera, rays: Array) -> Array:
    """Return the colour [H, W, 3] of the sand where each ray meets y = 0, with light playing on it."""
    grain = 3.0  # Texels per unit; the texture spans the whole tank, so that it has no seam.
    size = round(2 * grain * WALL_RADIUS)
    depth = -camera.position[1] / np.minimum(rays[..., 1], -1e-3)
    ground = camera.position[[0, 2]] + rays[..., [0, 2]] * depth[..., None]
    # Rays above the horizon meet no floor; OpenCV is slow far outside of a picture.
    pixels = np.clip((ground + WALL_RADIUS) * grain, 0, size - 1).astype(np.float32)
    sand = noise(rng, size, size, 20, 4, 0.7)
    play = np.clip(1.2 - 3 * np.abs(noise(rng, size, size, 50, 2)), 0, 1)
    texture = plain(size, size, (0.16, 0.44, 0.42)) * (1 + 0.16 * sand)[..., None]
    texture = mix(texture, (0.42, 0.74, 0.62), 0.35 * play)
    return np.asarray(
        cv2.remap(texture, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.float32,
    )


def render_prop(mesh: Mesh, place: Array, texture: Texture, camera: Camera, water: Water) -> Layer | None:
    """Draw a standing thing with its foot at `place` in the world."""
    depth = float(camera.to_camera(place)[2])
    points = camera.to_camera(mesh.vertices + place)
    # Scenery is lit more from the front than fish are: otherwise a near column would be a black bar.
    tone = replace(water.tone(depth), power=0.9, lamp=water.lamp + vector(0, 0, -25))
    patch = rasterise(mesh, points, mesh.normals @ camera.rotation.T, texture, tone, camera)
    return None if patch is None else Layer(depth, patch)


def rock(rng: Rng, radius: float, height: float | None = None) -> tuple[Mesh, Texture]:
    """Make a boulder, half sunk; as high as its radius, or a crag of that `height`."""
    body = ball(1.0, sides=24, rows=14)
    directions = body.vertices
    bump = np.zeros(len(directions), np.float32)
    for frequency, strength in ((1.3, 0.30), (2.6, 0.16), (5.0, 0.08)):
        axes = rng.standard_normal((3, 3)).astype(np.float32) * frequency
        bump += strength * np.sin(directions @ axes + rng.uniform(0, 6, 3).astype(np.float32)).mean(axis=1) * 1.7
    stretch = vector(rng.uniform(0.9, 1.5), rng.uniform(0.6, 1.1), rng.uniform(0.9, 1.3))
    size = vector(radius, radius, radius) if height is None else vector(radius, height / float(stretch[1]), radius)
    vertices = directions * (1 + bump)[:, None] * stretch * size
    normals = body.normals + 0.22 * rng.standard_normal(body.normals.shape).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    # Veins run where noise crosses zero.
    vein = np.clip(1 - 2.2 * np.abs(noise(rng, 128, 256, 30, 4, 0.7)), 0, 1)
    crack = np.clip(1 - 6 * np.abs(noise(rng, 128, 256, 44, 4)), 0, 1)
    image = plain(128, 256, (0.34, 0.50, 0.48)) * (1 + 0.22 * noise(rng, 128, 256, 40, 6, 0.8))[..., None]
    image = mix(image, (0.58, 0.72, 0.66), 0.55 * vein)
    image = mix(image, (0.12, 0.22, 0.20), 0.6 * crack)
    image = mix(image, (0.38, 0.46, 0.18), 0.5 * np.clip(noise(rng, 128, 256, 60, 3), 0, 1))
    return replace(body, vertices=vertices, normals=normals), Texture.of(image * np.float32(rng.uniform(0.75, 1.2)))


def column(rng: Rng, radius: float, height: float) -> tuple[Mesh, Texture]:
    """Make a fluted column on a plinth; some have lost their capital."""
    parts = [
        cylinder(radius, height, 14, 3),
        cuboid((3 * radius, 0.8 * radius, 3 * radius)).moved(offset=(0, 0.4 * radius, 0)),
    ]
    if rng.uniform() < 0.6:
        parts.append(cuboid((2.9 * radius, 0.9 * radius, 2.9 * radius)).moved(offset=(0, height, 0)))
    flutes = np.sin(np.linspace(0, 2 * np.pi * 14, 128, dtype=np.float32))[None, :] * np.ones((128, 1), np.float32)
    image = plain(128, 128, (0.40, 0.54, 0.56)) * (1 + 0.14 * flutes + 0.13 * noise(rng, 128, 128, 30, 4))[..., None]
    image = mix(image, (0.25, 0.38, 0.38), 0.6 * (np.arange(128) % 43 < 2)[:, None] * np.ones((1, 128)))
    return merge(parts), Texture.of(image * np.float32(rng.uniform(0.8, 1.15)))


def submarine(rng: Rng, length: float) -> tuple[Mesh, Texture]:
    """Make a sunken hull lying on its keel, with a tower."""
    radius = length * 0.1
    lying = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]], np.float32)
    hull = cylinder(radius, length, 14, 4).moved(offset=(0, -length / 2, 0)).moved(lying, (0, 0.7 * radius, 0))
    tower = cuboid((length * 0.18, radius * 1.6, radius * 1.1)).moved(offset=(0.1 * length, 2.2 * radius, 0))
    image = plain(128, 128, (0.30, 0.46, 0.48)) * (1 + 0.15 * noise(rng, 128, 128, 40, 4))[..., None]
    seams = (np.arange(128) % 21 == 0)[None, :] | (np.arange(128) % 32 == 0)[:, None]
    image = mix(image, (0.2, 0.24, 0.26), 0.6 * seams)
    return merge([hull, tower]).moved(about_y(rng.uniform(-0.5, 0.5))), Texture.of(image)


class _Drawing:
    """Flat things drawn directly into the picture, at one depth: corals, weeds, rigging."""

    def __init__(self, camera: Camera, foot: Array) -> None:
        self._camera = camera
        self.depth = float(camera.to_camera(foot)[2])
        self._scale = camera.focal / max(self.depth, 1.0)
        self._foot = camera.to_pixels(camera.to_camera(foot)[None])[0]
        self._mask = np.zeros((camera.height, camera.width), np.uint8)
        self._colour = np.zeros((camera.height, camera.width, 3), np.float32)

    def polygon(self, points: Array, colour: Array) -> None:
        """Fill `points` [n, 2] (right, up) from the foot, in the tank's units, with RGB [3] in 0..1."""
        pixels = np.rint((self._foot + points * vector(self._scale, -self._scale)) * 16).astype(np.int32)
        cv2.fillPoly(self._mask, [pixels], 255, cv2.LINE_8, 4)
        cv2.fillPoly(self._colour, [pixels], tuple(float(c) for c in colour), cv2.LINE_8, 4)

    def stroke(self, start: Array, end: Array, width: tuple[float, float], colour: Array) -> None:
        """Draw a tapering line."""
        across = (end - start)[::-1] * vector(1, -1) / max(float(np.hypot(*(end - start))), 1e-6) / 2
        least = 0.8 / self._scale
        a, b = across * max(width[0], least), across * max(width[1], least)
        self.polygon(np.stack([start + a, end + b, end - b, start - a]), colour)

    def layer(self, rng: Rng, water: Water) -> Layer | None:
        x, y, w, h = cv2.boundingRect(self._mask)
        if w == 0 or h == 0:
            return None
        box = slice(y, y + h), slice(x, x + w)
        grain = 1 + 0.12 * noise(rng, h, w, 6, 2)
        colour = self._colour[box] * grain[..., None] * (0.55 + water.ambient)
        colour = mix(colour, water.fog_colour, float(water.fog(self.depth)))
        patch = Patch(y, x, self._mask[box] > 0, np.clip(colour * 255, 0, 255).astype(np.uint8))
        return Layer(self.depth, patch)


def coral(rng: Rng, camera: Camera, foot: Array, size: float, water: Water) -> Layer | None:
    """Draw a branching coral, `size` high."""
    drawing = _Drawing(camera, foot)
    colour = vector(rng.uniform(0.75, 0.95), rng.uniform(0.15, 0.4), rng.uniform(0.2, 0.4))

    def branch(start: Array, angle: float, length: float, width: float) -> None:
        end = start + vector(np.sin(angle), np.cos(angle)) * np.float32(length)
        drawing.stroke(start, end, (width, width * 0.75), colour * np.float32(rng.uniform(0.75, 1.1)))
        if length > 0.12 * size:
            for side in (-1, 1):
                branch(end, angle + side * rng.uniform(0.2, 0.65), length * rng.uniform(0.6, 0.82), width * 0.72)

    for _ in range(int(rng.integers(2, 4))):
        branch(np.zeros(2, np.float32), rng.uniform(-0.6, 0.6), size * 0.33, size * 0.06)
    return drawing.layer(rng, water)


def weed(rng: Rng, camera: Camera, foot: Array, height: float, water: Water) -> Layer | None:
    """Draw a bunch of leafy stalks."""
    drawing = _Drawing(camera, foot)
    green = vector(rng.uniform(0.12, 0.3), rng.uniform(0.38, 0.55), rng.uniform(0.2, 0.3))
    for _ in range(int(rng.integers(2, 5))):
        tall = height * rng.uniform(0.6, 1.0)
        leaf = rng.uniform(0.5, 0.9)
        rise = np.linspace(0, tall, max(6, int(tall / leaf)), dtype=np.float32)
        sway = rng.uniform(-1.5, 1.5) + rng.uniform(0.3, 0.8) * np.sin(rise / rng.uniform(1.5, 3) + rng.uniform(0, 6))
        stalk = np.stack([sway * np.minimum(rise / 3, 1) + rng.uniform(-1, 1), rise], axis=-1).astype(np.float32)
        shade = green * np.float32(rng.uniform(0.7, 1.2))
        for i in range(len(stalk) - 1):
            drawing.stroke(stalk[i], stalk[i + 1], (0.25, 0.22), shade * np.float32(0.8))
            for side in (-1, 1):
                tip = stalk[i] + vector(side * leaf * 1.3, leaf * 1.2)
                root = stalk[i] + vector(0, leaf * 0.7)
                drawing.polygon(np.stack([stalk[i], tip, root]), shade * np.float32(rng.uniform(0.85, 1.15)))
    return drawing.layer(rng, water)


def wreck(rng: Rng, camera: Camera, foot: Array, length: float, water: Water) -> Layer | None:
    """Draw a sunken sailing ship seen from its side: hull, deck house, masts and yards."""
    drawing = _Drawing(camera, foot)
    side = 1 if rng.uniform() < 0.5 else -1
    lean = rng.uniform(-0.12, 0.12)
    wood = vector(0.26, 0.36, 0.40) * np.float32(rng.uniform(0.8, 1.1))

    def at(x: float, y: float) -> Array:
        return vector(side * (x + lean * y) * length, y * length)

    hull = [
        (-0.5, 0.2),
        (-0.42, 0.04),
        (-0.3, -0.03),
        (0.25, -0.03),
        (0.42, 0.08),
        (0.55, 0.24),
        (0.3, 0.14),
        (-0.3, 0.13),
    ]
    drawing.polygon(np.stack([at(*p) for p in hull]), wood)
    for y in (0.02, 0.06, 0.1):
        drawing.stroke(at(-0.42, y + 0.02), at(0.42, y + 0.03), (0.15, 0.15), wood * np.float32(0.65))
    drawing.polygon(
        np.stack([at(*p) for p in ((-0.45, 0.15), (-0.43, 0.27), (-0.25, 0.25), (-0.25, 0.12))]),
        wood * np.float32(0.85),
    )
    for x, tall in ((-0.2, 0.5), (0.08, 0.72), (0.3, 0.45)):
        drawing.stroke(at(x, 0.1), at(x + 0.02, tall), (0.7, 0.4), wood * np.float32(0.8))
        for y in (0.55, 0.8):
            tilt = rng.uniform(-0.08, 0.08)
            drawing.stroke(
                at(x - 0.13, tall * y - tilt),
                at(x + 0.15, tall * y + tilt),
                (0.35, 0.25),
                wood * np.float32(0.75),
            )
    return drawing.layer(rng, water)
