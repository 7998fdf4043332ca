"""All ways that are compared, on frames whose truth is known: which is better where, and by how much."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from worlds import CAMERA, LEVEL, Box, look

from a2vis_model.render import render_clip
from a2vis_ros.bags.rendered_clips import space_frames
from a2vis_ros.planner.mask_codec import decode_image
from a2vis_ros.space.evaluation import SpaceScorer, View
from a2vis_ros.space.localizer import FrameError, State
from a2vis_ros.space.rehearsal import METHODS, Method, SpaceFrame, compare, rehearse, true_tracks
from a2vis_ros.space.report import comparison, details
from a2vis_ros.space.truth import TrueThing, width_across

LOW, HIGH = Box(5, 0, (0.3, 2.0, 0.8)), Box(5, 0, (0.3, 2.0, 3.0))
"""Before a walker 8 m away they cover the feet, or all."""
SPEED, RATE = 1.5, 10
PERSON = (0.5, 0.5, 1.7)


def walk(occluder: Box) -> list[SpaceFrame]:
    """Somebody walks past the camera, for four seconds, behind something that is no object."""
    known: set[int] = set()
    frames = []
    for t in range(41):
        y = SPEED * (t - 20) / RATE
        walker = Box(8, y)
        masks, depth = look([walker, occluder])
        centre, velocity = walker.centre, np.array([0, SPEED, 0.0])
        size = np.array(PERSON)
        width = width_across(size, 0.0, centre, masks[0][1], CAMERA, LEVEL)
        things = [TrueThing(1, "person", centre, velocity, size, width, *masks[0])]
        tracks = true_tracks(things, known)
        frames.append(SpaceFrame(round(t * 1e9 / RATE), CAMERA, LEVEL, depth, tracks, things))
    return frames


def scored(frames: list[SpaceFrame]) -> dict[str, dict[View, object]]:
    scorers = {method: SpaceScorer() for method in METHODS}
    compare(frames, scorers)
    assert all(method.name in comparison(scorers) for method in METHODS)
    found = {method.name: scorer.scores() for method, scorer in scorers.items()}
    check_details(details(scorers), found)
    return found


def check_details(text: str, found: dict[str, dict[View, object]]) -> None:
    """The report gives velocity, height, sigma and NEES for depth and for the ground, with amodal and visible masks."""
    header, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    told = {(row["method"], row["seen"]): row for row in (dict(zip(header, line, strict=True)) for line in lines)}
    methods = ("depth, amodal", "ground, amodal", "ground, visible")
    assert set(told) == {(name, view.value) for name in methods for view in found[name]}
    names = {
        "velocity, median (m/s)": "velocity_median",
        "height, median": "height_median",
        "width, median": "width_median",
        "σ, median (m)": "position_std_median",
        "NEES (2)": "nees_mean",
    }
    for (method, seen), row in told.items():
        for column, name in names.items():
            assert row[column] == f"{getattr(found[method][View(seen)], name):.2f}"


def test_amodal_masks_place_on_the_ground_whose_feet_are_covered_and_visible_ones_do_not():
    found = scored(walk(LOW))
    for name in ("depth, amodal", "ground, amodal"):
        assert found[name][View.FULL].position_p95 < 0.3
        assert found[name][View.FOOT_COVERED].position_p95 < 0.3
        assert found[name][View.FOOT_COVERED].height_median < 0.1
        # Whoever walks past is seen to be wider where he is seen obliquely.
        assert found[name][View.FULL].width_median < 0.1
    # The line over the edge of the wall meets the ground 15 m away.
    assert found["ground, visible"][View.FOOT_COVERED].position_median > 2
    assert found["ground, visible"][View.FULL].objects == found["ground, amodal"][View.FULL].objects


def test_the_filter_follows_what_walks_hidden_and_standing_still_does_not():
    found = scored(walk(HIGH))
    hidden = [view for view in found["ground, amodal"] if view.value.startswith("hidden")]
    assert View.HIDDEN_3 in hidden
    for view in hidden:
        assert found["ground, amodal"][view].recall == 1
        assert found["ground, amodal"][view].position_median < 0.4
    last = found["ground, amodal, still"][View.HIDDEN_3]
    assert last.position_median == pytest.approx(SPEED * 1.5, abs=0.7)
    assert last.velocity_median == pytest.approx(SPEED)


def test_where_nothing_was_said_of_a_frame_nothing_is_said_of_its_objects():
    frames = [replace(frame, tracks=None) if t % 2 else frame for t, frame in enumerate(walk(LOW))]
    evaluated = rehearse(frames, METHODS[0])
    assert [len(frame.estimates) for frame in evaluated] == [1 - t % 2 for t in range(41)]
    assert all(len(frame.truth) == 1 for frame in evaluated)


def test_depth_that_is_missing_is_said():
    frames = [replace(frame, depth=None) for frame in walk(LOW)[:2]]
    with pytest.raises(FrameError, match=r"depth, amodal: the frame of 0\.000 s has no depth"):
        rehearse(frames, METHODS[0])
    assert len(rehearse(frames, Method("ground", depth=False, amodal=True))) == 2


def test_a_perfect_tracker_knows_what_has_been_seen():
    frames = walk(HIGH)
    states = [frame.tracks[0].state for frame in frames]
    assert {State.VISIBLE, State.OCCLUDED} == set(states)
    assert true_tracks([replace(frames[20].things[0])], set()) == []


def test_a_rendered_clip_is_what_its_truth_says():
    cv2.setNumThreads(1)
    clip = render_clip(world="robot", seed=2, frames=6, height=96, width=144, space=True)
    frames = space_frames(clip)
    truth = clip.space
    for t, frame in enumerate(frames):
        assert frame.stamp_ns == round(truth.stamps[t] * 1e9)
        assert frame.camera.fx == truth.camera.focal[t]
        turn = (
            Rotation.from_matrix(frame.world_from_camera.rotation)
            * Rotation.from_quat(truth.camera.orientation[t]).inv()
        )
        assert turn.magnitude() < 1e-6
        np.testing.assert_allclose(frame.depth * 1000, clip.depth[t], atol=0.01)
        for thing, rendered, true in zip(frame.things, clip.objects, truth.things, strict=True):
            assert np.array_equal(decode_image(thing.amodal, 96, 144), rendered.amodal[t])
            assert np.array_equal(decode_image(thing.visible, 96, 144), rendered.visible[t])
            assert np.array_equal(thing.position, true.middle[t])
    with pytest.raises(ValueError, match="space=True"):
        space_frames(replace(clip, space=None))
