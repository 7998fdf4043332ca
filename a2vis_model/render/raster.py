"""A software rasteriser: hard-edged, textured, with painter's order inside one object.

Every visible face writes its number into an integer picture with one OpenCV call; colour is then looked up
for all pixels at once from the face's affine texture coordinates. Thus mask and colour come from the very same
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Array, Camera
from .mesh import Mesh
from .texture import Texture

NEAR = 0.3
_SUBPIXEL_BITS = 4
_REMAP_ROW = 256  # cv2.remap accepts no line longer than 32767.


@dataclass(frozen=True)
class Patch:
    """A silhouette clipped to the frame.

    `mask` [h, w] and uint8 RGB `colour` [h, w, 3] are at `(top, left)`. With `alpha` uint8 [h, w] the edge is soft, and
    `mask` is where it covers one half or more.
    """

    top: int
    left: int
    mask: NDArray[np.bool_]
    colour: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that the patch covers."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(frozen=True)
class Tone:
    """Light on an object.

    Attributes:
        lamp: position [3] of a point light in camera coordinates.
        power: strength of the light.
        ambient: ambient light, RGB [3] in 0..1.
        fog_colour: colour of the fog, RGB [3] in 0..1.
        fog: share of fog in 0..1.
        tint: factor [3] on the texture's RGB.
    """

    lamp: Array
    ambient: Array
    fog_colour: Array
    fog: float = 0.0
    power: float = 1.0
    tint: Array | Sequence[float] = (1.0, 1.0, 1.0)


def lambert(mesh: Mesh, points: Array, normals: Array, lamp: Array) -> Array:
    """Compute the diffuse light per vertex [V] in 0..1 from `points` and `normals` [V, 3] in camera coordinates."""
    to_lamp = lamp - points
    cosine = np.einsum("vc,vc->v", to_lamp, normals)
    cosine /= np.maximum(np.sqrt(np.einsum("vc,vc->v", to_lamp, to_lamp)), 1e-6)
    return np.where(mesh.sheet, np.abs(cosine), np.maximum(cosine, 0)).astype(np.float32)


def rasterise(mesh: Mesh, points: Array, normals: Array, texture: Texture, tone: Tone, camera: Camera) -> Patch | None:
    """Draw `mesh` with its vertices at `points` [V, 3] in camera coordinates; None if it is out of view."""
    depth = points[:, 2]
    pixels = points[:, :2] * (np.float32(camera.focal) / np.maximum(depth, NEAR))[:, None] + camera.centre
    # The corner comes first, [4, F, ...]: NumPy reduces over a leading axis several times faster.
    faces = mesh.faces.T
    corners = pixels[faces]
    first, second = corners[2] - corners[0], corners[3] - corners[1]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    low, high = corners.min(axis=0), corners.max(axis=0)
    drawn = (depth[faces].min(axis=0) > NEAR) & (mesh.sheet[faces[0]] | (area < 0))
    drawn &= (high[:, 0] > -1) & (high[:, 1] > -1) & (low[:, 0] < camera.width) & (low[:, 1] < camera.height)
    chosen = np.flatnonzero(drawn)
    if chosen.size == 0:
        return None
    chosen = chosen[np.argsort(-depth[faces[:, chosen]].sum(axis=0), kind="stable")]
    left, top = np.maximum(np.floor(low[chosen].min(axis=0)).astype(int) - 1, 0).tolist()
    right, bottom = np.ceil(high[chosen].max(axis=0)).astype(int).tolist()
    right, bottom = min(right + 2, camera.width), min(bottom + 2, camera.height)
    if right <= left or bottom <= top:
        return None

    corners = corners[:, chosen] - np.array((left, top), np.float32)
    numbers = np.zeros((bottom - top, right - left), np.int32)
    polygons = np.rint(corners.transpose(1, 0, 2) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    for number, polygon in enumerate(polygons, 1):
        cv2.fillConvexPoly(numbers, polygon, number, cv2.LINE_8, _SUBPIXEL_BITS)
    covered = np.flatnonzero(numbers)
    if covered.size == 0:
        return None

    lit = lambert(mesh, points, normals, tone.lamp)
    attributes = np.column_stack([mesh.uv, lit])[faces[:, chosen]]
    planes = _planes(corners, attributes, first[chosen], second[chosen], area[chosen])
    u, v, light = _interpolate(planes, numbers, covered)
    stretch = planes[:, 0, 0] * planes[:, 1, 1] - planes[:, 0, 1] * planes[:, 1, 0]  # Texture area per pixel.
    texel_area = float(np.abs(stretch).mean()) * texture.levels[0][..., 0].size
    level = int(np.clip(np.floor(0.5 * np.log2(max(texel_area, 1e-6)) + 0.3), 0, len(texture.levels) - 1))
    colour = np.zeros((*numbers.shape, 3), np.uint8)
    colour.reshape(-1, 3)[covered] = _shade(_sample(texture.levels[level], u, v), light, tone)
    return Patch(top, left, numbers > 0, colour)


def _planes(corners: Array, attributes: Array, first: Array, second: Array, area: Array) -> Array:
    """Fit affine functions of the pixel, [F, 3 (x, y, one), A], to `attributes` [4, F, A].

    They are solved along the two diagonals of a face, which also serves triangles that repeat a corner.
    """
    along, across = attributes[2] - attributes[0], attributes[3] - attributes[1]
    # A face seen edge-on has no usable slope: it gets one value throughout.
    inverse = np.where(np.abs(area) > 0.5, 1 / np.where(area == 0, 1, area), 0).astype(np.float32)[:, None]
    slope_x = (along * second[:, 1:] - across * first[:, 1:]) * inverse
    slope_y = (across * first[:, :1] - along * second[:, :1]) * inverse
    centre = corners.mean(axis=0)
    start = attributes.mean(axis=0) - slope_x * centre[:, :1] - slope_y * centre[:, 1:]
    return np.stack([slope_x, slope_y, start], axis=1)


def _interpolate(planes: Array, numbers: NDArray[np.int32], covered: NDArray[np.intp]) -> Sequence[Array]:
    """Compute every attribute [A] at the covered pixels, each [n]."""
    y, x = np.divmod(covered.astype(np.int32), np.int32(numbers.shape[1]))
    x, y = x.astype(np.float32), y.astype(np.float32)
    face = numbers.ravel()[covered].astype(np.intp) - 1
    columns = np.ascontiguousarray(planes.transpose(2, 1, 0), np.float32)
    return [slope_x[face] * x + slope_y[face] * y + start[face] for slope_x, slope_y, start in columns]


def _sample(image: NDArray[np.uint8], u: Array, v: Array) -> NDArray[np.uint8]:
    """Sample texels [n, 3] bilinearly at texture coordinates in 0..1."""
    height, width = image.shape[:2]
    rows = -(-u.size // _REMAP_ROW)
    flat = np.zeros((2, rows * _REMAP_ROW), np.float32)
    np.multiply(u, width - 1, out=flat[0, : u.size])
    np.multiply(v, height - 1, out=flat[1, : v.size])
    maps = flat.reshape(2, rows, _REMAP_ROW)
    texels = cv2.remap(image, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(texels, np.uint8).reshape(-1, 3)[: u.size]


def _shade(texels: NDArray[np.uint8], light: Array, tone: Tone) -> NDArray[np.uint8]:
    """Light and fog `texels` [n, 3] under `light` [n]."""
    clear = np.asarray(tone.tint, np.float32) * np.float32(1 - tone.fog)
    light = np.clip(light, 0, 1)
    gains = cv2.merge([light * (tone.power * c) + a * c for c, a in zip(clear, tone.ambient, strict=True)])
    lit = np.asarray(cv2.multiply(texels.reshape(gains.shape), gains, dtype=cv2.CV_8U), np.uint8).reshape(-1, 3)
    haze = np.clip(tone.fog_colour * (255 * tone.fog), 0, 255).astype(np.uint8)
    return np.minimum(lit, 255 - haze) + haze
