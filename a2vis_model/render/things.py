"""Objects of a composed scene: cut-outs with a size, a journey and a manner of moving."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .billboard import Sprite, make_sprite
from .cutouts import Pictures, Pixels
from .harmonise import colour_change, harmonise
from .journey import Gait, Journey, sample_gait, sample_journey
from .stage import Stage
from .texture import Rng
from .traits import Traits, traits_of

_COMMON = 400  # Number of cut-outs of a class from which each is varied only a little.


@dataclass(frozen=True)
class Thing:
    """An object: its picture, the journey of its foot on the ground, and its motion.

    `lift` is the height above the ground of the lower edge, for things whose lower part is missing in their photograph.
    """

    id: int
    class_name: str
    file: str
    sprite: Sprite
    journey: Journey
    gait: Gait
    speed: float
    lift: float


def sample_thing(rng: Rng, pictures: Pictures, stage: Stage, *, number: int, class_name: str) -> Thing:
    """Sample a thing of a class somewhere on the stage, on a journey that leads through the view."""
    cutouts = pictures.cutouts[class_name]
    cutout = cutouts[int(rng.integers(len(cutouts)))]
    traits = traits_of(class_name, pictures.sizes)
    rarity = float(np.clip(1 - np.log(len(cutouts)) / np.log(_COMMON), 0, 1))
    pixels = _varied(rng, cutout.pixels, rarity)
    rows, columns = pixels.shape[:2]
    cut = traits.motion in ("walks", "trots") and is_cut(pixels)
    tall, lift = _size(rng, traits, rows, columns, cut, float(stage.camera.position[1]))
    wide = tall * columns / rows
    depth = stage.sample_border_depth(rng, tall, lift) if cut else stage.sample_depth(rng, tall, wide, rows)
    x = float(rng.normal(0, 0.45)) * stage.half_view(depth)
    speed = min(float(rng.uniform(*traits.speed)), 2 * stage.half_view(depth))
    return Thing(
        id=number,
        class_name=class_name,
        file=cutout.file,
        sprite=make_sprite(_lit(rng, pixels, stage, x, depth, tall, traits, rarity), tall),
        journey=sample_way(rng, stage, traits, x=x, depth=depth, wide=wide, speed=speed),
        gait=sample_gait(
            rng, traits.motion, upright=rows > 1.7 * columns and not cut, height=tall, liveliness=1 + 0.5 * rarity
        ),
        speed=speed,
        lift=lift,
    )


def sample_way(rng: Rng, stage: Stage, traits: Traits, *, x: float, depth: float, wide: float, speed: float) -> Journey:
    """Sample a journey: standing at `x` and `depth` metres from the camera, or moving through there."""
    at = stage.camera.position[[0, 2]].astype(np.float64)
    if rng.uniform() < traits.standing:
        return Journey(np.zeros(1), np.array([(x, depth)]) + at)
    journey = sample_journey(
        rng,
        place=(x, depth),
        reach=1.1 * stage.half_view(depth) + 0.6 * wide,
        speed=speed,
        window=stage.window,
        turns=traits.motion != "rolls",
    )
    return replace(journey, places=journey.places + at)


def is_cut(pixels: Pixels) -> bool:
    """Return whether a thing's lower end is a straight line: the border of its photograph, or an obstacle."""
    solid = pixels[..., 3] >= 128
    rows, columns = solid.shape
    above_bottom = np.argmax(solid[::-1], axis=0)
    low = solid.any(axis=0) & (above_bottom <= max(0.02 * rows, 1))
    return float(low.sum()) > 0.5 * columns


def _varied(rng: Rng, pixels: Pixels, rarity: float) -> Pixels:
    """Mirror a picture half of the time, and stretch it, more so where there are few cut-outs of a class."""
    if rng.uniform() < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    stretch = float(np.exp(rng.normal(0, 0.04 + 0.08 * rarity)))
    size = (max(round(pixels.shape[1] * stretch), 8), pixels.shape[0])
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _size(rng: Rng, traits: Traits, rows: int, columns: int, cut: bool, eye: float) -> tuple[float, float]:
    """Sample the height of a thing in metres, and the height of its lower edge above the ground.

    The lower edge is well below the camera's `eye`, so that the lower border of the picture can hide it.
    """
    whole = traits.metres * float(np.exp(rng.normal(0, 0.1)))
    share = traits.height(rows, columns) / traits.metres
    if not cut:
        sits = traits.motion == "walks" and rows < 1.4 * columns
        return whole * share * (0.75 if sits else 1), 0.0
    if traits.motion != "walks":
        return 0.8 * whole * share, 0.0
    # The wider the picture of a person is, the less of the body is in it.
    share = float(np.interp(rows / columns, (0.8, 1.3, 2.2, 3), (0.3, 0.45, 0.65, 0.9)))
    return whole * share, min(whole * (1 - share), 0.6 * eye)


def _lit(
    rng: Rng, pixels: Pixels, stage: Stage, x: float, depth: float, tall: float, traits: Traits, rarity: float
) -> Pixels:
    """Scale a picture to about the size at which it is seen, and adapt light, colours and sharpness to the place."""
    pixels = stage.fitted(pixels, tall, depth)
    painted = traits.motion == "rolls" and rng.uniform() < 0.3 + 0.4 * rarity
    change = colour_change(rng, hue=180 if painted else 6 + 10 * rarity, strength=0.15 + 0.25 * rarity)
    light, colour = float(rng.uniform(0.1, 0.65)), float(rng.uniform(0.05, 0.5))
    around = stage.surroundings(stage.place(x, depth), tall)
    lit = harmonise(pixels, change, around, light=light, colour=colour)
    shown = len(lit) * depth / (tall * stage.camera.focal)  # Its pixels per picture pixel.
    softness = float(rng.uniform(0.2, 0.6)) / float(stage.backdrop.to_photo[0, 0]) * min(shown, 1.4)
    return np.asarray(cv2.GaussianBlur(lit, (5, 5), softness), np.uint8) if softness > 0.35 else lit
