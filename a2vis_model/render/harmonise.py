"""Fitting a cut-out into a photograph: clean soft edges, the light and colours of its surroundings, a shadow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Array, Camera, vector
from .texture import Rng

Pixels = NDArray[np.uint8]

_SOLID = 240  # Alpha from which a pixel's colour is the thing's alone.
_FAINTEST = 60  # Alpha up to which the fringe of a cut-out shows its old background.

_SQUARE = np.ones((3, 3), np.uint8)
_BLOB = np.exp(-2.5 * sum(a**2 for a in np.meshgrid(*2 * [np.linspace(-1.5, 1.5, 32)]))).astype(np.float32)


def matte(pixels: Pixels) -> Pixels:
    """Remove the fringe of the old background from RGBA [h, w, 4].

    The edge is moved inwards and softened, and its colours, with those of all transparent pixels, are replaced by the
    nearest colours from inside.
    """
    alpha = pixels[..., 3]
    solid = (alpha >= _SOLID).astype(np.uint8)
    core = np.asarray(cv2.erode(solid, _SQUARE), np.uint8)
    # Thin parts such as spokes and cables have no inside: their own colours are used.
    core |= solid & (1 - np.asarray(cv2.dilate(core, _SQUARE, iterations=2), np.uint8))
    if not core.any():
        core = (alpha >= 128).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(1 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = nearest.ravel()
    inside, outside = np.flatnonzero(core), np.flatnonzero(core == 0)
    pixel_of = np.empty(int(labels.max()) + 1, np.intp)
    pixel_of[labels[inside]] = inside
    cleaned = np.ascontiguousarray(pixels).copy()
    whole = cleaned.reshape(-1, 4).view(np.uint32)
    whole[outside] = whole[pixel_of[labels[outside]]]
    soft = cv2.GaussianBlur(alpha, (3, 3), 0.8).astype(np.float32)
    drawn_in = np.clip((soft - _FAINTEST) * (255 / (255 - 1.4 * _FAINTEST)), 0, 255)
    cleaned[..., 3] = drawn_in.astype(np.uint8)
    return cleaned


def colour_change(rng: Rng, *, hue: float, strength: float) -> Array:
    """Sample an affine map [3, 4] of RGB.

    It turns hues by up to `hue` degrees and changes saturation, contrast and brightness by shares of up to `strength`.
    """
    turn, saturation, contrast, brightness = rng.uniform(-1, 1, 4) * (np.deg2rad(hue), *3 * (strength,))
    # A turn about the axis of greys keeps the distance from it, which is the saturation.
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    colours = (1 + saturation) * (np.cos(turn) * (np.eye(3) - grey) + np.sin(turn) * cross)
    linear = (1 + 0.5 * contrast) * (grey + colours)
    offset = np.full((3, 1), 128 * (brightness - contrast) * 0.5)
    return np.hstack([linear, offset]).astype(np.float32)


def harmonise(pixels: Pixels, change: Array, surroundings: Pixels, *, light: float, colour: float) -> Pixels:
    """Apply a colour change and adapt RGBA to its surroundings (after Reinhard et al., 2001).

    Args:
        pixels: the picture, RGBA.
        change: colour change, an affine map [3, 4].
        surroundings: RGB [h, w, 3].
        light: share by which mean and spread of lightness approach those of the surroundings.
        colour: share by which the mean tint approaches theirs.
    """
    sample = np.ascontiguousarray(pixels[::2, ::2])
    mean, spread = (v.ravel() for v in cv2.meanStdDev(sample, mask=(sample[..., 3] >= 128).astype(np.uint8)))
    target, width = (v.ravel() for v in cv2.meanStdDev(np.ascontiguousarray(surroundings[::2, ::2])))
    mean = change[:, :3] @ mean[:3] + change[:, 3]
    gain = 1 + light * (float(np.clip(width.mean() / max(float(spread[:3].mean()), 1), 0.6, 1.3)) - 1)
    shift = target - mean
    lighter = shift.mean()
    matrix = np.zeros((4, 5), np.float32)
    matrix[3, 3] = 1
    matrix[:3, :3] = gain * change[:, :3]
    matrix[:3, 4] = gain * (change[:, 3] - mean) + mean + light * lighter + colour * (shift - lighter)
    return np.asarray(cv2.transform(pixels, matrix), np.uint8)


def shade_ground(picture: Pixels, camera: Camera, place: Array, width: float, strength: float) -> None:
    """Darken the ground under a thing softly, by up to the share `strength`.

    The nearest edge of the thing is at `place` [3], and it is `width` metres wide.
    """
    radius = 0.7 * width
    place = place + vector(0, 0, 0.2 * radius)
    ends = ((radius, 0), (-radius, 0), (0, 0.4 * radius), (0, -0.4 * radius))
    ring = camera.to_camera(np.stack([place + vector(x, 0, z) for x, z in ends]))
    if ring[:, 2].min() < 0.2:
        return
    points = camera.to_pixels(ring)
    left, top = np.floor(points.min(axis=0)).astype(int).tolist()
    right, bottom = (np.ceil(points.max(axis=0)) + 1).astype(int).tolist()
    box = slice(max(top, 0), min(bottom, camera.height)), slice(max(left, 0), min(right, camera.width))
    part = picture[box]
    if part.size == 0 or right - left < 3 or bottom - top < 2:
        return
    # Map from the blob's cells to the box: only what is in the picture is computed.
    scale = np.array([right - left, bottom - top]) / np.array(_BLOB.shape[::-1])
    offset = np.array([left - box[1].start, top - box[0].start])
    matrix = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
    shade = cv2.warpAffine(_BLOB, matrix, part.shape[1::-1], flags=cv2.INTER_LINEAR)
    part[:] = part * (1 - np.float32(strength) * shade[..., None])
