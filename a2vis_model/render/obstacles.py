"""Obstacles that hide the things of a composed scene: occluders in front of them, occluders elsewhere, and decoys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .billboard import Sprite, make_sprite
from .cutouts import Pictures, Pixels
from .harmonise import colour_change, harmonise
from .journey import Journey
from .occluders import decoy, occluder
from .stage import Stage
from .texture import Rng
from .things import Thing, sample_way
from .traits import OTHER
from .view import View

_PLANNED_SHARE = 0.25  # Share of things that an occluder is put in front of.
_MOST_PLANNED = 3
_WHOLLY_SHARE = 0.75  # Share of the occluders in front of moving things that hide them completely.
_HIDDEN_SECONDS = (0.3, 3.0)
_CLEARANCE = 1.0  # Distance in front of the camera in metres where the range ends.
_OTHERS = 0.5  # Average number of occluders and decoys that stand anywhere, of each kind.


@dataclass(frozen=True)
class Obstacle:
    """Something that hides things and is no object itself; most obstacles stand still."""

    sprite: Sprite
    journey: Journey


def sample_obstacles(
    rng: Rng, pictures: Pictures, things: Sequence[Thing], view: View, stage: Stage
) -> tuple[Obstacle, ...]:
    """Sample all obstacles of a scene with these `things`."""
    found: list[Obstacle] = []
    for thing in things:
        if len(found) < _MOST_PLANNED and rng.uniform() < _PLANNED_SHARE:
            found.append(_before(rng, pictures, thing, view, stage))
    for _ in range(int(rng.poisson(_OTHERS))):
        tall = float(np.exp(rng.uniform(np.log(0.3), np.log(3))))
        wide = tall * float(np.exp(rng.uniform(np.log(0.08), np.log(2))))
        depth = 1 + float(rng.uniform(0.2, 0.6)) * stage.backdrop.depth
        x = float(rng.uniform(-1, 1)) * stage.half_view(depth)
        found.append(_standing(rng, stage, occluder(rng, _photo(rng, pictures), tall, wide), tall, x, depth))
    found += [_decoy(rng, pictures, stage) for _ in range(int(rng.poisson(_OTHERS)))]
    return tuple(found)


def _photo(rng: Rng, pictures: Pictures) -> Pixels:
    return pictures.backgrounds[int(rng.integers(len(pictures.backgrounds)))]


def _standing(rng: Rng, stage: Stage, pixels: Pixels, tall: float, x: float, depth: float) -> Obstacle:
    foot = stage.place(x, depth)
    return Obstacle(_sprite(rng, stage, pixels, tall, x, depth), Journey(np.zeros(1), np.array([foot[[0, 2]]], float)))


def _sprite(rng: Rng, stage: Stage, pixels: Pixels, tall: float, x: float, depth: float) -> Sprite:
    """Make a sprite with the light and colours of the place."""
    pixels = stage.fitted(pixels, tall, depth)
    change = colour_change(rng, hue=0, strength=0.3)
    light, colour = float(rng.uniform(0.2, 0.8)), float(rng.uniform(0, 0.5))
    around = stage.surroundings(stage.place(x, depth), tall)
    return make_sprite(harmonise(pixels, change, around, light=light, colour=colour), tall)


def _decoy(rng: Rng, pictures: Pictures, stage: Stage) -> Obstacle:
    """Make the shape of a cut-out, filled with something else, which moves like things do."""
    cutouts = pictures.cutouts[pictures.classes[int(rng.integers(len(pictures.classes)))]]
    silhouette = cutouts[int(rng.integers(len(cutouts)))].pixels[..., 3]
    pixels = decoy(rng, _photo(rng, pictures), silhouette)
    rows, columns = pixels.shape[:2]
    tall = float(np.exp(rng.uniform(np.log(0.3), np.log(2))))
    wide = tall * columns / rows
    depth = stage.sample_depth(rng, tall, wide, rows)
    x = float(rng.normal(0, 0.5)) * stage.half_view(depth)
    way = sample_way(rng, stage, OTHER, x=x, depth=depth, wide=wide, speed=float(rng.uniform(*OTHER.speed)))
    return Obstacle(_sprite(rng, stage, pixels, tall, x, depth), way)


def _before(rng: Rng, pictures: Pictures, thing: Thing, view: View, stage: Stage) -> Obstacle:
    """Make an occluder that hides `thing`, or a part of it, for 0.3 to 3 s."""
    time = float(rng.uniform(0.1, 0.9)) * stage.window
    eye = view.camera(time).position.astype(np.float64)
    step, later = thing.journey.at(time), thing.journey.at(time + 0.1)
    speed = abs(later.x - step.x) / 0.1
    share = float(rng.uniform(0.45, 0.9))  # Share of the way from the eye to the thing.
    # The distance is large enough that the camera does not run into it.
    nearest = float(view.camera(stage.window).position[2]) + _CLEARANCE
    share = max(share, min((nearest - eye[2]) / max(step.z - eye[2], 0.1), 0.95))
    foot = eye[[0, 2]] + share * (np.array([step.x, step.z]) - eye[[0, 2]])
    # As high as the line from the eye to the top of the thing is there.
    tall = eye[1] + (thing.lift + thing.sprite.height - eye[1]) * share
    wholly = bool(speed and rng.uniform() < _WHOLLY_SHARE)
    if wholly:
        seconds = float(np.exp(rng.uniform(*np.log(_HIDDEN_SECONDS))))
        wide = share * (1.2 * thing.sprite.width + speed * seconds)
        tall *= float(rng.uniform(1.1, 1.5))
    else:
        wide = share * thing.sprite.width * float(rng.uniform(0.15, 0.9))
        tall *= float(rng.uniform(0.4, 1.5))
    x, depth = (float(v) for v in foot - stage.camera.position[[0, 2]])
    tall = max(float(tall), 0.1)
    wide = float(np.clip(wide, 0.04, 0.6 * stage.half_view(float(foot[1] - eye[2]))))
    pixels = occluder(rng, _photo(rng, pictures), tall, wide, solid=wholly)
    return _standing(rng, stage, pixels, tall, x, depth)
