"""What rendered clips say about space agrees with their masks and their depth, and survives the way over files."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_files import huge_png
from pictures import make_pictures
from scipy.spatial.transform import Rotation

from a2vis_model.commands import render as render_command
from a2vis_model.data.fishbowl import found_classes, open_fishbowl
from a2vis_model.data.problems import DataError, ProblemLog
from a2vis_model.data.space_truth import SpaceTruth, ThingTrack, depth_file, read_depth, read_space
from a2vis_model.errors import A2VISError
from a2vis_model.render import RenderedClip, render_clip, write_clip
from a2vis_model.render.composed_world import ComposedClip
from a2vis_model.render.cutouts import load_pictures
from a2vis_model.render.space import driver_stamps, millimetres

SIZE = {"height": 160, "width": 240}


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("pictures"))


def composed(folder: Path, seed: int) -> ComposedClip:
    pictures = load_pictures(folder / "cutouts", folder / "backgrounds", ProblemLog(strict=True))
    return ComposedClip.sample(pictures, seed=seed, frames=30, **SIZE)


@pytest.fixture(scope="module")
def composed_clips(folder) -> list[RenderedClip]:
    return [composed(folder, seed).render(range(0, 30, 6), space=True) for seed in range(12)]


@pytest.fixture(scope="module")
def robot_clips() -> list[RenderedClip]:
    return [render_clip(world="robot", seed=seed, frames=4, space=True, **SIZE) for seed in range(10)]


def moments(clips: list[RenderedClip]):
    """Everything that is in view in a frame: truth, thing, frame, visible and amodal mask, depth in metres."""
    for clip in clips:
        masks = {o.id: (o.visible, o.amodal) for o in clip.objects}
        for thing in clip.space.things:
            visible, amodal = masks[thing.id]
            for t in np.flatnonzero(amodal.any(axis=(1, 2))):
                yield clip.space, thing, int(t), visible[t], amodal[t], clip.depth[t] / 1000


def project(truth: SpaceTruth, t: int, points: np.ndarray) -> np.ndarray:
    """Pixels (x, y) and depth of points of the world ``[n, 3]``, by nothing but the numbers in the file."""
    camera = truth.camera
    at = (points - camera.position[t]) @ Rotation.from_quat(camera.orientation[t]).as_matrix()
    pixels = at[:, :2] / at[:, 2:] * camera.focal[t] + camera.centre
    return np.column_stack([pixels, at[:, 2]])


def lowest_point(thing: ThingTrack, t: int) -> np.ndarray:
    """Above where it stands, ``[3]``."""
    return thing.position[t] + np.array([0, 0, thing.elevation[t]])


def corners(thing: ThingTrack, t: int) -> np.ndarray:
    """Return the corners ``[8, 3]`` of the box that, by the file, holds the thing."""
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    turn = Rotation.from_euler("z", thing.yaw[t]).as_matrix()
    return thing.middle[t] + signs * thing.size[t] / 2 @ turn.T


def bounds(mask: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom of a mask, the last pixels included."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])


# The picture


@pytest.mark.parametrize("seed", range(3))
def test_space_changes_no_pixel_and_no_mask(seed, folder):
    pairs = [
        [render_clip(world="robot", seed=seed, frames=2, space=space, **SIZE) for space in (False, True)],
        [composed(folder, seed).render(range(2), space=space) for space in (False, True)],
    ]
    for without, with_space in pairs:
        assert np.array_equal(without.frames, with_space.frames)
        assert without.objects == with_space.objects
        assert without.space is None
        assert without.depth is None
        assert with_space.depth.shape == with_space.frames.shape[:3]


def test_the_foot_of_a_cut_out_is_where_its_amodal_mask_ends_below(composed_clips):
    checked = 0
    for truth, thing, t, _, amodal, _ in moments(composed_clips):
        if thing.cut_off[t]:
            continue
        ((x, y, _),) = project(truth, t, lowest_point(thing, t)[None])
        left, _, right, bottom = bounds(amodal)
        assert abs(y - bottom) < 2
        assert left - 1 < x < right + 1
        checked += 1
    assert checked > 40


def test_the_height_of_a_cut_out_spans_its_amodal_mask(composed_clips):
    for truth, thing, t, _, amodal, _ in moments(composed_clips):
        if thing.cut_off[t]:
            continue
        scale = truth.camera.focal[t] / thing.distance[t]
        left, top, right, bottom = bounds(amodal)
        ((x, y, _),) = project(truth, t, thing.middle[t][None])
        assert abs(x - (left + right) / 2) < 2 + 0.08 * (right - left)
        assert abs(y - (top + bottom) / 2) < 2 + 0.08 * (bottom - top)
        assert bottom - top + 1 == pytest.approx(thing.size[t, 2] * scale, rel=0.08, abs=3)
        assert right - left + 1 == pytest.approx(thing.size[t, 1] * scale, rel=0.3, abs=3)


def test_the_box_of_a_body_holds_its_amodal_mask_and_that_of_a_crate_fits(robot_clips):
    checked = {"Box": 0, "Person": 0, "Robot": 0}
    for truth, thing, t, _, amodal, _ in moments(robot_clips):
        if thing.cut_off[t]:
            continue
        projected = project(truth, t, corners(thing, t))
        box = np.concatenate([projected[:, :2].min(axis=0), projected[:, :2].max(axis=0)])
        inside = (bounds(amodal) - box) * (1, 1, -1, -1)
        assert inside.min() > -2
        if thing.class_name == "Box":
            assert inside.max() < 2
        checked[thing.class_name] = checked.get(thing.class_name, 0) + 1
    assert min(checked.values()) > 5


# Depth


def test_depth_inside_a_visible_mask_is_the_distance_of_the_cut_out(composed_clips):
    for _, thing, t, visible, _, depth in moments(composed_clips):
        assert np.all(np.abs(depth[visible] - thing.distance[t]) <= 0.001)


def test_depth_inside_a_visible_mask_is_that_of_the_body(robot_clips):
    for truth, thing, t, visible, _, depth in moments(robot_clips):
        if not visible.any():
            continue
        near, far = (f(project(truth, t, corners(thing, t))[:, 2]) for f in (np.min, np.max))
        assert near - 0.02 < depth[visible].min()
        assert depth[visible].max() < far + 0.02
        if thing.class_name == "Box" and visible.sum() > 200:
            # It shows its near side, and not one flat distance.
            assert np.median(depth[visible]) < thing.distance[t]
            assert np.ptp(depth[visible]) > 0.01


def test_what_hides_a_thing_is_nearer(composed_clips, robot_clips):
    hidden = 0
    for _, thing, t, visible, amodal, depth in moments(composed_clips):
        before = depth[amodal & ~visible]
        assert np.all(before <= thing.distance[t] + 0.001)
        hidden += len(before)
    assert hidden > 1000
    for _, thing, t, visible, amodal, depth in moments(robot_clips):
        before = depth[amodal & ~visible]
        reach = np.hypot(*thing.size[t, :2]) / 2
        assert not len(before) or np.median(before) < thing.distance[t] + reach


def test_the_ground_has_the_depth_of_the_plane_on_which_things_stand(composed_clips, robot_clips):
    for clip in [*composed_clips, *robot_clips]:
        truth = clip.space
        t = len(truth.stamps) - 1
        taken = np.any([o.amodal[t] for o in clip.objects], axis=0)
        rows, columns = np.nonzero(~taken & (clip.depth[t] > 0))
        depth = clip.depth[t][rows, columns] / 1000
        ahead = np.column_stack([columns, rows]) - truth.camera.centre
        points = np.column_stack([ahead / truth.camera.focal[t], np.ones(len(rows))]) * depth[:, None]
        world = points @ Rotation.from_quat(truth.camera.orientation[t]).as_matrix().T + truth.camera.position[t]
        # A wall is drawn half a pixel below the edge at which it meets the ground.
        assert np.quantile(world[:, 2], 0.01) > -0.01
        ground = np.abs(world[:, 2]) < 0.01
        if clip.world == "composed":
            upright = np.abs(world[:, 0] - clip.parameters["backdropDepth"]) < 0.01
            assert (ground | upright).mean() > 0.5
        lowest = rows == rows.max()
        assert ground[lowest].mean() > 0.3 or clip.world == "composed"


def test_millimetres_are_unknown_where_16_bits_end():
    assert millimetres(np.array([0, 1.2344, 65.5344, 65.536, np.inf], np.float32)).tolist() == [0, 1234, 65534, 0, 0]


# Motion


@pytest.mark.parametrize("world", ["robot", "composed"])
def test_velocity_is_the_change_of_position(world, folder):
    checked = 0
    for seed in range(4):
        if world == "robot":
            clip = render_clip(world="robot", seed=seed, frames=16, height=64, width=96, space=True)
        else:
            clip = composed(folder, seed).render(range(16), space=True)
        fresh = np.diff(clip.parameters["sceneTimes"]) > 0
        for thing in clip.space.things:
            moved = np.diff(thing.position, axis=0)[fresh] / np.diff(clip.space.stamps)[fresh, None]
            between = (thing.velocity[1:] + thing.velocity[:-1])[fresh] / 2
            # A way has corners, where one frame does not tell the velocity of the next.
            assert np.median(np.abs(moved - between)) < 0.03
            assert np.all(thing.velocity[:, 2] == 0)
            checked += bool(np.abs(between).max() > 0.1)
    assert checked > 3


def test_repeated_frames_have_stamps_of_their_own():
    stamps = driver_stamps([5.0, 5.1, 5.1, 5.1, 5.4, 5.6], 10)
    assert stamps == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.6])


# Files


def test_what_is_written_reads_back(composed_clips, robot_clips, tmp_path):
    for number, clip in enumerate((composed_clips[0], robot_clips[0])):
        path = tmp_path / f"{number:05d}"
        write_clip(clip, path)
        found = read_space(path)
        assert (found.height, found.width) == (160, 240)
        assert np.array_equal(found.stamps, clip.space.stamps)
        for name in ("focal", "position", "orientation"):
            assert np.array_equal(getattr(found.camera, name), getattr(clip.space.camera, name))
        assert [thing.id for thing in found.things] == [o.id for o in clip.objects]
        for ours, theirs in zip(found.things, clip.space.things, strict=True):
            for name in ThingTrack.__dataclass_fields__:
                assert np.array_equal(getattr(ours, name), getattr(theirs, name), equal_nan=name in ("yaw",)) or (
                    name == "visible_fraction"
                    and np.allclose(ours.visible_fraction, theirs.visible_fraction, equal_nan=True)
                )
        for t, picture in enumerate(clip.depth):
            assert np.array_equal(read_depth(path, t, found), picture)
    # Those who read the clip alone are not disturbed.
    assert len(open_fishbowl(tmp_path, found_classes(tmp_path), problems=ProblemLog(strict=True))) == 2


def test_a_clip_without_space_has_none(robot_clips, tmp_path):
    write_clip(replace(robot_clips[0], space=None, depth=None), tmp_path / "00000")
    assert read_space(tmp_path / "00000") is None
    assert not (tmp_path / "00000" / "depth").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="other"), "format is 'other'"),
        (lambda d: d.update(stamps=[0, 0, 1, 2]), "must ascend"),
        (lambda d: d.update(stamps="0"), "stamps is '0', not list"),
        (lambda d: d.update(width=0), "width is 0"),
        (lambda d: d["camera"].update(focal=[0, 1, 1, 1]), "not over 0"),
        (lambda d: d["camera"].update(focal=[[1]]), "shape"),
        (lambda d: d["camera"].update(orientation=[[0, 0, 0, 2]] * 4), "unit length"),
        (lambda d: d["things"][0].update(position=[[1, 2]]), "thing 0: position has the shape"),
        (lambda d: d["things"][0].update(distance=[None] * 4), "distance has values that are not finite"),
        (lambda d: d["things"][0].update(cut_off=[1, 0, 0, 0]), "cut_off is not 4 times true or false"),
        (lambda d: d["things"][0].update(size=[["a", 1, 2]] * 4), "size is no array of numbers"),
        (lambda d: d.pop("camera"), "has no camera"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(robot_clips, tmp_path, change, message):
    write_clip(robot_clips[0], tmp_path / "00000")
    path = tmp_path / "00000" / "space.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=message) as caught:
        read_space(tmp_path / "00000")
    assert str(path) in str(caught.value)


def test_a_depth_picture_of_another_size_is_not_decoded(robot_clips, tmp_path, monkeypatch):
    write_clip(robot_clips[0], tmp_path / "00000")
    depth_file(tmp_path / "00000", 1).write_bytes(huge_png(12288))
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(DataError, match=r"00001\.png: depth: wrong size: 12288x12288, not"):
        read_depth(tmp_path / "00000", 1, robot_clips[0].space)


@pytest.mark.parametrize("content", [b"", b"no picture", cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()])
def test_a_damaged_depth_picture_is_named(robot_clips, tmp_path, content):
    write_clip(robot_clips[0], tmp_path / "00000")
    depth_file(tmp_path / "00000", 1).write_bytes(content)
    with pytest.raises(DataError, match=r"00001\.png"):
        read_depth(tmp_path / "00000", 1, robot_clips[0].space)


# The command


def arguments(output: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    render_command.add_arguments(parser)
    options = ["--output", str(output), "--clips", "1", "--frames", "2", "--size", "64x48", "--workers", "1"]
    return parser.parse_args([*options, *more])


def test_the_command_writes_space_when_asked(folder, tmp_path):
    pictures = ("--cutouts", str(folder / "cutouts"), "--backgrounds", str(folder / "backgrounds"))
    for world, more in (("robot", ()), ("composed", pictures)):
        output = tmp_path / world
        assert render_command.run(arguments(output, "--world", world, *more, "--space")) == 0
        truth = read_space(output / "00000")
        assert len(truth.stamps) == 2
        assert sorted(p.name for p in (output / "00000" / "depth").iterdir()) == ["00000.png", "00001.png"]
        assert render_command.run(arguments(output, "--world", world, *more, "--space")) == 0


def test_the_command_does_not_take_a_clip_without_space_for_one_with_it(tmp_path):
    assert render_command.run(arguments(tmp_path / "clips", "--world", "robot")) == 0
    with pytest.raises(A2VISError, match=r"without space\.json; choose another --output"):
        render_command.run(arguments(tmp_path / "clips", "--world", "robot", "--space"))


@pytest.mark.parametrize("world", ["aquarium", "mixed"])
def test_worlds_without_ground_are_refused(world, tmp_path):
    with pytest.raises(A2VISError, match="use robot or composed"):
        render_command.run(arguments(tmp_path / "clips", "--world", world, "--space"))
