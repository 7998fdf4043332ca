"""The procedural generator: its masks, its order of painting, its files and its statistics."""

import argparse
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clip_statistics import areas_of_clip, areas_of_folder, longest_hidden, measure
from pycocotools import mask as coco

from a2vis_model.commands import render as render_command
from a2vis_model.commands.sizes import parse_size
from a2vis_model.errors import A2VISError
from a2vis_model.masks import coco as rle
from a2vis_model.render import (
    CLASS_NAMES,
    RenderedClip,
    SyntheticClips,
    clip_seed,
    fishbowl_writer,
    render_clip,
    robot_world,
    write_clip,
)
from a2vis_model.render.camera import Camera, vector
from a2vis_model.render.compositor import Layer, compose
from a2vis_model.render.fish import fish_mesh, sample_fish
from a2vis_model.render.mesh import ball, cuboid, cylinder, grid, limb
from a2vis_model.render.motion import Ride
from a2vis_model.render.raster import Patch, Tone, rasterise
from a2vis_model.render.sensor import frame_times
from a2vis_model.render.species import SPECIES
from a2vis_model.render.texture import Texture, plain

WORLDS = ("aquarium", "robot")
SMALL = {"frames": 3, "height": 96, "width": 144}
REAL_CLIPS = Path(__file__).resolve().parents[2] / "shared" / "data" / "fishbowl" / "train"


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


@pytest.fixture(scope="module")
def clips() -> dict[str, list[RenderedClip]]:
    """Four clips of each world, four frames each, full size."""
    return {
        world: [render_clip(world=world, seed=seed, frames=4, height=320, width=480) for seed in range(4)]
        for world in WORLDS
    }


def forward_camera(height: int = 60, width: int = 80, focal: float = 50) -> Camera:
    return Camera.look_at(eye=vector(0, 0, 0), target=vector(0, 0, 1), focal=focal, height=height, width=width)


def daylight() -> Tone:
    return Tone(lamp=vector(0, 0, 0), ambient=vector(1, 1, 1), fog_colour=vector(0, 0, 0), power=0.0)


def patch(top: int, left: int, height: int, width: int, grey: int) -> Patch:
    return Patch(top, left, np.ones((height, width), bool), np.full((height, width, 3), grey, np.uint8))


# Run lengths


def test_box_run_lengths_equal_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 30, 2)
        h, w = rng.integers(1, height + 1), rng.integers(1, width + 1)
        top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        box = rng.uniform(size=(h, w)) < rng.choice([0.0, 0.3, 0.7, 1.0])
        full = np.zeros((height, width), np.uint8)
        full[top : top + h, left : left + w] = box
        expected = coco.encode(np.asfortranarray(full))
        found = rle.encode_box(box, top=int(top), left=int(left), height=int(height), width=int(width))
        assert found["counts"] == expected["counts"].decode()
        assert np.array_equal(rle.decode(found), full.astype(bool))


# Rasteriser


def test_rasterised_square_has_its_projected_place_and_colour():
    camera = forward_camera()
    x, y = np.meshgrid(np.float32((-1, 1)), np.float32((1, -1)))
    square = grid(np.stack([x, y, np.full_like(x, 5)], axis=-1), np.zeros((2, 2, 2)), sheet=True)
    texture = Texture.of(plain(8, 8, (0.2, 0.4, 0.6)))
    drawn = rasterise(square, camera.to_camera(square.vertices), square.normals, texture, daylight(), camera)
    assert drawn is not None
    mask = np.zeros((60, 80), bool)
    mask[drawn.box] = drawn.mask
    rows, columns = np.nonzero(mask)
    # Two metres wide, five metres off, focal length 50: twenty pixels about the centre (39.5, 29.5).
    limits = (columns.min(), columns.max(), rows.min(), rows.max())
    assert np.abs(np.subtract(limits, (29.5, 49.5, 19.5, 39.5))).max() <= 0.5
    assert np.abs(drawn.colour[drawn.mask].astype(int) - (51, 102, 153)).max() <= 1


def test_light_and_fog_follow_the_tone():
    camera = forward_camera()
    x, y = np.meshgrid(np.float32((-1, 1)), np.float32((1, -1)))
    square = grid(np.stack([x, y, np.full_like(x, 50)], axis=-1), np.zeros((2, 2, 2)), sheet=True)
    tone = Tone(
        lamp=vector(0, 0, 0),
        ambient=vector(0.1, 0.2, 0.3),
        fog_colour=vector(0.2, 0.6, 1.3),
        fog=0.25,
        power=0.5,
        tint=vector(1, 0.5, 1),
    )
    texture = Texture.of(plain(8, 8, (0.4, 0.8, 1.0)))
    drawn = rasterise(square, camera.to_camera(square.vertices), square.normals, texture, tone, camera)
    assert drawn is not None
    # The lamp at the eye meets the square head-on: texture * tint * (power + ambient) * clear + fog.
    expected = [0.4 * 0.6 * 0.75 + 0.05, 0.8 * 0.5 * 0.7 * 0.75 + 0.15, 1.0 * 0.8 * 0.75 + 0.325]
    assert np.abs(drawn.colour[drawn.mask] - 255 * np.array(expected)).max() <= 2


def test_texture_runs_along_the_square():
    camera = forward_camera()
    x, y = np.meshgrid(np.float32((1, -1)), np.float32((1, -1)))  # +x is to the left of a camera that looks along z
    u, v = np.meshgrid(np.float32((0, 1)), np.float32((0, 1)))
    square = grid(np.stack([x, y, np.full_like(x, 5)], axis=-1), np.stack([u, v], axis=-1), sheet=True)
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None, :, None] * np.ones((64, 1, 3), np.float32)
    drawn = rasterise(square, camera.to_camera(square.vertices), square.normals, Texture.of(ramp), daylight(), camera)
    assert drawn is not None
    row = drawn.colour[15, drawn.mask[15]][:, 0].astype(int)
    assert (np.diff(row) > 0).all()
    assert row[0] < 25
    assert row[-1] > 230


@pytest.mark.parametrize("body", [ball(1.0), cuboid((1, 2, 1.5), 2), cylinder(1, 2), limb(0.4, 0.3, 1.5)])
def test_solids_are_closed_and_face_outwards(body):
    """Seen from anywhere, the front faces alone cover as much as all faces do."""
    rng = np.random.default_rng(1)
    everything = replace(body, sheet=np.ones_like(body.sheet))
    for _ in range(8):
        direction = rng.standard_normal(3)
        direction[1] = abs(direction[1])  # a drum's bottom is open
        eye = (8 * direction / np.linalg.norm(direction)).astype(np.float32)
        camera = Camera.look_at(eye=eye, target=vector(0, 0, 0), focal=150, height=120, width=120)
        texture, points = Texture.of(plain(4, 4, (1, 1, 1))), camera.to_camera(body.vertices)
        front, full = (
            rasterise(mesh, points, body.normals, texture, daylight(), camera) for mesh in (body, everything)
        )
        assert front is not None
        assert full is not None
        assert front.mask.sum() >= 0.97 * full.mask.sum()


@pytest.mark.parametrize("class_id", range(5))
def test_fish_bend_as_published(class_id):
    fish = replace(
        sample_fish(
            np.random.default_rng(2),
            fish_id=0,
            class_id=class_id,
            phase=1.0,
            speed=0.2,
            height=20,
            height_range=0,
        ),
        build=vector(1, 1, 1),
    )
    species, time = SPECIES[class_id], 0.7
    world, _ = fish.body(time)
    heading = fish.position(time + 0.02) - fish.position(time - 0.02)
    heading /= np.linalg.norm(heading)
    side = np.cross((0, 1, 0), heading)
    side /= np.linalg.norm(side)
    local = (world - fish.position(time)) / fish.scale
    straight = fish_mesh(class_id).vertices
    z = straight[:, 2]
    m = np.where(z > 0, z / 10, -2 * z / 10)
    beat = time * species.tail_beat * fish.speed + fish.phase
    expected = straight[:, 0] + m**2 * np.sin(beat + m * species.wave) * species.bend
    assert np.allclose(local @ side, expected, atol=2e-3 * species.length)
    assert np.allclose(local @ heading, z, atol=2e-3 * species.length)


# Painter's order


def test_nearer_layers_hide_farther_ones_in_picture_and_masks():
    background = np.full((20, 30, 3), 9, np.uint8)
    layers = [
        Layer(2.0, patch(0, 8, 20, 4, 200)),
        Layer(1.0, patch(10, 0, 4, 10, 150), 7),
        Layer(5.0, patch(8, 5, 8, 10, 100), 3),
    ]
    frame = compose(background, layers)
    visible, amodal = ({k: rle.decode(pair[i]) for k, pair in frame.masks.items()} for i in (0, 1))
    assert np.array_equal(visible[7], amodal[7])
    assert amodal[3].sum() == 80
    expected = amodal[3] & ~amodal[7]
    expected[:, 8:12] = False  # the pillar
    assert np.array_equal(visible[3], expected)
    assert (frame.picture[visible[3]] == 100).all()
    assert (frame.picture[visible[7]] == 150).all()
    assert (frame.picture[amodal[3] & ~visible[3]] >= 150).all()
    assert (background == 9).all()
    reordered = compose(background, layers[::-1])
    assert np.array_equal(reordered.picture, frame.picture)


@pytest.mark.parametrize("world", WORLDS)
def test_visible_masks_are_disjoint_and_within_amodal_ones(clips, world):
    seen = hidden = 0
    for clip in clips[world]:
        claimed = np.zeros(clip.frames.shape[:3], int)
        for o in clip.objects:
            visible, amodal = o.visible, o.amodal
            assert visible.shape == clip.frames.shape[:3]
            assert not (visible & ~amodal).any()
            claimed += visible
            seen += int(visible.sum())
            hidden += int((amodal & ~visible).sum())
        assert claimed.max() <= 1
    assert seen > 10_000
    assert hidden > 1_000


def test_picture_changes_only_where_masks_say_so(clips):
    """Before a still camera, whatever changes is an object; specks of at most 100 pixels are not labelled."""
    for clip in clips["aquarium"]:
        fish = np.logical_or.reduce([o.visible for o in clip.objects])
        changed = (clip.frames != clip.frames[:1]).any(axis=-1)
        assert (changed & ~fish & ~fish[:1]).sum() <= 200
        assert changed.any()


def test_objects_have_classes_and_enough_pixels(clips):
    names = set()
    for world, first, last in (("aquarium", 0, 5), ("robot", 5, 10)):
        for clip in clips[world]:
            assert len({o.id for o in clip.objects}) == len(clip.objects)
            for o in clip.objects:
                assert first <= o.class_id < last
                assert o.class_name == CLASS_NAMES[o.class_id]
                assert o.visible_areas.sum() > 100
                names.add(o.class_name)
    assert names >= set(CLASS_NAMES[:5])


# Determinism


@pytest.mark.parametrize("world", ["aquarium", "robot", "mixed"])
def test_equal_seeds_give_equal_clips(world):
    first, again, other = (render_clip(world=world, seed=s, **SMALL) for s in (5, 5, 6))
    assert np.array_equal(first.frames, again.frames)
    assert first.objects == again.objects
    assert not np.array_equal(first.frames, other.frames)


def test_clips_of_a_series_depend_on_neither_length_nor_order():
    short = SyntheticClips("mixed", seed=3, frames=2, size=(64, 96), length=2)
    long = SyntheticClips("mixed", seed=3, frames=2, size=(64, 96), length=50)
    backwards = [long[i] for i in (1, 0)]
    for clip, same in zip(short, reversed(backwards), strict=True):
        assert np.array_equal(clip.frames, same.frames)
        assert clip.objects == same.objects
    assert len(short) == 2
    with pytest.raises(IndexError, match="clip 2"):
        short[2]
    assert len({clip_seed(s, i) for s in range(10) for i in range(10)}) == 100


def test_mixed_draws_from_both_worlds():
    drawn = [render_clip(world="mixed", seed=s, frames=1, height=32, width=48).world for s in range(6)]
    assert set(drawn) == set(WORLDS)


# Camera and sensor


def test_robot_camera_moves_and_aquarium_camera_does_not(clips):
    def restless(clip: RenderedClip) -> float:
        """Share of the pixels without an object that change between the first and the last frame by a lot."""
        free = ~np.logical_or.reduce([o.visible[[0, -1]].any(axis=0) for o in clip.objects])
        change = np.abs(clip.frames[0].astype(int) - clip.frames[-1]).max(axis=-1) > 12
        return float(change[free].mean())

    assert max(restless(c) for c in clips["aquarium"]) < 0.01
    assert max(restless(c) for c in clips["robot"]) > 0.05


def test_ride_shift_is_what_the_view_moves_by():
    ride = Ride(
        position=vector(0, 1, 0),
        yaw=0.0,
        pitch=0.0,
        velocity=vector(0, 0, 0),
        sway=(0.2, 1.0, 0.0),
        shake=np.zeros((3, 3, 3), np.float32),
        focal=300.0,
        height=240,
        width=320,
    )
    x, y = ride.shift(0.0, 1 / 30, 5.0)
    # The view turns by 0.2 rad/s at first, and the picture the other way.
    assert abs(x) == pytest.approx(300 * 0.2 / 30, rel=0.01)
    assert abs(y) < 1e-3


def test_frames_are_repeated_and_skipped():
    steps = [np.diff(frame_times(np.random.default_rng(s), 128, 30)) * 30 for s in range(60)]
    assert any((step < 1e-6).any() for step in steps)
    assert any((step > 2.5).any() for step in steps)
    assert sum(np.allclose(step, 1) for step in steps) > 10


def test_repeated_frame_is_identical_in_picture_and_masks(monkeypatch):
    monkeypatch.setattr(robot_world, "frame_times", lambda *_: [0.0, 0.1, 0.1, 0.4])
    clip = render_clip(world="robot", seed=0, frames=4, height=96, width=144)
    same = [np.array_equal(a, b) for a, b in pairwise(clip.frames)]
    assert same == [False, True, False]
    for o in clip.objects:
        assert o.visible_rles[1] == o.visible_rles[2]
        assert o.amodal_rles[1] == o.amodal_rles[2]


# Files


def read_masks(path: Path) -> list[np.ndarray]:
    return [np.stack([coco.decode(r) for r in o["masks"]]).astype(bool) for o in json.loads(path.read_text())]


@pytest.mark.parametrize("world", WORLDS)
def test_written_clip_reads_back(clips, world, tmp_path):
    clip = clips[world][0]
    write_clip(clip, tmp_path / "00000")
    folder = tmp_path / "00000"
    for k, o in enumerate(clip.objects):
        assert np.array_equal(read_masks(folder / "objects.json")[k], o.visible)
        (amodal,) = read_masks(folder / f"object{k:03d}" / "objects.json")
        assert np.array_equal(amodal, o.amodal)
        entries = [json.loads((folder / p / "objects.json").read_text()) for p in (".", f"object{k:03d}")]
        for entry in (entries[0][k], entries[1][0]):
            assert (entry["id"], entry["type_id"], entry["type_name"]) == (o.id, o.class_id, o.class_name)
    assert len(list(folder.glob("object[0-9]*"))) == len(clip.objects)
    recording = json.loads((folder / "recording.json").read_text())
    assert (recording["cw"], recording["ch"], recording["seed"]) == (480, 320, clip.seed)
    assert len(recording["frameTimes"]) == len(clip.frames)
    with av.open(str(folder / "video.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 30
        decoded = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert decoded.shape == clip.frames.shape
    # Halved colour resolution costs most at the fishes' hard edges.
    assert np.abs(decoded.astype(float) - clip.frames).mean() < 5
    with pytest.raises(A2VISError, match="exists already"):
        write_clip(clip, folder)


@pytest.mark.skipif(not REAL_CLIPS.is_dir(), reason="needs the FISHBOWL clips in ../shared/data")
def test_layout_equals_that_of_given_clips(clips, tmp_path):
    real = next(p for p in sorted(REAL_CLIPS.iterdir()) if (p / "object000").is_dir())
    write_clip(clips["aquarium"][0], tmp_path / "00000")
    for name in ("objects.json", "object000/objects.json"):
        theirs, ours = (json.loads((folder / name).read_text()) for folder in (real, tmp_path / "00000"))
        assert theirs[0].keys() == ours[0].keys()
        assert theirs[0]["masks"][0].keys() == ours[0]["masks"][0].keys()
        assert theirs[0]["masks"][0]["size"] == ours[0]["masks"][0]["size"]


def test_failed_write_leaves_nothing(clips, tmp_path, monkeypatch):
    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(fishbowl_writer, "_write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        write_clip(clips["robot"][0], tmp_path / "00000")
    assert list(tmp_path.iterdir()) == []


def arguments(output: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    render_command.add_arguments(parser)
    options = ["--output", str(output), "--clips", "3", "--frames", "2", "--size", "64x48", "--workers", "1"]
    return parser.parse_args([*options, *more])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_command_resumes_and_workers_do_not_matter(tmp_path):
    output = tmp_path / "clips"
    assert render_command.run(arguments(output)) == 0
    complete = contents(output)
    assert {name.split("/")[0] for name in complete} == {"00000", "00001", "00002", "classes.json"}
    kept = (output / "00002").stat().st_mtime_ns
    for file in sorted((output / "00001").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (output / "00001").rmdir()
    (output / ".00001.123.partial").mkdir()
    (output / ".00001.123.partial" / "video.mp4").write_bytes(b"half")
    assert render_command.run(arguments(output)) == 0
    assert contents(output) == complete
    assert (output / "00002").stat().st_mtime_ns == kept
    assert render_command.run(arguments(tmp_path / "parallel", "--workers", "2")) == 0
    assert contents(tmp_path / "parallel") == complete
    with pytest.raises(A2VISError, match="choose another --output"):
        render_command.run(arguments(output, "--seed", "1"))


# Arguments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"world": "desert"}, "world is 'desert'; use one of aquarium"),
        ({"seed": -1}, "seed is -1"),
        ({"frames": 0}, "frames is 0"),
        ({"height": 33}, "height is 33; use an even number"),
        ({"width": 8}, "width is 8"),
    ],
)
def test_unusable_arguments_are_named(change, message):
    with pytest.raises(A2VISError, match=message):
        render_clip(**{"world": "robot", "seed": 0, **SMALL, **change})


def test_size_is_parsed():
    assert parse_size("480x320") == (480, 320)
    for text in ("480", "480x", "0x320", "480x-1"):
        with pytest.raises(A2VISError, match=f"--size {text}: give WIDTHxHEIGHT"):
            parse_size(text)


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
    """Of the 50 given clips: 7.2 fish a frame, 21 % of fish-frames hidden by over 0.1, 6 % by over 0.5."""
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
