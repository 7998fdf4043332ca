"""The five moving bodies of the robot world: meshes in parts, and the motion of the parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import patterns
from .camera import Array, vector
from .mesh import Mesh, about_x, about_y, ball, cuboid, cylinder, limb, merge
from .texture import Rng, Texture

Placement = tuple[Array, Array]
"""Rotation [3, 3] and offset [3] of a part in the body's frame: x to its right, y up, z ahead."""

Gait = Callable[[float, float], Sequence[Placement]]
"""Function from metres travelled and seconds to the placements of all parts."""

_CELL = 64  # Side of an atlas cell in texels.
_CELLS = 4  # Number of cells along a side of the atlas.


@dataclass(frozen=True)
class Body:
    """A body of several parts.

    Attributes:
        mesh: mesh [V] with each vertex in the frame of its part.
        width: width in metres.
    """

    mesh: Mesh
    part: NDArray[np.intp]
    texture: Texture
    gait: Gait
    reach: float  # Distance in metres from the middle of the foot within which everything is.
    width: float

    def shape(self, travelled: float, time: float) -> tuple[Array, Array]:
        """Return vertices and normals [V, 3] in the body's frame, with its foot in the origin."""
        placements = self.gait(travelled, time)
        rotations = np.stack([rotation for rotation, _ in placements])[self.part]
        offsets = np.stack([offset for _, offset in placements])[self.part]
        vertices = np.einsum("vij,vj->vi", rotations, self.mesh.vertices) + offsets
        return vertices, np.einsum("vij,vj->vi", rotations, self.mesh.normals)


_STILL = np.eye(3, dtype=np.float32)
_ON_SIDE = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)  # Axis of a standing drum, to the right.


def _build(parts: Sequence[tuple[Mesh, int]], cells: Sequence[Array], gait: Gait, reach: float, width: float) -> Body:
    """Build a body of `parts`, each with the number of its atlas cell."""
    side = _CELL * _CELLS
    atlas = np.zeros((side, side, 3), np.float32)
    meshes = []
    for number, image in enumerate(cells):
        row, column = divmod(number, _CELLS)
        atlas[row * _CELL : (row + 1) * _CELL, column * _CELL : (column + 1) * _CELL] = image
    inset = 2 / side  # The margin keeps the neighbouring cell out of the interpolation.
    for mesh, number in parts:
        row, column = divmod(number, _CELLS)
        u, v = column / _CELLS, row / _CELLS
        meshes.append(mesh.in_cell((u + inset, v + inset, u + 1 / _CELLS - inset, v + 1 / _CELLS - inset)))
    index = np.repeat(np.arange(len(parts)), [len(m.vertices) for m in meshes])
    return Body(merge(meshes), index, Texture.of(atlas, halvings=2), gait, reach, width)


def person(rng: Rng) -> Body:
    """Make a walker of ten limbs, torso and head."""
    tall = float(rng.uniform(1.45, 1.95))
    stout = float(rng.uniform(0.85, 1.3))
    thigh, shin, upper, lower = 0.245 * tall, 0.235 * tall, 0.17 * tall, 0.16 * tall
    hip, shoulder = thigh + shin + 0.03 * tall, 0.82 * tall
    torso = limb(0.095 * tall * stout, 0.085 * tall * stout, shoulder - hip, 10)
    torso = Mesh(torso.vertices * vector(1.25, 1, 0.75), torso.normals, torso.uv, torso.faces, torso.sheet)
    leg = (
        limb(0.05 * tall * stout, 0.036 * tall * stout, thigh, 7),
        limb(0.036 * tall * stout, 0.026 * tall, shin, 7),
    )
    arm = (
        limb(0.032 * tall * stout, 0.026 * tall * stout, upper, 6),
        limb(0.026 * tall, 0.02 * tall, lower, 6),
    )
    foot = cuboid((0.05 * tall, 0.03 * tall, 0.14 * tall)).moved(offset=(0, -shin - 0.015 * tall, 0.035 * tall))
    skull = ball(0.066 * tall, 10, 7).moved(offset=(0, 0.93 * tall, 0))
    bare = rng.uniform() < 0.4
    parts = [(torso, 0), (skull, 2)]
    for _ in range(2):
        parts += [(leg[0], 1), (leg[1], 1), (foot, 4), (arm[0], 0), (arm[1], 3 if bare else 0)]
    cells = [
        patterns.cloth(rng),
        patterns.cloth(rng),
        patterns.head(rng),
        patterns.skin(rng),
        patterns.cloth(rng),
    ]
    swing, bend = float(rng.uniform(0.4, 0.65)), float(rng.uniform(0.5, 1.0))
    stride = 0.8 * tall
    hold = float(rng.uniform(0, 1.3))  # Angle of the elbows.

    def gait(travelled: float, time: float) -> list[Placement]:
        phase = 2 * np.pi * travelled / stride
        bob = vector(0, 0.012 * tall * float(np.cos(2 * phase)), 0)
        placements: list[Placement] = [(_STILL, vector(0, shoulder, 0) + bob), (_STILL, bob)]
        for side, shift in ((-1, 0.0), (1, np.pi)):
            thigh_angle = swing * np.sin(phase + shift)
            knee = bend * max(0.0, float(np.cos(phase + shift)))
            hip_at = vector(side * 0.055 * tall * stout, hip, 0) + bob
            thigh_turn, shin_turn = about_x(thigh_angle), about_x(thigh_angle - knee)
            knee_at = hip_at + thigh_turn @ vector(0, -thigh, 0)
            arm_angle = -0.8 * thigh_angle
            arm_turn, hand_turn = about_x(arm_angle), about_x(arm_angle + hold)
            shoulder_at = vector(side * 0.125 * tall * stout, shoulder, 0) + bob
            elbow_at = shoulder_at + arm_turn @ vector(0, -upper, 0)
            placements += [(thigh_turn, hip_at), (shin_turn, knee_at), (shin_turn, knee_at)]
            placements += [(arm_turn, shoulder_at), (hand_turn, elbow_at)]
        return placements

    return _build(parts, cells, gait, 1.05 * tall, 0.45)


def vehicle(rng: Rng, scale: float = 1.0) -> Body:
    """Make a car, van or cart on four wheels; `scale` is 1 for a real car."""
    long, wide = scale * float(rng.uniform(3.2, 4.8)), scale * float(rng.uniform(1.5, 1.9))
    wheel, low = scale * float(rng.uniform(0.28, 0.38)), scale * float(rng.uniform(0.55, 0.8))
    high, cab = scale * float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.4, 0.75))
    hull = cuboid((wide, low, long), 3).moved(offset=(0, wheel + low / 2 - 0.1 * scale, 0))
    cabin = cuboid((wide * 0.9, high, long * cab), 2)
    taper = np.where(cabin.vertices[:, 1:2] > 0, vector(0.85, 1, 0.7), np.float32(1))
    cabin = Mesh(cabin.vertices * taper, cabin.normals, cabin.uv, cabin.faces, cabin.sheet)
    cabin = cabin.moved(offset=(0, wheel + low - 0.1 * scale + high / 2, long * float(rng.uniform(-0.12, 0.05))))
    drum = cylinder(wheel, 0.25 * scale, 10).moved(offset=(0, -0.125 * scale, 0))
    closed = merge([drum, drum.moved(np.diag([1.0, -1.0, -1.0]))]).moved(_ON_SIDE)
    parts = [(hull, 0), (cabin, 1)] + [(closed, 2)] * 4

    def gait(travelled: float, time: float) -> list[Placement]:
        spin = about_x(travelled / wheel)
        corners = [vector(x * wide * 0.46, wheel, z * long * 0.32) for x in (-1, 1) for z in (-1, 1)]
        return [(_STILL, vector(0, 0, 0)), (_STILL, vector(0, 0, 0)), *((spin, corner) for corner in corners)]

    cells = [patterns.paint(rng), patterns.glass(rng), patterns.tyre(rng)]
    return _build(parts, cells, gait, float(np.hypot(long, wide)) * 0.75, wide)


def box(rng: Rng) -> Body:
    """Make a crate or carton."""
    size = rng.uniform(0.3, 0.9, 3).astype(np.float32)
    crate = cuboid(size, 2).moved(offset=(0, float(size[1]) / 2, 0))

    def gait(travelled: float, time: float) -> list[Placement]:
        return [(_STILL, vector(0, 0, 0))]

    return _build([(crate, 0)], [patterns.crate(rng)], gait, float(np.linalg.norm(size)), float(max(size[0], size[2])))


def toy(rng: Rng) -> Body:
    """Make a ball that rolls, and sometimes bounces."""
    radius = float(rng.uniform(0.12, 0.4))
    leap = float(rng.uniform(0.2, 0.9)) if rng.uniform() < 0.4 else 0.0
    beat = float(np.sqrt(9.81 / 8 / leap)) if leap else 0.0  # Bounces per second under gravity.
    start = float(rng.uniform())

    def gait(travelled: float, time: float) -> list[Placement]:
        part = (time * beat + start) % 1
        return [(about_x(travelled / radius), vector(0, radius + leap * 4 * part * (1 - part), 0))]

    return _build([(ball(radius, 14, 10), 0)], [patterns.toy_ball(rng)], gait, 2 * radius + leap, 2 * radius)


def robot(rng: Rng) -> Body:
    """Make a wheeled robot: base, mast, a head that looks around and a working arm."""
    radius, low = float(rng.uniform(0.22, 0.38)), float(rng.uniform(0.2, 0.45))
    mast, thick = float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.05, 0.14))
    upper, lower = float(rng.uniform(0.25, 0.4)), float(rng.uniform(0.2, 0.35))
    square = rng.uniform() < 0.5
    base = (
        cuboid((2 * radius, low, 2.2 * radius), 2).moved(offset=(0, low / 2, 0))
        if square
        else cylinder(radius, low, 14, 2)
    )
    head_size = (
        float(rng.uniform(0.2, 0.36)),
        float(rng.uniform(0.14, 0.24)),
        float(rng.uniform(0.14, 0.24)),
    )
    top = 0.06 + low + mast
    wheel = cylinder(0.1, 0.06, 8).moved(offset=(0, -0.03, 0))
    wheel = merge([wheel, wheel.moved(np.diag([1.0, -1.0, -1.0]))]).moved(_ON_SIDE)
    parts = [(base, 0), (cylinder(thick, mast, 8), 1), (cuboid(head_size, 2), 2), (wheel, 4), (wheel, 4)]
    parts += [(limb(0.05, 0.04, upper, 7), 3), (limb(0.04, 0.03, lower, 7), 1)]
    parts += [(cuboid((0.05, 0.12, 0.09)).moved(offset=(0, -lower - 0.05, 0)), 0)]
    cells = [
        patterns.metal(rng),
        patterns.metal(rng),
        patterns.face_plate(rng),
        patterns.paint(rng),
        patterns.tyre(rng),
    ]
    look, work = rng.uniform(0.4, 1.6, 2)
    shift = rng.uniform(0, 6, 2)

    def gait(travelled: float, time: float) -> list[Placement]:
        shoulder_turn = about_x(0.7 + 0.6 * float(np.sin(work * 2 * time + shift[1])))
        elbow = shoulder_turn @ vector(0, -upper, 0)
        hand_turn = shoulder_turn @ about_x(0.8 + 0.5 * float(np.sin(work * 3 * time + shift[0])))
        shoulder = vector(thick + 0.06, 0.06 + low + 0.75 * mast, 0)
        spin = about_x(travelled / 0.1)
        return [
            (_STILL, vector(0, 0.06, 0)),
            (_STILL, vector(0, 0.06 + low, 0)),
            (about_y(0.7 * float(np.sin(look * time + shift[0]))), vector(0, top + head_size[1] / 2, 0)),
            (spin, vector(-radius, 0.1, 0)),
            (spin, vector(radius, 0.1, 0)),
            (shoulder_turn, shoulder),
            (hand_turn, shoulder + elbow),
            (hand_turn, shoulder + elbow),
        ]

    return _build(parts, cells, gait, top + head_size[1] + 0.2, 2 * radius)
