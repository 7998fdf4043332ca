"""Meshes of quadrilaterals and the primitives they are built from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .camera import Array


@dataclass(frozen=True)
class Mesh:
    """A mesh of quadrilaterals.

    Attributes:
        vertices: positions [V, 3].
        normals: normals [V, 3].
        uv: texture coordinates [V, 2] in 0..1.
        faces: vertex numbers [F, 4], counter-clockwise seen from outside; a triangle repeats a vertex.
        sheet: [V], true on surfaces that are seen from both sides.
    """

    vertices: Array
    normals: Array
    uv: Array
    faces: NDArray[np.int32]
    sheet: NDArray[np.bool_]

    @property
    def radius(self) -> float:
        """Radius of the sphere about the origin that holds the mesh."""
        return float(np.linalg.norm(self.vertices, axis=1).max())

    def moved(self, rotation: NDArray[Any] | None = None, offset: Array | Sequence[float] = (0, 0, 0)) -> Mesh:
        """Return the mesh turned by `rotation` [3, 3] and then shifted by `offset`."""
        turn = np.eye(3, dtype=np.float32) if rotation is None else np.asarray(rotation, np.float32)
        return replace(
            self,
            vertices=self.vertices @ turn.T + np.asarray(offset, np.float32),
            normals=self.normals @ turn.T,
        )

    def in_cell(self, cell: tuple[float, float, float, float]) -> Mesh:
        """Return the mesh with its texture coordinates scaled into `(u0, v0, u1, v1)` of an atlas."""
        u0, v0, u1, v1 = cell
        scale, shift = np.array((u1 - u0, v1 - v0), np.float32), np.array((u0, v0), np.float32)
        return replace(self, uv=self.uv * scale + shift)


def about_x(angle: float) -> Array:
    """Return the rotation that turns what hangs below the origin ahead by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]], np.float32)


def about_y(angle: float) -> Array:
    """Return the rotation that turns what looks ahead to the side of x by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)


def merge(parts: Sequence[Mesh]) -> Mesh:
    """Join meshes into one."""
    starts = np.cumsum([0] + [len(p.vertices) for p in parts[:-1]])
    return Mesh(
        vertices=np.concatenate([p.vertices for p in parts]),
        normals=np.concatenate([p.normals for p in parts]),
        uv=np.concatenate([p.uv for p in parts]),
        faces=np.concatenate([p.faces + np.int32(s) for p, s in zip(parts, starts, strict=True)]),
        sheet=np.concatenate([p.sheet for p in parts]),
    )


def grid(points: NDArray[Any], uv: NDArray[Any], *, closed: bool = False, sheet: bool = False) -> Mesh:
    """Make a surface through `points` [rows, columns, 3]; `closed` joins the last column to the first."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    if closed:
        index = np.concatenate([index, index[:, :1]], axis=1)
    faces = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], axis=-1).reshape(-1, 4)
    along = np.gradient(points, axis=0)
    ring = np.roll(points, -1, axis=1) - np.roll(points, 1, axis=1)
    across = ring if closed else np.gradient(points, axis=1)
    normals = np.cross(across, along).reshape(-1, 3)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Mesh(
        vertices=points.reshape(-1, 3).astype(np.float32),
        normals=normals.astype(np.float32),
        uv=uv.reshape(-1, 2).astype(np.float32),
        faces=faces,
        sheet=np.full(rows * columns, sheet),
    )


def revolve(radii: Sequence[float], heights: Sequence[float], sides: int = 12) -> Mesh:
    """Make a body of revolution about y: `radii` at `heights`, top first; a radius of zero closes it."""
    angle = np.linspace(0, 2 * np.pi, sides + 1, dtype=np.float32)
    r = np.asarray(radii, np.float32)[:, None]
    y = np.broadcast_to(np.asarray(heights, np.float32)[:, None], (len(radii), sides + 1))
    points = np.stack([r * np.cos(angle), y, r * np.sin(angle)], axis=-1)
    u, v = np.meshgrid(angle / (2 * np.pi), np.linspace(0, 1, len(radii), dtype=np.float32))
    return _outward(grid(points, np.stack([u, v], axis=-1)))


def cylinder(radius: float, height: float, sides: int = 12, rows: int = 1) -> Mesh:
    """Make a cylinder that stands on y = 0, with a flat top."""
    heights = np.linspace(height, 0, rows + 1)
    return revolve([0.0, *[radius] * (rows + 1)], [height, *heights], sides)


def ball(radius: float, sides: int = 12, rows: int = 8) -> Mesh:
    """Make a ball about the origin."""
    polar = np.linspace(0, np.pi, rows + 1)
    return revolve(list(radius * np.sin(polar)), list(radius * np.cos(polar)), sides)


def limb(radius_top: float, radius_bottom: float, length: float, sides: int = 8) -> Mesh:
    """Make a rounded rod that hangs from the origin down to `y = -length`."""
    a, b = radius_top, radius_bottom
    radii = [0.0, 0.7 * a, a, b, 0.7 * b, 0.0]
    return revolve(radii, [a, 0.7 * a, 0.0, -length, -length - 0.7 * b, -length - b], sides)


def cuboid(size: Sequence[float] | Array, divisions: int = 1) -> Mesh:
    """Make a box about the origin, `size` along x, y and z; every side shows the whole texture."""
    half = np.asarray(size, np.float32) / 2
    s = np.linspace(-1, 1, divisions + 1, dtype=np.float32)
    right, down = np.meshgrid(s, s)
    uv = np.stack([(right + 1) / 2, (down + 1) / 2], axis=-1)
    sides = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            points = np.empty((*right.shape, 3), np.float32)
            points[..., axis] = sign
            horizontal, vertical = ((2, 1), (0, 2), (0, 1))[axis]
            points[..., horizontal], points[..., vertical] = right, -down
            sides.append(_outward(grid(points * half, uv)))
    return merge(sides)


def _outward(mesh: Mesh) -> Mesh:
    """Return `mesh`, turned inside out if its normals point inwards."""
    centre = mesh.vertices.mean(axis=0)
    origin = np.zeros(3, np.float32) if np.abs(np.ptp(mesh.vertices, axis=0)).min() < 1e-6 else centre
    if float(((mesh.vertices - origin) * mesh.normals).sum()) >= 0:
        return mesh
    return replace(mesh, normals=-mesh.normals, faces=np.ascontiguousarray(mesh.faces[:, ::-1]))
