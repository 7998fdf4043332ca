"""A fish of a video: its mesh, the bending of its body, its orbit through the tank and its colours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from .camera import Array, cross, unit, vector
from .mesh import Mesh, grid, merge
from .species import ATLAS, FIN_ROWS, SPECIES, Columns, Species, body_line, flank_heights
from .texture import Rng, Texture, mix, plain, turn_hue

_RINGS = np.array(
    (0, 0.02, 0.05, 0.09, 0.14, 0.2, 0.28, 0.36, 0.44, 0.52, 0.6, 0.68, 0.76, 0.84, 0.92, 1.0), np.float32
)
_SIDES = 14
_CENTRE = 0.45  # Position along the body, as a share of its length from the nose, about which it bends and turns.
_FLANK_V = ATLAS[0] / (ATLAS[0] + FIN_ROWS)
_Y_CLOCK = 0.556  # Factor by which fish rise and sink more slowly than they circle.
_HUE_STEP = 45.0
_FLOOR_CLEARANCE = 1.5


@cache
def fish_mesh(class_id: int) -> Mesh:
    """Make the species' mesh in its own units: x to its right, y up, z towards the nose, origin where it bends."""
    species = SPECIES[class_id]
    s = _RINGS * species.profile[-1][0]
    top, bottom, half_width = (values[:, None] for values in body_line(species, s))
    angle = np.arange(_SIDES, dtype=np.float32)[None, :] * np.float32(2 * np.pi / _SIDES)
    rise = (1 + np.cos(angle)) / 2 * np.ones_like(top)
    points = np.stack(
        [
            half_width * np.sin(angle),
            bottom + rise * (top - bottom),
            (_CENTRE - s[:, None]) * np.ones_like(rise),
        ],
        axis=-1,
    )
    # The flank's texture is its picture from the side; this map is affine, so it joins smoothly from face to face.
    first, last = flank_heights(species)
    v = (first - points[..., 1]) / (first - last) * (_FLANK_V - 0.01)
    uv = np.stack([s[:, None] * np.ones_like(rise), v], axis=-1)
    body = grid(points, uv, closed=True)
    outward = float((body.normals[:, :2] * points.reshape(-1, 3)[:, :2]).sum()) > 0
    if not outward:
        body = replace(body, normals=-body.normals, faces=np.ascontiguousarray(body.faces[:, ::-1]))
    parts = [body, *(_fin(species, columns, 0.0, 0.0) for columns in species.fins)]
    for columns, splay in species.paired_fins:
        root = 0.6 * float(body_line(species, vector(columns[0][0]))[2][0])
        parts += [_fin(species, columns, root, splay), _fin(species, columns, -root, -splay)]
    if species.hammer:
        parts.append(_hammer(species))
    whole = merge(parts)
    return replace(whole, vertices=whole.vertices * np.float32(species.length))


def _fin(species: Species, columns: Columns, root: float, splay: float) -> Mesh:
    """Make a sheet between the columns' bases, `root` beside the middle plane, and their edges, `splay` further out."""
    c = np.array(columns, np.float32)
    # It is rooted inside the body, which is drawn over it, so that no gap opens when the body bends.
    top, bottom, _ = body_line(species, c[:, 0])
    c[:, 1] += (0.15 if root else 0.5) * ((top + bottom) / 2 - c[:, 1])
    side = np.broadcast_to(vector(root, root + splay), (len(c), 2))
    points = np.stack([side, c[:, [1, 3]], _CENTRE - c[:, [0, 2]]], axis=-1)
    u = np.broadcast_to(np.linspace(0.02, 0.98, len(c), dtype=np.float32)[:, None], (len(c), 2))
    v = np.broadcast_to(vector(_FLANK_V + 0.03, 0.99), (len(c), 2))
    return grid(points, np.stack([u, v], axis=-1), sheet=True)


def _hammer(species: Species) -> Mesh:
    x = np.linspace(-1, 1, 5, dtype=np.float32)[:, None] * np.ones((1, 2), np.float32)
    s = vector(0.005, 0.065) + 0.025 * np.abs(x)
    y = -0.03 + 0.006 * x**2
    points = np.stack([x * np.float32(species.hammer), y, _CENTRE - s], axis=-1)
    uv = np.stack([0.12 + 0.02 * x, np.full_like(x, 0.35)], axis=-1)
    sheet = grid(points, uv, sheet=True)
    # A real one is rounded: it is lit from the front too, unlike the thin board used here.
    return replace(sheet, normals=np.broadcast_to(vector(0, 0.5, 0.87), sheet.normals.shape))


@cache
def _base_texture(class_id: int) -> Array:
    species = SPECIES[class_id]
    return species.paint(species, np.random.default_rng(class_id)) * np.float32(species.brightness)


def fish_texture(class_id: int, rng: Rng) -> Texture:
    """Make the species' colouring, turned by one of eight hue steps, with random tones."""
    image = _base_texture(class_id)
    colourful = SPECIES[class_id].colourful
    if colourful == 0:
        return Texture.of(image * np.float32(rng.uniform(0.92, 1.08)))
    hue = _HUE_STEP * rng.integers(8) + rng.normal(0, 8)
    if colourful < 1:
        # Grey fish take on a cast of the hue: turning the little colour they have would leave them alike.
        cast = turn_hue(plain(1, 1, (1.0, 0.6, 0.55)), hue)[0, 0]
        image = mix(image, image * (cast / cast.mean()), colourful * rng.uniform(0.1, 1.0))
    else:
        image = turn_hue(image, hue, rng.uniform(0.35, 1.0))
    return Texture.of(image * np.float32(rng.uniform(0.85, 1.15)))


@dataclass(frozen=True)
class Fish:
    """A swimming fish.

    `radii` [2] are along x and z, `rise` is the motion up and down about `height`, all in the tank's units. `phase` is
    in radians and `clock_speed` in radians per second, negative when the fish circles the other way.
    """

    id: int
    class_id: int
    scale: float
    build: Array  # Stretch of the body [3], near one.
    speed: float
    clock_speed: float
    phase: float
    radii: tuple[float, float]
    height: float
    rise: float
    colour_seed: int

    @property
    def species(self) -> Species:
        """Species of the fish."""
        return SPECIES[self.class_id]

    def position(self, time: float) -> Array:
        """Return the position of its centre after `time` seconds."""
        clock = self.phase + time * self.clock_speed
        y = np.sin(clock * _Y_CLOCK) * self.rise + self.height
        return vector(
            float(np.sin(clock)) * self.radii[0],
            max(float(y), _FLOOR_CLEARANCE),
            float(np.cos(clock)) * self.radii[1],
        )

    def body(self, time: float) -> tuple[Array, Array]:
        """Return world vertices and normals [V, 3] of the bent body after `time` seconds."""
        mesh = fish_mesh(self.class_id)
        species = self.species
        local, normals = mesh.vertices * self.build, mesh.normals.copy()
        beat = np.float32((time * species.tail_beat * self.speed + self.phase) % (2 * np.pi))
        stretch = np.where(local[:, 2] > 0, np.float32(0.1), np.float32(-0.2))
        m = local[:, 2] * stretch
        sine, cosine = np.sin(beat + m * species.wave), np.cos(beat + m * species.wave)
        local[:, 0] += m * m * sine * species.bend
        normals[:, 2] -= (2 * m * sine + m * m * species.wave * cosine) * stretch * species.bend * normals[:, 0]
        frame = self._frame(time)
        return local @ (frame * np.float32(self.scale)) + self.position(time), normals @ frame

    def _frame(self, time: float) -> Array:
        """Return the fish's right, up and forward in the world as rows, [3, 3]."""
        forward = self.position(time + 0.02) - self.position(time - 0.02)
        forward = unit(forward + vector(0, 0, 1e-6))
        right = unit(vector(forward[2], 0, -forward[0]))
        return np.stack([right, cross(forward, right), forward])


def sample_fish(
    rng: Rng, *, fish_id: int, class_id: int, phase: float, speed: float, height: float, height_range: float
) -> Fish:
    """Sample a fish with the habits of its species; `speed` and `height_range` are multipliers of the video."""
    species = SPECIES[class_id]
    own_speed = species.speed[0] + rng.uniform() * species.speed[1]
    turning = 1.0 if rng.uniform() < 0.5 else -1.0
    return Fish(
        id=fish_id,
        class_id=class_id,
        scale=float(rng.uniform(*species.size_range)),
        build=(1 + 0.05 * rng.standard_normal(3)).clip(0.9, 1.1).astype(np.float32),
        speed=own_speed,
        clock_speed=turning * own_speed * speed,
        phase=phase,
        radii=(
            species.radius[0] + rng.uniform() * species.radius[1],
            species.radius[0] + rng.uniform() * species.radius[1],
        ),
        height=height + species.height[0],
        rise=2 + rng.uniform() * height_range * species.height[1],
        colour_seed=int(rng.integers(2**32)),
    )
