"""Clips in which a pillar hides a thing for a chosen time, seen by a camera that stands still, pans or shakes.

A rendered aquarium is looked at through a window that is smaller than the picture, and the camera's motion is that of
the window. A pillar as high as the picture comes from one side before all else, moves along with one fish for the
chosen frames, so that the fish is wholly hidden for that long, and leaves to the other side. So lengths of occlusion
differ in nothing but their length. Masks stay exact: the pillar covers visible masks, the window cuts both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from a2vis_model.masks import coco
from a2vis_model.render.clip import MIN_VISIBLE_PIXELS, RenderedClip, RenderedObject

Motion = Literal["still", "pan", "shake"]

LEAD, TAIL = 30, 30
"""Frames before and after the chosen ones."""
HEIGHT, WIDTH = 320, 480
"""Size of the window in pixels."""
FULL_HEIGHT, FULL_WIDTH = 384, 576
"""Size of the picture that it moves over."""
_LEAST_AREA = 500
_WIDEST = 200
"""Widest fish in pixels."""
_SEEN = 0.6
"""Share of a fish that is seen before the pillar comes and after it has gone."""
_PASSING = 12
"""Frames in which the pillar comes, and goes."""


@dataclass(frozen=True)
class Screen:
    """A pillar in a clip."""

    thing: int
    """Index of the fish among the clip's objects."""
    start: int
    """First frame in which it is wholly behind the pillar."""
    frames: int
    left: tuple[int, ...]
    """First column of the pillar in the whole picture, in each frame of `span`; it may be outside."""
    width: int

    @property
    def span(self) -> range:
        """Frames of the clip that are shown."""
        return range(self.start - LEAD, self.start + self.frames + TAIL)

    def columns(self, index: int) -> slice:
        """Return the columns that the pillar covers in a frame of `span`."""
        left = self.left[index]
        return slice(max(left, 0), max(left + self.width, 0))


def find_screen(clip: RenderedClip, frames: int, rng: np.random.Generator) -> Screen | None:
    """Return a pillar that hides one fish of a clip for a number of frames; None where it can hide none.

    Of all fish and times that are possible, chance decides.
    """
    found: list[tuple[int, int]] = []
    for number, thing in enumerate(clip.objects):
        amodal, visible = thing.amodal_areas, thing.visible_areas
        boxes = coco.boxes(list(thing.amodal_rles))
        middle = boxes[:, :2] + boxes[:, 2:] / 2
        # What every window of every motion shows, so that motions differ in nothing else.
        inside = (middle > (FULL_WIDTH - WIDTH, FULL_HEIGHT - HEIGHT)).all(axis=1)
        inside &= (middle < (WIDTH, HEIGHT)).all(axis=1) & (amodal >= _LEAST_AREA) & (boxes[:, 2] <= _WIDEST)
        seen = inside & (visible >= _SEEN * amodal)
        for start in range(LEAD, len(amodal) - frames - TAIL + 1):
            before, after = seen[start - LEAD : start], seen[start + frames : start + frames + TAIL]
            there = inside[start - LEAD : start + frames + TAIL]
            if there.all() and before[:-_PASSING].all() and after[_PASSING:].all():
                found.append((number, start))
    if not found:
        return None
    number, start = found[int(rng.integers(len(found)))]
    boxes = coco.boxes(list(clip.objects[number].amodal_rles))[start - LEAD : start + frames + TAIL]
    behind = boxes[LEAD : LEAD + frames]
    width = int(np.ceil(behind[:, 2].max())) + 2
    middles = boxes[:, 0] + boxes[:, 2] / 2
    steps = np.arange(-LEAD, frames + TAIL)
    away = np.where(steps < 0, steps, np.maximum(steps - frames + 1, 0)) * (1.25 * width / _PASSING)
    side = 1 if rng.uniform() < 0.5 else -1
    left = np.rint(middles + side * away - width / 2).astype(int)
    return Screen(number, start, frames, tuple(left.tolist()), width)


def windows(motion: Motion, frames: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the window's left and top column and row in each frame, [T, 2]."""
    span = np.array([FULL_WIDTH - WIDTH, FULL_HEIGHT - HEIGHT])
    middle = np.tile(span // 2, (frames, 1)).astype(np.float64)
    if motion == "pan":
        # To and fro over the whole width in 2 s each way: 48 pixels a second.
        phase = (np.arange(frames) / 60 + rng.uniform(0, 2)) % 2
        middle[:, 0] = span[0] * (1 - np.abs(phase - 1))
    elif motion == "shake":
        noise = rng.normal(0, 1, (frames + 8, 2))
        smooth = np.stack([np.convolve(noise[:, i], np.ones(3) / 3, mode="same")[4:-4] for i in range(2)], axis=1)
        middle += np.clip(smooth * 10, -span / 2, span / 2)
    return np.rint(middle).astype(np.int64)


def behind_screen(clip: RenderedClip, screen: Screen, motion: Motion, seed: int) -> RenderedClip:
    """Return the part of a clip around a pillar, with the pillar, through a moving window."""
    rng = np.random.default_rng((seed, screen.frames))
    pillar = _pillar(rng, screen.width)
    places = windows(motion, len(screen.span), rng)
    pictures = []
    for index, (t, (x, y)) in enumerate(zip(screen.span, places.tolist(), strict=True)):
        picture, columns = clip.frames[t].copy(), screen.columns(index)
        picture[:, columns] = pillar[:, : picture[:, columns].shape[1]]
        pictures.append(picture[y : y + HEIGHT, x : x + WIDTH])
    objects = (_behind(thing, screen, places.tolist()) for thing in clip.objects)
    seen = tuple(thing for thing in objects if thing.visible_areas.sum() > MIN_VISIBLE_PIXELS)
    return replace(clip, frames=np.stack(pictures), objects=seen)


def _behind(thing: RenderedObject, screen: Screen, places: Sequence[Sequence[int]]) -> RenderedObject:
    visible: list[coco.Rle] = []
    amodal: list[coco.Rle] = []
    for index, (t, (x, y)) in enumerate(zip(screen.span, places, strict=True)):
        for masks, cut, covered in ((thing.visible_rles, visible, True), (thing.amodal_rles, amodal, False)):
            pixels = coco.decode(masks[t])
            if covered:
                pixels[:, screen.columns(index)] = False
            cut.append(coco.as_text(coco.encode(pixels[y : y + HEIGHT, x : x + WIDTH])))
    return replace(thing, visible_rles=tuple(visible), amodal_rles=tuple(amodal))


def _pillar(rng: np.random.Generator, width: int) -> NDArray[np.uint8]:
    """Return a pillar of grained stone, [H, width, 3]."""
    grain = cv2.GaussianBlur(rng.normal(0, 40, (FULL_HEIGHT, width, 1)), (0, 0), 2.0).reshape(FULL_HEIGHT, width, 1)
    base = rng.uniform(50, 130) * np.array([1.0, rng.uniform(0.9, 1.05), rng.uniform(0.8, 1.0)])
    return np.clip(base + 4 * grain, 0, 255).astype(np.uint8)
