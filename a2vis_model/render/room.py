"""The robot world's surroundings: floor, walls and sky, and the furniture that bodies pass behind."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from . import patterns
from .camera import Array, Camera, vector
from .mesh import Mesh, about_y, ball, cuboid, cylinder, merge
from .raster import NEAR
from .texture import Rng, Texture, mix, noise


@dataclass(frozen=True)
class Surface:
    """A textured rectangle `corner + a * across + b * down` with a and b in 0..1, vectors [3] in metres."""

    corner: Array
    across: Array
    down: Array
    image: NDArray[np.uint8]

    def paint(self, picture: NDArray[np.uint8], camera: Camera) -> None:
        """Draw the part in front of `camera` over `picture` [H, W, 3], in true perspective."""
        outline = np.stack(
            [
                self.corner,
                self.corner + self.across,
                self.corner + self.across + self.down,
                self.corner + self.down,
            ]
        )
        visible = _clip_near(camera.to_camera(outline))
        if len(visible) < 3:
            return
        polygon = camera.to_pixels(visible)
        left, top = np.maximum(np.floor(polygon.min(axis=0)), 0).astype(int).tolist()
        right, bottom = np.ceil(polygon.max(axis=0)).astype(int).tolist()
        right, bottom = min(right + 1, camera.width), min(bottom + 1, camera.height)
        if right <= left or bottom <= top:
            return
        rows, columns = self.image.shape[:2]
        sides = np.stack([self.across / columns, self.down / rows, self.corner - camera.position], axis=1)
        lens = np.array(
            [
                [camera.focal, 0, camera.centre[0] - left],
                [0, camera.focal, camera.centre[1] - top],
                [0, 0, 1],
            ],
            np.float64,
        )
        to_pixels = lens @ camera.rotation.astype(np.float64) @ sides.astype(np.float64)
        size = (right - left, bottom - top)
        view = cv2.warpPerspective(self.image, to_pixels, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillConvexPoly(mask, np.rint((polygon - vector(left, top)) * 16).astype(np.int32), 255, cv2.LINE_8, 4)
        cv2.copyTo(view, mask, picture[top:bottom, left:right])


def _clip_near(points: Array) -> Array:
    """Cut the polygon [n, 3] (camera coordinates) at the near plane."""
    kept = []
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        if a[2] > NEAR:
            kept.append(a)
        if (a[2] > NEAR) != (b[2] > NEAR):
            kept.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
    return np.array(kept, np.float32).reshape(-1, 3)


@dataclass(frozen=True)
class Surroundings:
    """Surfaces around the scene, far to near; `sky` uint8 RGB [H, W, 3] is seen where there is none."""

    surfaces: tuple[Surface, ...]
    sky: NDArray[np.uint8]

    def view(self, camera: Camera) -> NDArray[np.uint8]:
        """Draw the surroundings as `camera` sees them, uint8 RGB [H, W, 3]."""
        picture = self.sky.copy()
        for surface in self.surfaces:
            surface.paint(picture, camera)
        return picture


def shade_floor(picture: NDArray[np.uint8], camera: Camera, spots: list[tuple[Array, float]]) -> None:
    """Darken the floor under bodies: `spots` of (foot [3], radius in metres)."""
    angle = np.linspace(0, 2 * np.pi, 17, dtype=np.float32)[:-1]
    circle = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], axis=-1)
    for foot, radius in spots:
        ring = camera.to_camera(foot + circle * np.float32(radius))
        if ring[:, 2].min() <= NEAR:
            continue
        polygon = camera.to_pixels(ring)
        left, top = np.maximum(np.floor(polygon.min(axis=0)), 0).astype(int).tolist()
        right, bottom = np.ceil(polygon.max(axis=0)).astype(int).tolist()
        box = picture[top : max(bottom + 1, top), left : max(right + 1, left)]
        if box.size == 0:
            continue
        mask = np.zeros(box.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.rint((polygon - vector(left, top)) * 16).astype(np.int32), 255, cv2.LINE_8, 4)
        cv2.copyTo((box * np.float32(0.62)).astype(np.uint8), mask, box)


def _surface(corner: tuple[float, ...], across: tuple[float, ...], down: tuple[float, ...], image: Array) -> Surface:
    texels = np.clip(image * 255, 0, 255).astype(np.uint8)
    return Surface(vector(*corner), vector(*across), vector(*down), texels)


def indoors(rng: Rng, *, half_width: float, depth: float, ceiling: float, height: int, width: int) -> Surroundings:
    """Make a room from 3 m behind the camera to `depth` ahead of it."""
    floor = patterns.FLOORS[rng.integers(3)](rng, 512, 512)
    wall = patterns.WALLS[rng.integers(len(patterns.WALLS))]
    long, w, h = depth + 3, half_width, ceiling
    walls = [patterns.lived_in(rng, wall(rng, 160, 512)) for _ in range(3)]
    light = patterns.any_colour(rng, (0, 0.1), (0.75, 1))
    top = mix(patterns.plaster(rng, 64, 64), light, 0.8)
    surfaces = (
        _surface((-w, h, -3), (2 * w, 0, 0), (0, 0, long), top),
        _surface((-w, 0, -3), (2 * w, 0, 0), (0, 0, long), patterns.uneven(rng, floor)),
        _surface((w, h, depth), (-2 * w, 0, 0), (0, -h, 0), walls[0]),
        _surface((w, h, -3), (0, 0, long), (0, -h, 0), walls[1] * 0.9),
        _surface((-w, h, depth), (0, 0, -long), (0, -h, 0), walls[2] * 0.8),
    )
    return Surroundings(surfaces, np.full((height, width, 3), 120, np.uint8))


def outdoors(rng: Rng, *, half_width: float, depth: float, height: int, width: int) -> Surroundings:
    """Make a yard or street with house fronts at its end under a cloudy sky."""
    ground = (patterns.asphalt, patterns.grass, patterns.tiles)[rng.integers(3)](rng, 640, 640)
    rise = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    zenith = patterns.any_colour(rng, (0.05, 0.5), (0.6, 0.95))
    zenith[2] = max(zenith)
    sky = mix(np.broadcast_to(zenith, (height, width, 3)), (0.9, 0.92, 0.95), rise)
    sky = mix(sky, (1, 1, 1), 0.35 * np.clip(noise(rng, height, width, 120, 4), 0, 1))
    w, far = half_width * 3, depth * 1.3
    surfaces = [_surface((-w, 0, -5), (2 * w, 0, 0), (0, 0, far + 5), patterns.uneven(rng, ground))]
    edge = -w
    while edge < w:
        broad, tall = float(rng.uniform(0.3, 0.9)) * depth, float(rng.uniform(0.15, 0.5)) * depth
        front = patterns.lived_in(rng, patterns.facade(rng, 160, 320))
        surfaces.append(_surface((edge + broad, tall, far), (-broad, 0, 0), (0, -tall, 0), front))
        edge += broad * float(rng.uniform(1.0, 1.3))
    return Surroundings(tuple(surfaces), np.clip(sky * 255, 0, 255).astype(np.uint8))


def furniture(rng: Rng, *, unit: float, ceiling: float, outside: bool) -> tuple[Mesh, Texture, float]:
    """Make a piece of furniture: mesh with its foot in the origin, texture, and half its width in metres."""
    kind = int(rng.integers(5))
    if outside and kind == 1:
        kind = 4
    if kind == 0:
        radius = unit * float(rng.uniform(0.15, 0.5))
        pillar = (
            cylinder(radius, ceiling, 14, 4)
            if rng.uniform() < 0.5
            else cuboid((2 * radius, ceiling, 2 * radius), 4).moved(offset=(0, ceiling / 2, 0))
        )
        return pillar, Texture.of(patterns.WALLS[rng.integers(4)](rng, 128, 128)), radius
    if kind == 1:
        broad, long, tall = (unit * float(rng.uniform(*span)) for span in ((0.9, 1.8), (0.5, 0.9), (0.55, 0.95)))
        top = cuboid((broad, 0.05 * unit, long), 2).moved(offset=(0, tall, 0))
        legs = [
            cuboid((0.06 * unit, tall, 0.06 * unit)).moved(offset=(x * broad * 0.45, tall / 2, z * long * 0.42))
            for x in (-1, 1)
            for z in (-1, 1)
        ]
        return merge([*legs, top]), Texture.of(patterns.planks(rng, 128, 128)), broad / 2
    if kind == 2:
        broad, tall = unit * float(rng.uniform(0.9, 1.8)), unit * float(rng.uniform(1.5, 2.2))
        panel = cuboid((broad, tall, 0.06 * unit), 3).moved(offset=(0, tall / 2, 0))
        panel = panel.moved(about_y(float(rng.uniform(-0.5, 0.5))))
        image = patterns.planks(rng, 128, 128) if rng.uniform() < 0.5 else patterns.plaster(rng, 128, 128)
        frame = np.zeros((128, 128), np.float32)
        cv2.rectangle(frame, (14, 10), (113, 117), 1.0, 5)
        return panel, Texture.of(mix(image, image * 0.6, frame)), broad / 2
    if kind == 3:
        broad, tall, deep = (unit * float(rng.uniform(*span)) for span in ((0.6, 1.6), (0.7, 2.0), (0.4, 0.6)))
        cabinet = cuboid((broad, tall, deep), 3).moved(offset=(0, tall / 2, 0))
        image = patterns.paint(rng, 128)
        shelf = (np.arange(128) % (128 // int(rng.integers(2, 5))) < 5)[:, None] * np.ones((1, 128), np.float32)
        return cabinet, Texture.of(mix(image, image * 0.4, shelf)), broad / 2
    radius = unit * float(rng.uniform(0.35, 0.8))
    bush = ball(radius, 14, 9)
    lumps = 1 + 0.2 * np.sin(bush.vertices * (6 / radius)).sum(axis=1, keepdims=True) / 2
    bush = Mesh(bush.vertices * lumps.astype(np.float32), bush.normals, bush.uv, bush.faces, bush.sheet)
    trunk = cylinder(0.2 * radius, 0.9 * radius, 8)
    leaves = patterns.grass(rng, 128, 128)
    return merge([trunk, bush.moved(offset=(0, 1.5 * radius, 0))]), Texture.of(leaves), radius
