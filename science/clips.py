"""The clips that systems are measured on: rendered from numbers that no training has, in sets of ten.

A set is the unit of resuming: its clips are rendered where they are needed, and are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2

from a2vis_model.data.problems import ProblemLog, quiet_loaders
from a2vis_model.files.atomic import remove_abandoned_folders
from a2vis_model.render.clip import RenderedClip
from a2vis_model.render.composed_world import ComposedClip
from a2vis_model.render.cutouts import load_pictures
from a2vis_model.render.fishbowl_writer import write_clip
from a2vis_model.render.worlds import clip_seed, render_clip

from .context import Context

World = Literal["aquarium", "composed"]

CLIPS = 10
"""Clips of a set."""
_SEEDS: dict[World, int] = {"aquarium": 161_601, "composed": 161_602}
"""Seeds of the series; recipes train on other series, and composed ones on other pictures (`cutouts/train`)."""


@dataclass(frozen=True)
class ClipSet:
    """Ten clips of a world.

    `aquarium` looks like FISHBOWL, 480x320; `composed` is made of cut-outs and backgrounds of `val`, 384x256.
    """

    world: World
    number: int
    frames: int

    @property
    def name(self) -> str:
        """Name of the set, such as "aquarium-0"."""
        return f"{self.world}-{self.number}"

    def key(self) -> Mapping[str, Any]:
        """Return what determines the clips."""
        return {"world": self.world, "set": self.number, "frames": self.frames, "seed": _SEEDS[self.world]}

    def folder(self, context: Context) -> Path:
        """Return the folder of the set, in FISHBOWL's format, after rendering what is missing."""
        folder = context.scratch / "clips" / f"{self.name}-{self.frames}"
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned_folders(folder)
        render = self._renderer(context)
        cv2.setNumThreads(1)
        for index in range(CLIPS):
            target = folder / f"{index:03d}"
            if not target.exists():
                write_clip(render(clip_seed(_SEEDS[self.world], self.number * CLIPS + index)), target)
        return folder

    def _renderer(self, context: Context) -> Callable[[int], RenderedClip]:
        if self.world == "aquarium":
            return lambda seed: render_clip(world="aquarium", seed=seed, frames=self.frames, height=320, width=480)
        root = context.root("robot")
        with quiet_loaders():
            pictures = load_pictures(root / "cutouts" / "val", root / "backgrounds" / "val", ProblemLog())
        return lambda seed: ComposedClip.sample(pictures, seed=seed, frames=self.frames, height=256, width=384).render()
