"""Pillars hide a fish for exactly the chosen frames, under every motion of the camera, with exact masks."""

import numpy as np
import pytest

from a2vis_model.masks import coco
from a2vis_model.render.clip import RenderedClip, RenderedObject
from science.screens import (
    FULL_HEIGHT,
    FULL_WIDTH,
    HEIGHT,
    LEAD,
    TAIL,
    WIDTH,
    Motion,
    behind_screen,
    find_screen,
    windows,
)

FRAMES = 100


def swimming(y: int, speed: float, start: float, number: int) -> RenderedObject:
    """A fish of 40x20 pixels that swims to the right, never hidden."""
    masks = []
    for t in range(FRAMES):
        pixels = np.zeros((FULL_HEIGHT, FULL_WIDTH), np.bool_)
        x = round(start + speed * t)
        pixels[y : y + 20, max(x, 0) : max(x + 40, 0)] = True
        masks.append(coco.as_text(coco.encode(pixels)))
    return RenderedObject(number, 0, "SmallFishA", 1.0, 1.0, tuple(masks), tuple(masks))


@pytest.fixture(scope="module")
def clip() -> RenderedClip:
    frames = np.full((FRAMES, FULL_HEIGHT, FULL_WIDTH, 3), 200, np.uint8)
    # The second leaves the picture soon: no pillar can be for it.
    return RenderedClip("aquarium", 0, frames, (swimming(150, 2.0, 130, 7), swimming(250, 9.0, 130, 8)))


@pytest.mark.parametrize("motion", ["still", "pan", "shake"])
@pytest.mark.parametrize("length", [3, 12, 40])
def test_a_fish_is_wholly_hidden_for_the_chosen_frames(clip: RenderedClip, motion: Motion, length: int) -> None:
    screen = find_screen(clip, length, np.random.default_rng(3))
    assert screen is not None
    assert screen.thing == 0
    hidden = behind_screen(clip, screen, motion, 5)
    assert hidden.frames.shape == (LEAD + length + TAIL, HEIGHT, WIDTH, 3)
    fish = next(thing for thing in hidden.objects if thing.id == 7)
    assert np.flatnonzero(fish.visible_areas == 0).tolist() == list(range(LEAD, LEAD + length))
    assert (fish.amodal_areas == 40 * 20).all()  # It is never cut by the window.
    assert (fish.visible_areas[: LEAD - 12] == 800).all()
    assert (fish.visible_areas[LEAD + length + 12 :] == 800).all()


def test_masks_cover_what_the_pillar_leaves(clip: RenderedClip) -> None:
    screen = find_screen(clip, 12, np.random.default_rng(3))
    assert screen is not None
    hidden = behind_screen(clip, screen, "pan", 5)
    fish = next(thing for thing in hidden.objects if thing.id == 7)
    half = next(t for t in range(len(hidden.frames)) if 0 < fish.visible_areas[t] < 800)
    seen, whole = coco.decode(fish.visible_rles[half]), coco.decode(fish.amodal_rles[half])
    water = (hidden.frames[half] == 200).all(axis=2)
    assert (seen == (whole & water)).all()


def test_windows_stay_inside_and_move_as_they_are_called() -> None:
    paths = {motion: windows(motion, 300, np.random.default_rng(1)) for motion in ("still", "pan", "shake")}
    for path in paths.values():
        assert (path >= 0).all()
        assert (path <= (FULL_WIDTH - WIDTH, FULL_HEIGHT - HEIGHT)).all()
    assert (paths["still"] == paths["still"][0]).all()
    assert np.ptp(paths["pan"][:, 0]) >= FULL_WIDTH - WIDTH - 3  # It turns between two frames.
    assert np.ptp(paths["pan"][:, 1]) == 0
    steps = np.abs(np.diff(paths["pan"][:, 0]))
    assert 1 <= steps.mean() <= 2  # 48 pixels a second
    assert np.abs(np.diff(paths["shake"], axis=0)).max() > 2


def test_without_a_fish_that_fits_there_is_no_pillar(clip: RenderedClip) -> None:
    assert find_screen(clip, 200, np.random.default_rng(0)) is None
