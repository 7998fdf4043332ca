"""Procedural textures: noise, patterns and colour changes. Images are float32 RGB in 0..1, [h, w, 3]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Array

Rng = np.random.Generator


@dataclass(frozen=True)
class Texture:
    """An image and its halvings, finest first, each uint8 RGB, so that distant things do not flicker."""

    levels: tuple[NDArray[np.uint8], ...]

    @classmethod
    def of(cls, image: Array, halvings: int = 3) -> Texture:
        """Make a texture of float RGB [h, w, 3] in 0..1."""
        level = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        levels = [level]
        for _ in range(halvings):
            if min(level.shape[:2]) < 2:
                break
            level = cv2.resize(level, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)
            levels.append(level)
        return cls(tuple(levels))


def noise(rng: Rng, height: int, width: int, cell: float, octaves: int = 3, roughness: float = 0.5) -> Array:
    """Make smooth noise of about zero mean and unit deviation, [height, width].

    `cell` is its coarsest grain in pixels; each octave is half as coarse and `roughness` times as strong.
    """
    total = np.zeros((height, width), np.float32)
    weight = 1.0
    for _ in range(octaves):
        grid = (max(2, round(height / cell) + 1), max(2, round(width / cell) + 1))
        coarse = rng.standard_normal(grid, dtype=np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        weight *= roughness
        cell = max(cell / 2, 1.0)
    return total / max(float(total.std()), 1e-6)


def plain(height: int, width: int, colour: Sequence[float] | Array) -> Array:
    """Make an image of one colour."""
    return np.broadcast_to(np.asarray(colour, np.float32), (height, width, 3)).copy()


def mix(a: NDArray[Any], b: NDArray[Any] | Sequence[float], weight: NDArray[Any] | float) -> Array:
    """Blend `a` where `weight` ([h, w] or a number) is 0 with `b` where it is 1."""
    w = np.asarray(weight, np.float32)
    w = w[..., None] if w.ndim == 2 else w
    return (a + (np.asarray(b, np.float32) - a) * w).astype(np.float32)


def step(x: NDArray[Any], centre: NDArray[Any] | float, softness: float) -> Array:
    """Return 0 well below `centre` and 1 well above it, with a soft transition."""
    return np.clip((x - centre) / (2 * softness) + 0.5, 0, 1).astype(np.float32)


def line(x: NDArray[Any], centre: NDArray[Any] | float, half_width: float) -> Array:
    """Return 1 at `centre`, falling to 0 at `half_width` from it."""
    return np.clip(1 - np.abs(x - centre) / half_width, 0, 1).astype(np.float32)


def turn_hue(image: Array, degrees: float, saturation: float = 1.0) -> Array:
    """Return `image` with its hue turned and its saturation multiplied."""
    hsv = cv2.cvtColor(np.clip(image, 0, 1).astype(np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + degrees) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 1)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)


def colour_of(hue: float, saturation: float, value: float) -> Array:
    """Return RGB [3] of a hue in degrees with saturation and value in 0..1."""
    pixel = np.array([[[hue % 360, saturation, value]]], np.float32)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB), np.float32)[0, 0]
