"""The procedural generator's statistics."""

import cv2
import numpy as np
import pytest
from clip_statistics import areas_of_clip, areas_of_folder, longest_hidden, measure
from rendered_clips import REAL_CLIPS, clips

from a2vis_model.render import (
    render_clip,
)

__all__ = ["clips"]


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


# Statistics


def test_statistics_of_a_known_clip():
    zeros, full = np.zeros(6, int), np.full(6, 100)
    visible = np.array([0, 100, 0, 0, 40, 100])
    found = measure([[(visible, full), (full, full)], [(zeros + 50, full)]])
    assert found.objects_per_clip == 1.5
    assert found.objects_per_frame == pytest.approx((6 + 3 + 6) / 12)
    assert found.fully_hidden == pytest.approx(3 / 18)
    assert found.occlusion_above[0.5] == pytest.approx(4 / 18)
    assert longest_hidden(visible, full) == 2  # not the frame before it was first seen
    assert longest_hidden(np.array([1, 0, 0, 0]), np.array([1, 1, 0, 1])) == 1


def test_aquarium_statistics_are_near_fishbowl():
    """The bounds are around the statistics of 50 clips in FISHBOWL's format.

    These have 7.2 fish a frame; 21 % of fish-frames are hidden by over 0.1, and 6 % by over 0.5.
    """
    sample = [render_clip(world="aquarium", seed=s, frames=1, height=320, width=480) for s in range(100, 116)]
    found = measure(map(areas_of_clip, sample))
    assert 5 < found.objects_per_frame < 10
    assert 0.12 < found.occlusion_above[0.1] < 0.40
    assert 0.03 < found.occlusion_above[0.5] < 0.20
    assert 1000 < found.median_area < 3000


@pytest.mark.skipif(not REAL_CLIPS.is_dir(), reason="needs the FISHBOWL clips in ../shared/data")
def test_stated_statistics_of_given_clips():
    found = measure(areas_of_folder(p) for p in sorted(REAL_CLIPS.iterdir())[:15] if p.is_dir())
    assert 5 < found.objects_per_frame < 10
    assert 0.12 < found.occlusion_above[0.1] < 0.30
    assert 1000 < found.median_area < 3000


def test_robot_world_hides_objects_for_long():
    """Objects that were seen stay fully hidden, inside the frame, for over twenty frames, and come back."""
    sample = [render_clip(world="robot", seed=seed, frames=96, height=64, width=96) for seed in range(200, 204)]
    objects = [o for clip in sample for o in clip.objects]
    seen = [o.visible_areas > 0 for o in objects]
    assert len(objects) >= 10
    assert sum(longest_hidden(o.visible_areas, o.amodal_areas) >= 20 for o in objects) >= 2
    assert sum((np.diff(s.astype(int)) == 1).sum() > (not s[0]) for s in seen) >= 3
