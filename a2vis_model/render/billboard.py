"""Billboards: flat pictures that stand upright on the ground and face the camera, drawn with soft edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Array, Camera
from .raster import Patch
from .sensor import smear

NEAREST = 0.3
"""Distance from the camera in metres below which things are not drawn."""

_MARGIN = 2  # Transparent pixels around a sprite, so that its edge is interpolated with transparency.


@dataclass(frozen=True)
class Sprite:
    """A picture with soft edges, as an image pyramid.

    Attributes:
        levels: the picture and its halvings, finest first, uint8 RGBA [h, w, 4]; transparent pixels have the colour of
            the nearest opaque ones.
        metres_per_pixel: size of a pixel of the finest level.
        foot: where it touches the ground, (x, y) in pixels of the finest level.
    """

    levels: tuple[NDArray[np.uint8], ...]
    metres_per_pixel: float
    foot: tuple[float, float]

    @property
    def height(self) -> float:
        """Height from the foot to the top in metres."""
        return (self.foot[1] - _MARGIN + 0.5) * self.metres_per_pixel

    @property
    def width(self) -> float:
        """Width in metres."""
        return (self.levels[0].shape[1] - 2 * _MARGIN) * self.metres_per_pixel

    @property
    def off_foot(self) -> float:
        """Metres that its middle is to the right of the foot."""
        return ((self.levels[0].shape[1] - 1) / 2 - self.foot[0]) * self.metres_per_pixel


@dataclass(frozen=True)
class Pose:
    """Pose of a thing at one moment.

    Attributes:
        turn: width: 1 as pictured, -1 mirrored, between them while it turns.
        lean: angle to the right in radians.
        sway: how far the top is bent to the right, as a share of the height.
        rise: how far it is lifted, as a share of the height.
        stride: how far the legs are spread, as a share of the width.
    """

    turn: float = 1.0
    lean: float = 0.0
    sway: float = 0.0
    rise: float = 0.0
    stride: float = 0.0


def make_sprite(pixels: NDArray[np.uint8], height: float) -> Sprite:
    """Make a sprite from RGBA [h, w, 4] of a thing `height` metres high that stands on its lowest opaque pixels."""
    padded = cv2.copyMakeBorder(pixels, _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_REPLICATE)
    alpha = padded[..., 3]
    inner = np.zeros_like(alpha)
    inner[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = pixels[..., 3]
    padded[..., 3] = inner
    levels = [np.asarray(padded, np.uint8)]
    while min(levels[-1].shape[:2]) > 8 and len(levels) < 4:
        half = cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, np.uint8))
    weights = inner[-max(len(pixels) // 4, 1) - _MARGIN :].sum(axis=0, dtype=np.float64)
    middle = float((weights * np.arange(len(weights))).sum() / max(weights.sum(), 1))
    return Sprite(tuple(levels), height / len(pixels), (middle, len(pixels) + _MARGIN - 0.5))


def draw(
    sprite: Sprite, place: Array, pose: Pose, camera: Camera, travel: Array | None = None
) -> tuple[float, Patch] | None:
    """Draw `sprite` at `place` [3]; return its depth in metres and its visible patch, or None if it is out of view.

    `travel` [3] is the distance in metres that it moves while the shutter is open, centred on `place`: its edges are
    spread along that way, and its mask covers the pixels that it covers for half the time or more.
    """
    at = camera.to_camera(place)
    depth = float(at[2])
    if depth < NEAREST:
        return None
    foot = camera.to_pixels(at)
    scale = camera.focal / depth * sprite.metres_per_pixel  # Picture pixels per sprite pixel.
    across, up = _axes(camera, pose.lean)
    turn = float(np.copysign(shown_turn(pose.turn), pose.turn))
    height, width = sprite.levels[0].shape[:2]
    tall = sprite.foot[1] * scale
    # Corners of the sprite in the picture, with room for bending.
    spread = (1 + abs(pose.stride)) * abs(turn) * scale
    ends = (-sprite.foot[0], width - sprite.foot[0]) if turn > 0 else (sprite.foot[0] - width, sprite.foot[0])
    xs = (ends[0] * spread - abs(pose.sway) * tall, ends[1] * spread + abs(pose.sway) * tall)
    ys = ((sprite.foot[1] - height) * scale, (1 + abs(pose.rise)) * tall)
    corners = np.array([foot + x * across + y * up for x in xs for y in ys])
    kernel = None
    if travel is not None:
        way = camera.to_pixels(camera.to_camera(place + travel)) - foot
        kernel = smear(float(way[0]), float(way[1]))
    room = 0 if kernel is None else len(kernel) // 2
    left, top = np.maximum(np.floor(corners.min(axis=0)) - room, 0).astype(int).tolist()
    limit = (camera.width, camera.height)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)) + 1 + room, limit).astype(int).tolist()
    if right <= left or bottom <= top:
        return None
    columns = np.arange(left, right, dtype=np.float32) - foot[0]
    rows = (np.arange(top, bottom, dtype=np.float32) - foot[1])[:, None]
    x = columns * across[0] + rows * across[1]
    y = columns * up[0] + rows * up[1] - np.float32(pose.rise * tall)
    share = y / np.float32(tall)  # 0 at the foot, 1 at the top.
    if pose.sway:
        x = x - np.float32(pose.sway * tall) * share * np.abs(share)
    if pose.stride:
        x = x / (1 + np.float32(pose.stride) * np.clip(1 - 2 * share, 0, 1))
    level = int(np.clip(np.floor(-np.log2(scale)), 0, len(sprite.levels) - 1))
    shrink = 2.0**-level
    source = sprite.levels[level]
    map_x = (x / np.float32(scale * turn) + np.float32(sprite.foot[0] + 0.5)) * np.float32(shrink) - np.float32(0.5)
    map_y = (np.float32(sprite.foot[1] + 0.5) - y / np.float32(scale)) * np.float32(shrink) - np.float32(0.5)
    drawn = cv2.remap(source, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0))
    if kernel is not None:
        drawn = cv2.filter2D(drawn, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    alpha = np.ascontiguousarray(drawn[..., 3], np.uint8)
    mask = alpha >= 128
    if not mask.any():
        return None
    return depth, Patch(top, left, mask, np.ascontiguousarray(drawn[..., :3], np.uint8), alpha)


def shown_turn(turn: float) -> float:
    """The share of its width at which a thing with this `turn` is drawn: it is never seen quite from the side."""
    return max(abs(turn), 0.3)


def _axes(camera: Camera, lean: float) -> tuple[Array, Array]:
    """Return right and up of a thing in the picture, [2] each: up is the world's, turned by `lean`."""
    up = camera.rotation[:2, 1] / max(float(np.linalg.norm(camera.rotation[:2, 1])), 1e-6)
    across = np.array([-up[1], up[0]], np.float32)
    cos, sin = np.float32(np.cos(lean)), np.float32(np.sin(lean))
    return across * cos - up * sin, up * cos + across * sin
