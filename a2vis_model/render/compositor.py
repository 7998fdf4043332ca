"""Compositing of layers into one frame, far to near: picture and masks follow from the same order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from ..masks import coco as rle
from ..masks.coco import Rle
from .clip import MIN_VISIBLE_PIXELS, RenderedObject
from .raster import Patch

STATIC = -1
"""Owner of scenery, which hides objects and is none."""


@dataclass(frozen=True)
class Layer:
    """A patch at a distance `depth` from the camera, owned by the object of that ID or by the scenery."""

    depth: float
    patch: Patch
    owner: int = STATIC


@dataclass(frozen=True)
class ComposedFrame:
    """A composed frame.

    Attributes:
        picture: uint8 RGB [H, W, 3].
        masks: visible and amodal run lengths of each object, by its ID.
    """

    picture: NDArray[np.uint8]
    masks: dict[int, tuple[Rle, Rle]]


def compose(background: NDArray[np.uint8], layers: Iterable[Layer]) -> ComposedFrame:
    """Paint `layers` over a copy of `background` uint8 [H, W, 3]: nearer ones hide the others."""
    picture = background.copy()
    height, width = picture.shape[:2]
    owners = np.full((height, width), STATIC, np.int16)
    ordered = sorted(layers, key=lambda layer: -layer.depth)
    for layer in ordered:
        patch = layer.patch
        _paint(patch, picture[patch.box])
        np.copyto(owners[patch.box], layer.owner, where=patch.mask)
    masks = {}
    for layer in ordered:
        patch = layer.patch
        if layer.owner == STATIC:
            continue
        amodal = _encode(patch.mask, patch, height, width)
        seen = patch.mask & (owners[patch.box] == layer.owner)
        partly = np.count_nonzero(seen) < np.count_nonzero(patch.mask)
        masks[layer.owner] = (_encode(seen, patch, height, width) if partly else amodal, amodal)
    return ComposedFrame(picture, masks)


def _paint(patch: Patch, part: NDArray[np.uint8]) -> None:
    """Paint a patch over `part`, its box of the picture."""
    if patch.alpha is None:
        cv2.copyTo(patch.colour, patch.mask.view(np.uint8), part)
    else:
        weight = patch.alpha * np.float32(1 / 255)
        part[:] = cv2.blendLinear(patch.colour, np.ascontiguousarray(part), weight, 1 - weight)


def _encode(mask: NDArray[np.bool_], patch: Patch, height: int, width: int) -> Rle:
    return rle.encode_box(mask, top=patch.top, left=patch.left, height=height, width=width)


@dataclass(frozen=True)
class Identity:
    """Properties of an object that stay the same through a video."""

    id: int
    class_id: int
    class_name: str
    speed: float
    scale: float


@dataclass
class ClipRecorder:
    """Collects composed frames into the objects of a video, and drops those that are hardly ever visible."""

    height: int
    width: int
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    _masks: list[dict[int, tuple[Rle, Rle]]] = field(default_factory=list)

    def add(self, picture: NDArray[np.uint8], masks: dict[int, tuple[Rle, Rle]]) -> None:
        """Add a frame with the visible and amodal masks of its objects by ID."""
        self.frames.append(picture)
        self._masks.append(masks)

    def repeat(self) -> None:
        """Add the last frame once more."""
        self.add(self.frames[-1], self._masks[-1])

    def objects(self, identities: Iterable[Identity], least: int = MIN_VISIBLE_PIXELS) -> tuple[RenderedObject, ...]:
        """Return the objects of which more than `least` pixels are visible in all frames together."""
        empty = rle.empty(self.height, self.width)
        kept = []
        for who in identities:
            pairs = [masks.get(who.id, (empty, empty)) for masks in self._masks]
            visible, amodal = (tuple(pair[i] for pair in pairs) for i in (0, 1))
            if sum(rle.area(r) for r in visible) > least:
                kept.append(
                    RenderedObject(
                        id=who.id,
                        class_id=who.class_id,
                        class_name=who.class_name,
                        speed=who.speed,
                        scale=who.scale,
                        visible_rles=visible,
                        amodal_rles=amodal,
                    )
                )
        return tuple(kept)
