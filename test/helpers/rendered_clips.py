"""Clips of both worlds, small and few."""

import pytest
from paths import SHARED

from a2vis_model.render import (
    RenderedClip,
    render_clip,
)

WORLDS = ("aquarium", "robot")


SMALL = {"frames": 3, "height": 96, "width": 144}


REAL_CLIPS = SHARED / "data" / "fishbowl" / "train"


@pytest.fixture(scope="module")
def clips() -> dict[str, list[RenderedClip]]:
    """Four clips of each world, four frames each, full size."""
    return {
        world: [render_clip(world=world, seed=seed, frames=4, height=320, width=480) for seed in range(4)]
        for world in WORLDS
    }
