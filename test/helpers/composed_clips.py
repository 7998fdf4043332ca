"""Clips composed of drawn cut-outs and photographs."""

from pathlib import Path

import numpy as np
import pytest
from pictures import make_pictures

from a2vis_model.data.problems import ProblemLog
from a2vis_model.render.composed_world import ComposedClip
from a2vis_model.render.cutouts import Pictures, load_pictures

SIZE = {"height": 64, "width": 96}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Cut-outs of four classes, one of them rare, and two photographs."""
    return make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def pictures(folder) -> Pictures:
    return load_pictures(folder / "cutouts", folder / "backgrounds", ProblemLog(strict=True))


@pytest.fixture(scope="module")
def clips(pictures) -> list:
    """Some frames of each of a few clips, with what they were composed of."""
    found = []
    for seed in range(8):
        clip = ComposedClip.sample(pictures, seed=seed, frames=40, **SIZE)
        found.append((clip, clip.render(range(0, 40, 8), least=0)))
    return found


def block(height: int = 40, width: int = 20) -> np.ndarray:
    """RGBA, red on the left and blue on the right."""
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
    return pixels
