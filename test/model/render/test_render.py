"""The procedural generator: its masks, its order of painting and its files."""

import json
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from pycocotools import mask as coco
from rendered_clips import REAL_CLIPS, SMALL, WORLDS, clips

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
from a2vis_model.render.camera import vector
from a2vis_model.render.compositor import Layer, compose
from a2vis_model.render.motion import Ride
from a2vis_model.render.raster import Patch
from a2vis_model.render.sensor import frame_times

__all__ = ["clips"]


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


def patch(top: int, left: int, height: int, width: int, grey: int) -> Patch:
    return Patch(top, left, np.ones((height, width), bool), np.full((height, width, 3), grey, np.uint8))


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
