"""What makes a cut-out sit in a photograph: clean soft edges, the light and colours of its surroundings, a shadow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Array, Camera, vector
from .texture import Rng

Pixels = NDArray[np.uint8]

_SOLID = 240  # alpha from which a pixel's colour is the thing's alone
_FAINTEST = 60  # alpha up to which the fringe of a cut-out is its old background

_SQUARE = np.ones((3, 3), np.uint8)
_BLOB = np.exp(-2.5 * sum(a**2 for a in np.meshgrid(*2 * [np.linspace(-1.5, 1.5, 32)]))).astype(np.float32)


def matte(pixels: Pixels) -> Pixels:
    """RGBA ``[h, w, 4]`` with the fringe of the old background gone: the edge drawn in and softened, and its colours,
    with those of all transparent pixels, replaced by the nearest colours from inside."""
    alpha = pixels[..., 3]
    solid = (alpha >= _SOLID).astype(np.uint8)
    core = cv2.erode(solid, _SQUARE)
    # Spokes and leads have no inside: their own colours have to do.
    core |= solid & (1 - cv2.dilate(core, _SQUARE, iterations=2))
    if not core.any():
        core = (alpha >= 128).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(1 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    inside = core.view(np.bool_)
    colours = np.zeros((int(nearest.max()) + 1, 3), np.uint8)
    colours[nearest[inside]] = pixels[..., :3][inside]
    soft = cv2.GaussianBlur(alpha, (3, 3), 0.8).astype(np.float32)
    drawn_in = np.clip((soft - _FAINTEST) * (255 / (255 - 1.4 * _FAINTEST)), 0, 255)
    return np.dstack([colours[nearest], drawn_in.astype(np.uint8)])


def recolour(pixels: Pixels, rng: Rng, *, hue: float, strength: float) -> Pixels:
    """RGBA with its hue turned by up to ``hue`` degrees, and its saturation, brightness and contrast changed by shares
    of up to ``strength``."""
    hsv = cv2.cvtColor(pixels[..., :3], cv2.COLOR_RGB2HSV)
    turn, saturation, value, gamma = rng.uniform(-1, 1, 4)
    levels = np.arange(256, dtype=np.float32)
    tables = [
        (levels + turn * hue / 2) % 180,
        levels * (1 + saturation * strength),
        255 * (levels / 255) ** (1 + 0.5 * gamma * strength) * (1 + 0.5 * value * strength),
    ]
    table = np.clip(np.stack(tables, axis=-1), 0, 255).astype(np.uint8).reshape(1, 256, 3)
    return np.dstack([cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2RGB), pixels[..., 3]])


def harmonise(pixels: Pixels, surroundings: Pixels, *, light: float, colour: float) -> Pixels:
    """RGBA with mean and spread of lightness brought nearer to those of ``surroundings`` RGB ``[h, w, 3]`` by the share
    ``light``, and its mean hue by the share ``colour`` (Reinhard et al., 2001, in L*a*b*)."""
    lab = cv2.cvtColor(pixels[..., :3], cv2.COLOR_RGB2LAB)
    around = cv2.cvtColor(surroundings, cv2.COLOR_RGB2LAB)
    mean, spread = (v.ravel() for v in cv2.meanStdDev(lab, mask=(pixels[..., 3] >= 128).astype(np.uint8)))
    target, width = (v.ravel() for v in cv2.meanStdDev(around))
    share = np.array([light, colour, colour])
    gain = np.ones(3)
    gain[0] = 1 + light * (np.clip(width[0] / max(spread[0], 1), 0.6, 1.4) - 1)
    levels = np.arange(256)[:, None]
    table = np.clip((levels - mean) * gain + mean + share * (target - mean), 0, 255)
    lab = cv2.LUT(lab, np.rint(table).astype(np.uint8).reshape(1, 256, 3))
    return np.dstack([cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), pixels[..., 3]])


def shade_ground(picture: Pixels, camera: Camera, place: Array, width: float, strength: float) -> None:
    """Darkens the ground under a thing at ``place`` ``[3]`` that is ``width`` metres wide, softly, by up to the share
    ``strength``."""
    radius = 0.75 * width
    ring = camera.to_camera(
        np.stack([place + vector(x, 0, z) for x, z in ((radius, 0), (-radius, 0), (0, radius / 2), (0, -radius / 2))])
    )
    if ring[:, 2].min() < 0.2:
        return
    points = camera.to_pixels(ring)
    left, top = np.floor(points.min(axis=0)).astype(int).tolist()
    right, bottom = (np.ceil(points.max(axis=0)) + 1).astype(int).tolist()
    box = slice(max(top, 0), min(bottom, camera.height)), slice(max(left, 0), min(right, camera.width))
    part = picture[box]
    if part.size == 0 or right - left < 3 or bottom - top < 2:
        return
    # From the blob's cells to the box: only what is in the picture is made.
    scale = np.array([right - left, bottom - top]) / np.array(_BLOB.shape[::-1])
    offset = np.array([left - box[1].start, top - box[0].start])
    matrix = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
    shade = cv2.warpAffine(_BLOB, matrix, part.shape[1::-1], flags=cv2.INTER_LINEAR)
    part[:] = part * (1 - np.float32(strength) * shade[..., None])
