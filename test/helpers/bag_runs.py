"""A rendered clip, weights, and what is read of runs on bags."""

from pathlib import Path

import pytest

from a2vis_model.render import render_clip, write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips") / "00000"
    write_clip(render_clip(world="robot", seed=3, frames=12, height=64, width=96), folder)
    return folder
