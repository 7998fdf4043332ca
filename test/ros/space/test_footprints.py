"""Points for a costmap, and what goes with every frame."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import CAMERA, HEIGHT, LEVEL, Box, frame, look, track

from a2vis_ros.space.depth_matcher import DepthMatcher
from a2vis_ros.space.footprints import FootprintSettings, hidden_footprints
from a2vis_ros.space.localizer import Localizer, LocalizerSettings, LocatedObject, State
from a2vis_ros.space.transforms import TransformBuffer

SETTINGS = FootprintSettings(existence=0.2, sigma=1.0, max_growth=1.0, step=0.05)


@pytest.fixture
def hidden() -> LocatedObject:
    """Somebody who stood at (6, 1) in odom, half a second ago."""
    buffer = TransformBuffer()
    buffer.add("odom", "camera", LEVEL, 0, static=True)
    localizer = Localizer(LocalizerSettings(fixed_frame="odom"), buffer)
    (masks,), depth = look([Box(6.0, 1.0)])
    for i in range(5):
        localizer.update(frame(0.1 * i, [track(*masks)]), CAMERA, depth)
    (found,) = localizer.update(frame(0.9, [track(*masks, state=State.LOST)]), CAMERA).objects
    return found


def test_a_footprint_is_the_box_grown_by_how_unsure_its_place_is(hidden: LocatedObject) -> None:
    points = hidden_footprints([hidden], SETTINGS)
    assert points.dtype == np.float32
    assert points.mean(axis=0) == pytest.approx([6.0, 1.0, 0.85], abs=0.2)
    std = float(np.sqrt(np.linalg.eigvalsh(hidden.covariance[:2, :2]).max()))
    reach = np.linalg.norm(points[:, :2] - hidden.position[:2], axis=1).max()
    assert 0.3 + std < reach < np.hypot(*(hidden.size[:2] / 2 + std)) + 0.01
    # A costmap's cell of 5 cm is never passed over.
    gaps = np.linalg.norm(points[1:] - points[:-1], axis=1)
    assert np.median(gaps) <= 0.05
    bare = hidden_footprints([hidden], replace(SETTINGS, sigma=0.0))
    assert len(bare) < len(points)
    capped = hidden_footprints([hidden], replace(SETTINGS, sigma=5.0, max_growth=0.1))
    assert len(capped) < len(points)


def test_who_is_seen_or_hardly_believed_in_has_none(hidden: LocatedObject) -> None:
    for one in (
        hidden._replace(state=State.VISIBLE),
        hidden._replace(existence=0.1),
        hidden._replace(state=State.ENDED),
    ):
        assert hidden_footprints([one], SETTINGS).shape == (0, 3)
    assert len(hidden_footprints([hidden, hidden], SETTINGS)) == 2 * len(hidden_footprints([hidden], SETTINGS))


def test_a_vast_footprint_has_no_more_points_than_a_costmap_can_take(hidden: LocatedObject) -> None:
    vast = hidden._replace(covariance=np.eye(6) * 1e6)
    assert len(hidden_footprints([vast], replace(SETTINGS, max_growth=100.0))) < 25_000


def test_depth_belongs_to_the_frame_with_the_nearest_stamp() -> None:
    matcher: DepthMatcher[str] = DepthMatcher(tolerance_s=0.02, capacity=3)
    assert matcher.find(0) is None
    assert not matcher.may_come(0, now=0.0)
    for i, name in enumerate("abcd"):
        matcher.add(i * 33_000_000, name, now=0.033 * i)
    assert matcher.find(99_000_000) == "d"
    assert matcher.find(70_000_000) == "c"
    assert matcher.find(0) is None, "it has gone"
    assert matcher.find(125_000_000) is None
    assert matcher.offset_s(125_000_000) == pytest.approx(-0.026)
    # The next may still come, unless the source has fallen silent or is past.
    assert matcher.may_come(125_000_000, now=0.2)
    assert not matcher.may_come(125_000_000, now=5.0)
    assert not matcher.may_come(10_000_000, now=0.2)


def test_a_nearer_depth_image_is_waited_for_while_it_may_come() -> None:
    matcher: DepthMatcher[str] = DepthMatcher(tolerance_s=0.05, capacity=9)
    ms = 1_000_000
    matcher.add(1000 * ms, "a", now=0.0)
    # At what intervals they come is not known yet.
    assert matcher.may_come(1001 * ms, now=0.0)
    assert not matcher.may_come(1000 * ms, now=0.0), "none is nearer than an equal one"
    matcher.add(1033 * ms, "b", now=0.03)
    assert matcher.find(1066 * ms) == "b"
    assert matcher.may_come(1066 * ms, now=0.03), "the next one may be equal"
    assert matcher.may_come(1055 * ms, now=0.03)
    assert not matcher.may_come(1045 * ms, now=0.03), "the next one is 21 ms later, this one 12 ms earlier"
    assert not matcher.may_come(1030 * ms, now=0.03), "this one is later, and the next one more so"
    assert not matcher.may_come(1066 * ms, now=5.0), "the source has fallen silent"
    matcher.add(1067 * ms, "c", now=0.06)
    assert matcher.find(1066 * ms) == "c"
    assert not matcher.may_come(1066 * ms, now=0.06)
    # A bag that loops says nothing of the interval.
    matcher.add(500 * ms, "d", now=0.1)
    assert not matcher.may_come(512 * ms, now=0.1)
    assert matcher.may_come(530 * ms, now=0.1)


def test_equal_stamps_alone_with_a_tolerance_of_0() -> None:
    matcher: DepthMatcher[str] = DepthMatcher(tolerance_s=0.0, capacity=3)
    matcher.add(1_000_000_001, "a", now=0.0)
    assert matcher.find(1_000_000_000) is None
    assert matcher.find(1_000_000_001) == "a"
    assert matcher.may_come(1_000_000_002, now=0.1)
    assert not matcher.may_come(1_000_000_000, now=0.1)


def test_the_world_is_level() -> None:
    assert LEVEL.apply(np.array([0.0, HEIGHT, 0.0])) == pytest.approx([0, 0, 0])
