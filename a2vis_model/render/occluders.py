"""Pictures of occluders, made of pieces of photographs: poles, walls, boxes and foliage.

Some are shapes of cut-outs filled with such a piece: their edges are made like those of things, so that no network
learns that an edge of that kind means an object.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .texture import Rng, noise

Pixels = NDArray[np.uint8]

_LONGEST = 224  # Size of a texture in pixels.
_SLIM = 0.3  # Ratio of width to height below which an occluder is a pole.


def occluder(rng: Rng, photo: Pixels, height: float, width: float, *, solid: bool = False) -> Pixels:
    """Make an occluder as RGBA [h, w, 4], `height` by `width` metres, with a texture from `photo` RGB.

    A `solid` one has no gaps and fills its rectangle.
    """
    scale = _LONGEST / max(height, width)
    size = (max(round(height * scale), 12), max(round(width * scale), 8))
    if width < _SLIM * height:
        return _pole(rng, piece(rng, photo, *size))
    shape = rng.choice(2) if solid else rng.choice(5, p=(0.15, 0.15, 0.3, 0.2, 0.2))
    return (_wall, _box, _foliage, _heap, _fence)[shape](rng, piece(rng, photo, *size))


def decoy(rng: Rng, photo: Pixels, silhouette: NDArray[np.uint8]) -> Pixels:
    """Make RGBA with the alpha `silhouette` [h, w], turned by a quarter or more, filled with a piece of `photo`."""
    alpha = np.ascontiguousarray(np.rot90(silhouette, int(rng.integers(1, 4))))
    return np.dstack([_shaded(rng, piece(rng, photo, *alpha.shape)), alpha])


def piece(rng: Rng, photo: Pixels, height: int, width: int) -> Pixels:
    """Cut a part of `photo`, perhaps mirrored, and scale it to this size."""
    rows, columns = photo.shape[:2]
    share = float(rng.uniform(0.1, 0.5))
    # The part is as large as the photo allows in the requested shape.
    fit = share * min(rows / height, columns / width)
    part = (max(int(height * fit), 2), max(int(width * fit), 2))
    y, x = (int(rng.integers(0, max(room - side, 0) + 1)) for room, side in zip((rows, columns), part, strict=True))
    cut = photo[y : y + part[0], x : x + part[1]][:, :: int(rng.choice((-1, 1)))]
    method = cv2.INTER_AREA if fit > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cut, (width, height), interpolation=method), np.uint8)


def _shaded(rng: Rng, colour: Pixels) -> Pixels:
    """Shade a texture as if it was lit from one side."""
    from_left, to_right = rng.uniform(0.65, 1.15, 2)
    slope = np.linspace(from_left, to_right, colour.shape[1], dtype=np.float32)[None, :, None]
    return np.clip(colour * slope, 0, 255).astype(np.uint8)


def _solid(colour: Pixels) -> Pixels:
    return np.dstack([colour, np.full(colour.shape[:2], 255, np.uint8)])


def _pole(rng: Rng, colour: Pixels) -> Pixels:
    """Make a pole: round, so darker at both sides, and of much the same colour all along."""
    plain = cv2.blur(colour, (3, 2 * (len(colour) // 4) + 1))
    across = np.linspace(-1, 1, colour.shape[1], dtype=np.float32) - np.float32(rng.uniform(-0.5, 0.5))
    light = (1.1 - 0.5 * across**2)[None, :, None]
    return _solid(np.clip((0.6 * plain + 0.4 * colour) * light, 0, 255).astype(np.uint8))


def _wall(rng: Rng, colour: Pixels) -> Pixels:
    return _solid(_shaded(rng, colour))


def _box(rng: Rng, colour: Pixels) -> Pixels:
    """Make a box with a front and often a darker side."""
    colour = _shaded(rng, colour)
    edge = int(colour.shape[1] * rng.uniform(0.6, 1.3))
    colour[:, edge:] = colour[:, edge:] * np.float32(rng.uniform(0.45, 0.8))
    return _solid(colour)


def _heap(rng: Rng, colour: Pixels) -> Pixels:
    """Make a round object of no particular kind: a sack, a rock, a coat over a chair."""
    height, width = colour.shape[:2]
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    bumps = 1 + sum(rng.uniform(-0.12, 0.12) * np.sin(n * angle + rng.uniform(0, 6)) for n in (1, 2, 3))
    power = float(rng.uniform(0.4, 1))  # Exponent: 1 for an ellipse, less for a rounded box.
    x, y = (np.sign(v) * np.abs(v) ** power * bumps for v in (np.cos(angle), np.sin(angle)))
    outline = np.stack([(0.5 + 0.44 * x) * width, (0.56 + 0.5 * y) * height], axis=-1)
    alpha = np.zeros((height, width), np.uint8)
    cv2.fillPoly(alpha, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.dstack([_shaded(rng, colour), alpha])


def _fence(rng: Rng, colour: Pixels) -> Pixels:
    """Make a fence: bars with gaps, between two rails."""
    height, width = colour.shape[:2]
    spacing = max(int(height * rng.uniform(0.08, 0.25)), 6)
    alpha = np.zeros((height, width), np.uint8)
    alpha[:, np.arange(width) % spacing < max(spacing * rng.uniform(0.25, 0.6), 3)] = 255
    thick = max(int(0.05 * height), 3)
    for top in (int(0.12 * height), int(0.7 * height)):
        alpha[top : top + thick] = 255
    return np.dstack([_shaded(rng, np.asarray(cv2.blur(colour, (5, 5)), np.uint8)), alpha])


def _foliage(rng: Rng, colour: Pixels) -> Pixels:
    """Make foliage: grains of noise, dense below and in the middle, in the colours of the piece or green."""
    height, width = colour.shape[:2]
    grain = noise(rng, height, width, cell=float(rng.uniform(8, 24)), octaves=3, roughness=0.8)
    y, x = np.mgrid[1 : 0 : height * 1j, -1 : 1 : width * 1j]
    dense = np.float32(2.2) - np.float32(2.6) * (x**2 + 0.6 * y**2).astype(np.float32)
    alpha = np.clip((grain + dense) * 300 + 128, 0, 255).astype(np.uint8)
    green = np.array([rng.uniform(30, 110), rng.uniform(70, 140), rng.uniform(10, 70)], np.float32)
    share = float(rng.uniform(0, 0.8))
    light = 1 + 0.2 * noise(rng, height, width, cell=6, octaves=2)[..., None]
    mixed = ((1 - share) * colour + share * green) * light
    return np.dstack([np.clip(mixed, 0, 255).astype(np.uint8), alpha])
