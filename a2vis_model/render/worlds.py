"""Videos by world and seed, rendered on demand for training and for the command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from ..errors import A2VISError
from .aquarium import render_aquarium
from .clip import RenderedClip
from .robot_world import render_robot_world

World = Literal["aquarium", "robot", "mixed"]

LEAST_SIDE = 32


def render_clip(*, world: World, seed: int, frames: int, height: int, width: int) -> RenderedClip:
    """Render one video; equal arguments give equal pixels and masks on the same versions of NumPy and OpenCV.

    With `mixed` the seed chooses between the two worlds.

    Raises:
        A2VISError: an argument is out of range.
    """
    check_arguments(world=world, seed=seed, frames=frames, height=height, width=width)
    if world == "mixed":
        world = "aquarium" if np.random.default_rng((seed, 1)).uniform() < 0.5 else "robot"
    render = render_aquarium if world == "aquarium" else render_robot_world
    return render(seed=seed, frames=frames, height=height, width=width)


def check_arguments(*, world: str, seed: int, frames: int, height: int, width: int) -> None:
    """Check that a video can be rendered from these arguments.

    Raises:
        A2VISError: it cannot; the message names the argument and the remedy.
    """
    if world not in get_args(World):
        raise A2VISError(f"world is {world!r}; use one of {', '.join(get_args(World))}")
    check_size(seed=seed, frames=frames, height=height, width=width)


def check_size(*, seed: int, frames: int, height: int, width: int) -> None:
    """Check that a video of any world can be rendered from these arguments.

    Raises:
        A2VISError: it cannot; the message names the argument and the remedy.
    """
    if seed < 0:
        raise A2VISError(f"seed is {seed}; use an integer from 0 on")
    if frames < 1:
        raise A2VISError(f"frames is {frames}; use at least 1")
    for name, side in (("height", height), ("width", width)):
        if side < LEAST_SIDE or side % 2:
            raise A2VISError(f"{name} is {side}; use an even number of at least {LEAST_SIDE} pixels, as H.264 needs")


def clip_seed(seed: int, index: int) -> int:
    """Return the seed of video `index` in the series `seed`, which is independent of the length of the series."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0] >> np.uint64(1))


class SyntheticClips:
    """A map-style data set: `clips[i]` is a `RenderedClip`, rendered on demand and not kept.

    `size` is (height, width) in pixels. `length` bounds the index and changes no video.
    """

    def __init__(
        self,
        world: World = "mixed",
        seed: int = 0,
        frames: int = 128,
        size: tuple[int, int] = (320, 480),
        length: int = 10_000,
    ) -> None:
        check_arguments(world=world, seed=seed, frames=frames, height=size[0], width=size[1])
        if length < 1:
            raise A2VISError(f"length is {length}; use at least 1")
        self.world: World = world
        self.seed, self.frames, self.size, self.length = seed, frames, size, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> RenderedClip:
        if not 0 <= index < self.length:
            raise IndexError(f"clip {index} of a series of {self.length}")
        height, width = self.size
        seed = clip_seed(self.seed, index)
        return render_clip(world=self.world, seed=seed, frames=self.frames, height=height, width=width)

    def __iter__(self) -> Iterator[RenderedClip]:
        return (self[index] for index in range(self.length))
