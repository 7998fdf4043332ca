"""Clips composed of cut-outs and photographs: what is read, where things stand, and which pixels are whose."""

import argparse
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import cut_out, make_pictures, save, scenery

from a2vis_model import cli
from a2vis_model.commands import render as render_command
from a2vis_model.data.problems import ProblemLog
from a2vis_model.errors import A2VISError
from a2vis_model.masks import coco as rle
from a2vis_model.render import occluders
from a2vis_model.render.backdrop import Backdrop
from a2vis_model.render.billboard import Pose, draw, make_sprite
from a2vis_model.render.camera import Camera, vector
from a2vis_model.render.composed_scene import Scene, sample_classes, sample_scene
from a2vis_model.render.composed_world import ComposedClip, compose_scene
from a2vis_model.render.compositor import Layer, compose
from a2vis_model.render.cutouts import Pictures, load_pictures
from a2vis_model.render.harmonise import colour_change, harmonise, matte, shade_ground
from a2vis_model.render.journey import Gait, Journey, sample_gait, sample_journey
from a2vis_model.render.motion import Ride
from a2vis_model.render.obstacles import Obstacle
from a2vis_model.render.raster import Patch
from a2vis_model.render.things import Thing, is_cut
from a2vis_model.render.traits import traits_of
from a2vis_model.render.view import View
from a2vis_model.training.augmentation import Augmentation
from a2vis_model.training.sequences import SequenceDataset
from a2vis_model.training.sources import open_source

ROBOT = Path(__file__).resolve().parents[2] / "shared" / "data" / "robot"
SIZE = {"height": 64, "width": 96}
STILL = Gait(bob=0, sway=0, rock=0, stride=0, pace=0, idle=0, phase=0)


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


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


def level_camera(*, x: float = 0, eye: float = 1.5, z: float = 0, focal: float = 80, roll: float = 0) -> Camera:
    at = vector(x, eye, z)
    return Camera.look_at(eye=at, target=at + vector(0, 0, 1), focal=focal, height=64, width=96, roll=roll)


# Reading pictures


def test_cutouts_are_read_by_class_and_cropped(pictures):
    assert pictures.classes == ("car", "dog", "person", "truck")
    assert len(pictures.cutouts["person"]) == 6
    assert pictures.cutouts["person"][0].pixels.shape == (40, 16, 4)
    assert len(pictures.backgrounds) == 2


def test_what_cannot_be_used_is_left_out_and_named_with_its_remedy(tmp_path, folder):
    good = cut_out(20, 20, (200, 0, 0))
    cutouts = tmp_path / "cutouts" / "cat"
    save(cutouts / "good.png", good)
    (cutouts / "broken.webp").write_bytes(b"RIFF")
    (cutouts / "empty.png").write_bytes(b"")
    save(cutouts / "opaque.png", np.full((20, 20, 4), 255, np.uint8))
    save(cutouts / "flat.png", good[..., :3])
    save(cutouts / "nothing.png", np.zeros((20, 20, 4), np.uint8))
    save(cutouts / "small.png", good[:5, :5])
    save(cutouts / "speck.png", cut_out(4, 4, (200, 0, 0), margin=20))
    (cutouts / "notes.txt").write_text("not a picture")
    (tmp_path / "cutouts" / "dog").mkdir()
    problems = ProblemLog()
    found = load_pictures(tmp_path / "cutouts", folder / "backgrounds", problems)
    assert [cutout.file for cutout in found.cutouts["cat"]] == ["cat/good.png"]
    assert found.classes == ("cat",)
    messages = {Path(problem.file).name: problem.message for problem in problems}
    remedies = {
        "broken.webp": "cannot be decoded; replace",
        "empty.png": "cannot be decoded; replace",
        "opaque.png": "make its background transparent",
        "flat.png": "no alpha channel; save",
        "nothing.png": "give a larger one",
        "small.png": "is 5x5 pixels; give one of at least 8x8",
        "speck.png": "give a larger one",
        "dog": "holds no .png, .webp; put pictures there",
    }
    assert set(messages) == set(remedies)
    for name, text in remedies.items():
        assert text in messages[name]


def test_damaged_backgrounds_are_left_out_and_named(folder, tmp_path):
    backgrounds = tmp_path / "backgrounds"
    shutil.copytree(folder / "backgrounds", backgrounds)
    whole = cv2.imencode(".jpg", scenery(0))[1].tobytes()
    (backgrounds / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (backgrounds / "none.png").write_bytes(b"no picture")
    os.mkfifo(backgrounds / "pipe.jpg")
    problems = ProblemLog()
    found = load_pictures(folder / "cutouts", backgrounds, problems)
    assert len(found.backgrounds) == 2
    assert [Path(problem.file).name for problem in problems] == ["half.jpg", "none.png", "pipe.jpg"]
    assert "is damaged" in str(next(iter(problems)))


def test_sixteen_bits_and_grey_backgrounds_are_read(tmp_path):
    pixels = cut_out(20, 20, (200, 100, 0)).astype(np.uint16) * 257
    (tmp_path / "cutouts" / "cat").mkdir(parents=True)
    (tmp_path / "backgrounds").mkdir()
    cv2.imwrite(str(tmp_path / "cutouts" / "cat" / "deep.png"), cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))
    cv2.imwrite(str(tmp_path / "backgrounds" / "grey.png"), scenery(0)[..., 0])
    found = load_pictures(tmp_path / "cutouts", tmp_path / "backgrounds", ProblemLog(strict=True))
    assert found.cutouts["cat"][0].pixels[10, 10].tolist() == [200, 100, 0, 255]
    assert np.array_equal(found.backgrounds[0][..., 1], scenery(0)[..., 0])


def test_large_pictures_are_shrunk(tmp_path):
    save(tmp_path / "cutouts" / "cat" / "large.png", cut_out(900, 300, (200, 0, 0)))
    save(tmp_path / "backgrounds" / "large.jpg", cv2.resize(scenery(0), (1600, 900)))
    found = load_pictures(tmp_path / "cutouts", tmp_path / "backgrounds", ProblemLog(strict=True))
    assert found.cutouts["cat"][0].pixels.shape[:2] == (400, 133)
    assert found.backgrounds[0].shape == (450, 800, 3)


@pytest.mark.parametrize(
    ("cutouts", "backgrounds", "classes", "message"),
    [
        ("absent", "backgrounds", None, "absent: there is no such folder; name the one"),
        ("cutouts", "absent", None, "absent: there is no such folder; name the one"),
        ("backgrounds", "backgrounds", None, "has no folders; put cut-outs there as CLASS/*.png"),
        ("unusable", "backgrounds", None, "no picture in it can be used; give PNG or WebP files with an alpha channel"),
        ("cutouts", "cutouts", None, "no picture in it can be used; give JPEG, PNG or WebP"),
        ("cutouts", "backgrounds", ["cat", "cow"], "none of the classes cat, cow; give --classes some of its"),
    ],
)
def test_folders_that_cannot_be_used_are_refused_in_one_line(folder, cutouts, backgrounds, classes, message):
    save(folder / "unusable" / "cat" / "flat.png", scenery(0))
    with pytest.raises(A2VISError) as error:
        load_pictures(folder / cutouts, folder / backgrounds, ProblemLog(), classes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_sizes_of_classes_are_read_and_checked(tmp_path, folder):
    save(tmp_path / "cone" / "a.png", cut_out(20, 20, (200, 100, 0)))
    save(tmp_path / "person" / "a.png", cut_out(40, 16, (200, 100, 0)))
    sizes = tmp_path / "sizes.json"
    sizes.write_text(json.dumps({"cone": 0.7, "person": -1}))
    problems = ProblemLog()
    found = load_pictures(tmp_path, folder / "backgrounds", problems)
    assert traits_of("cone", found.sizes).metres == 0.7
    assert traits_of("person", found.sizes).metres == 1.7
    assert [str(problem) for problem in problems] == [f"{sizes}: person: is -1; give metres from 0.02 to 30"]
    sizes.unlink()
    problems = ProblemLog()
    assert traits_of("cone", load_pictures(tmp_path, folder / "backgrounds", problems).sizes).metres == 1.0
    assert [(p.record, "sizes.json" in p.message) for p in problems] == [("cone", True)]
    sizes.write_text("[]")
    with pytest.raises(A2VISError, match="write metres by class"):
        load_pictures(tmp_path, folder / "backgrounds", ProblemLog())


# Pictures of things


def test_the_fringe_of_a_cut_out_takes_the_colours_of_its_inside():
    pixels = np.full((30, 30, 4), (0, 255, 0, 0), np.uint8)
    pixels[6:24, 6:24] = (90, 180, 0, 120)  # the old background shines through
    pixels[8:22, 8:22] = (200, 40, 40, 255)
    clean = matte(pixels)
    assert (clean[..., :3] == (200, 40, 40)).all()
    assert (clean[10:20, 10:20, 3] == 255).all()
    assert (clean[:5, :, 3] == 0).all()
    edge = clean[15, :15, 3].astype(int)
    assert (np.diff(edge) >= 0).all()
    assert ((edge > 20) & (edge < 235)).any()


def test_harmonising_brings_light_and_tint_nearer():
    pixels = np.dstack([np.full((20, 20, 3), (200, 100, 100), np.uint8), np.full((20, 20), 255, np.uint8)])
    around = np.full((20, 20, 3), (40, 40, 100), np.uint8)
    unchanged = colour_change(np.random.default_rng(0), hue=0, strength=0)
    assert np.array_equal(harmonise(pixels, unchanged, around, light=0, colour=0), pixels)
    whole = harmonise(pixels, unchanged, around, light=1, colour=1)
    assert np.abs(whole[..., :3].astype(int) - around).max() <= 1
    half = harmonise(pixels, unchanged, around, light=0.5, colour=0)[5, 5].astype(int)
    assert half[3] == 255
    assert np.abs(half[:3] - (200, 100, 100) + (133.3 - 60) / 2).max() <= 1


def test_a_turn_of_hues_keeps_greys():
    change = colour_change(np.random.default_rng(3), hue=180, strength=0)
    assert np.allclose(change @ (70, 70, 70, 1), 70, atol=0.01)
    assert not np.allclose(change @ (200, 70, 70, 1), (200, 70, 70), atol=10)


@pytest.mark.parametrize("width", [0.2, 1.0, 3.0])
def test_occluders_are_solid_somewhere_and_decoys_keep_their_outline(width):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        pixels = occluders.occluder(rng, scenery(seed), 1.2, width)
        assert pixels.dtype == np.uint8
        assert (pixels[..., 3] == 255).mean() > 0.15
        assert abs(pixels.shape[1] / pixels.shape[0] - width / 1.2) < 0.1
        assert (occluders.occluder(rng, scenery(seed), 1.2, width, solid=True)[..., 3] == 255).all()
    silhouette = cut_out(24, 12, (0, 0, 0))[..., 3]
    turned = occluders.decoy(np.random.default_rng(0), scenery(0), silhouette)[..., 3]
    assert (turned > 0).sum() == (silhouette > 0).sum()


def test_things_that_end_in_a_straight_line_below_are_known():
    whole = cut_out(40, 20, (200, 0, 0), margin=0)
    assert not is_cut(whole)
    assert is_cut(whole[:24])


# The place and what stands in it


def test_a_photograph_moves_as_ground_and_as_wall():
    camera = level_camera()
    photo = np.zeros((64, 96, 3), np.uint8)
    spots = {"ground": vector(0.4, 0, 6), "wall": vector(-0.8, 2.2, 10)}
    for spot in spots.values():
        at = np.rint(camera.to_pixels(camera.to_camera(spot))).astype(int).tolist()
        cv2.circle(photo, at, 1, (255, 255, 255), -1)
    backdrop = Backdrop(photo, np.eye(3), camera, depth=10)
    assert np.array_equal(backdrop.view(camera), photo)
    moved = replace(level_camera(x=0.3, z=1.0, roll=0.1), focal=95)
    bright = backdrop.view(moved).max(axis=2)
    for spot in spots.values():
        x, y = np.rint(moved.to_pixels(moved.to_camera(spot))).astype(int)
        assert bright[y - 1 : y + 2, x - 1 : x + 2].max() > 100
        bright[y - 4 : y + 5, x - 5 : x + 6] = 0
    assert bright.max() < 30


def block(height: int = 40, width: int = 20) -> np.ndarray:
    """RGBA, red on the left and blue on the right."""
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
    return pixels


def test_things_stand_with_their_foot_on_the_ground_in_their_size():
    camera = level_camera()
    depth, patch = draw(make_sprite(block(), 1.0), vector(0.5, 0, 4), Pose(), camera)
    assert depth == 4
    # One metre by a half, four metres ahead, of focal length 80; the ground is 1.5 m below the eye.
    rows, columns = (np.flatnonzero(patch.mask.any(axis=axis)) for axis in (1, 0))
    foot = 31.5 + 1.5 * 20
    assert abs(patch.top + rows[-1] + 0.5 - foot) <= 1
    assert abs(len(rows) - 20) <= 1
    assert abs(len(columns) - 10) <= 1
    assert abs(patch.left + columns.mean() - (47.5 - 0.5 * 20)) <= 0.6  # x grows to the left
    middle = patch.mask.shape[0] // 2
    reds = np.flatnonzero((patch.colour[middle, :, 0] > 200) & patch.mask[middle])
    blues = np.flatnonzero((patch.colour[middle, :, 2] > 200) & patch.mask[middle])
    assert reds.max() < blues.min()
    _, mirrored = draw(make_sprite(block(), 1.0), vector(0.5, 0, 4), Pose(turn=-1), camera)
    reds = np.flatnonzero((mirrored.colour[middle, :, 0] > 200) & mirrored.mask[middle])
    blues = np.flatnonzero((mirrored.colour[middle, :, 2] > 200) & mirrored.mask[middle])
    assert blues.max() < reds.min()


def test_things_bend_turn_and_rise_above_their_foot():
    camera, sprite = level_camera(), make_sprite(block(), 1.0)

    def centres(pose: Pose, **view) -> tuple[np.ndarray, int, int]:
        patch = draw(sprite, vector(0, 0, 4), pose, level_camera(**view))[1]
        full = np.zeros((64, 96), bool)
        full[patch.box] = patch.mask
        rows = np.flatnonzero(full.any(axis=1))
        return np.array([np.flatnonzero(full[row]).mean() for row in (rows[1], rows[-2])]), rows[0], rows[-1]

    (top, bottom), first, last = centres(Pose())
    assert abs(top - bottom) <= 0.5
    assert centres(Pose(sway=0.3))[0][0] > top + 3
    assert abs(centres(Pose(sway=0.3))[0][1] - bottom) <= 0.6
    assert centres(Pose(rise=0.2))[1:] == (first - 4, last - 4)
    assert centres(Pose(lean=0.3))[0][0] > top + 3
    # A camera that is turned clockwise sees the world turned the other way.
    assert centres(Pose(), roll=0.2)[0][0] < centres(Pose(), roll=0.2)[0][1]
    assert draw(sprite, vector(0, 0, 0.1), Pose(), camera) is None
    assert draw(sprite, vector(50, 0, 4), Pose(), camera) is None


def test_far_things_are_drawn_from_coarser_levels_without_flicker():
    stripes = np.full((64, 64, 4), 255, np.uint8)
    stripes[:, ::2, :3] = 0
    patch = draw(make_sprite(stripes, 1.0), vector(0, 0, 10), Pose(), level_camera())[1]
    inner = patch.colour[2:-2, 2:-2]
    assert inner.min() > 90
    assert inner.max() < 165


def test_a_soft_patch_is_blended_and_its_mask_is_where_it_covers_half():
    alpha = np.array([[0, 60, 127, 128, 255]], np.uint8)
    patch = Patch(0, 0, alpha >= 128, np.full((1, 5, 3), 200, np.uint8), alpha)
    frame = compose(np.zeros((2, 5, 3), np.uint8), [Layer(1.0, patch, owner=3)])
    assert np.abs(frame.picture[0, :, 0].astype(int) - (0, 47, 100, 100, 200)).max() <= 1
    visible, amodal = (rle.decode(mask) for mask in frame.masks[3])
    assert amodal[0].tolist() == [False, False, False, True, True]
    assert np.array_equal(visible, amodal)
    assert not frame.picture[1].any()


def test_shadows_lie_under_the_foot():
    picture = np.full((64, 96, 3), 200, np.uint8)
    shade_ground(picture, level_camera(), vector(0, 0, 4), 1.0, 0.5)
    y, x = np.unravel_index(picture[..., 0].argmin(), (64, 96))
    assert 90 < picture[y, x, 0] < 120
    assert abs(x - 47.5) <= 1
    assert abs(y - 61) <= 2
    assert (picture[:45] == 200).all()


# Ways


def test_a_journey_faces_where_it_goes_and_turns_at_the_end_of_a_way():
    journey = Journey(np.array([0.0, 2.0, 3.0, 5.0]), np.array([[0, 4], [2, 4], [2, 4], [0, 4.0]]))
    assert [journey.at(t).x for t in (-1, 0, 1, 2.5, 4, 9)] == [0, 0, 1, 2, 1, 0]
    assert journey.at(4).travelled == 3
    assert [journey.at(t).turn for t in (-1, 1, 2.5, 4, 9)] == [1, 1, 1, -1, -1]
    assert abs(journey.at(3).turn) < 1e-6
    still = Journey(np.zeros(1), np.array([[1, 5.0]]))
    assert (still.at(3).x, still.at(3).travelled, still.at(3).turn) == (1, 0, 1)


def test_every_journey_passes_its_place_within_its_time():
    kinds = Counter()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        journey = sample_journey(rng, place=(0.5, 6.0), reach=4.0, speed=1.5, window=4.0, turns=bool(seed % 2))
        assert (np.diff(journey.times) > 0).all()
        xs = np.array([journey.at(t).x for t in np.linspace(0, 4, 41)])
        assert np.abs(xs - 0.5).min() < 0.15
        assert (np.abs(np.diff(xs)) <= 1.5 * 0.1 + 1e-6).all()
        kinds[bool((np.abs(xs) >= 3.9).any()), bool((np.abs(xs) < 3.9).any())] += 1
    assert kinds[True, True] > 5  # things enter and leave


def test_walkers_move_their_legs_only_while_they_go():
    gait = sample_gait(np.random.default_rng(0), "walks", upright=True, height=1.7, liveliness=1)
    assert gait.stride > 0.05
    journey = Journey(np.array([0.0, 1.0]), np.array([[0, 4], [1, 4.0]]))
    walking = {round(gait.pose(journey.at(t), t).stride, 6) for t in np.linspace(0, 1, 9)}
    standing = {round(gait.pose(journey.at(t), t).stride, 6) for t in np.linspace(1, 2, 9)}
    assert len(walking) == 9
    assert len(standing) == 1
    assert sample_gait(np.random.default_rng(0), "rolls", upright=False, height=1.5, liveliness=1).stride == 0


# Scenes and clips


def test_classes_are_drawn_evenly(pictures):
    rng = np.random.default_rng(0)
    draws = [sample_classes(rng, pictures) for _ in range(1500)]
    counts = Counter(name for names in draws for name in names)
    shares = np.array([counts[name] for name in pictures.classes]) / counts.total()
    assert np.abs(shares - 0.25).max() < 0.03  # the truck has a sixth as many pictures as the person
    sizes = Counter(len(names) for names in draws)
    assert min(sizes) == 1
    assert max(sizes) == 15
    assert 80 < sum(sizes[n] for n in range(12, 16)) < 320  # crowds


def test_masks_nest_follow_depth_and_cover_each_pixel_once(clips):
    overlapping = 0
    for clip, rendered in clips:
        depths = {thing["id"]: thing["depth"] for thing in rendered.parameters["things"]}
        visible = {o.id: o.visible for o in rendered.objects}
        amodal = {o.id: o.amodal for o in rendered.objects}
        assert len(visible) == len(rendered.objects) <= len(clip.scene.things)
        for one in visible:
            assert not (visible[one] & ~amodal[one]).any()
            for other in visible:
                for t in range(len(rendered.frames)):
                    if depths[one][t] < depths[other][t]:
                        assert not (visible[other][t] & amodal[one][t]).any()
                        overlapping += (amodal[other][t] & amodal[one][t]).any()
    assert overlapping > 10


def test_equal_seeds_give_equal_pixels_in_any_order(pictures, clips):
    rendered = clips[0][1]
    again = ComposedClip.sample(pictures, seed=0, frames=40, **SIZE)
    backwards = again.render([32, 8], least=0)
    assert np.array_equal(backwards.frames, rendered.frames[[4, 1]])
    whole = {o.id: o for o in rendered.objects}
    assert backwards.objects
    for part in backwards.objects:
        assert part.visible_rles == tuple(whole[part.id].visible_rles[n] for n in (4, 1))
        assert part.amodal_rles == tuple(whole[part.id].amodal_rles[n] for n in (4, 1))
    assert not np.array_equal(clips[1][1].frames[0], rendered.frames[0])


def test_a_repeated_frame_is_the_same_picture(pictures):
    clip = ComposedClip.sample(pictures, seed=1, frames=4, **SIZE)
    clip = replace(clip, times=(*clip.times[:2], clip.times[1], clip.times[3]))
    frames = clip.render(least=0).frames
    assert np.array_equal(frames[1], frames[2])
    assert np.array_equal(clip.render([2], least=0).frames[0], frames[2])


def test_the_recording_says_where_camera_and_things_are(clips):
    for _, rendered in clips[:3]:
        parameters = json.loads(json.dumps(rendered.parameters))
        for thing in parameters["things"]:
            for foot, depth, camera in zip(thing["foot"], thing["depth"], parameters["cameras"], strict=True):
                seen = np.array(camera["rotation"]) @ (np.array(foot) - camera["position"])
                assert abs(seen[2] - depth) < 1e-3
        assert len(parameters["sceneTimes"]) == len(rendered.frames)


def still_scene(things: list[Thing], obstacles: list[Obstacle]) -> Scene:
    ride = Ride(
        position=vector(0, 1, 0), yaw=0, pitch=0, velocity=vector(0, 0, 0), sway=(0, 1, 0),
        shake=np.zeros((3, 3, 3), np.float32), focal=80, height=64, width=96,
    )  # fmt: skip
    backdrop = Backdrop(np.full((64, 96, 3), 90, np.uint8), np.eye(3), ride.camera(0), 20.0)
    return Scene(backdrop, View(ride, (0, 1, 0)), tuple(things), tuple(obstacles), start=0, shadow=0)


def thing(number: int, journey: Journey, height: float = 1.0) -> Thing:
    sprite = make_sprite(block(), height)
    return Thing(number, "person", "person/0.png", sprite, journey, STILL, speed=1, lift=0)


def test_the_mask_of_a_thing_alone_is_where_it_is_opaque():
    place = Journey(np.zeros(1), np.array([[0.3, 4.0]]))
    scene = still_scene([thing(5, place)], [])
    frame = compose_scene(scene, 0)
    visible, amodal = (rle.decode(mask) for mask in frame.masks[5])
    assert np.array_equal(visible, amodal)
    changed = np.abs(frame.picture.astype(int) - 90).max(axis=2)
    _, patch = draw(scene.things[0].sprite, vector(0.3, 0, 4), Pose(), scene.view.camera(0))
    expected = np.zeros((64, 96), np.uint8)
    expected[patch.box] = patch.alpha
    assert np.array_equal(amodal, expected >= 128)
    assert np.array_equal(changed > 0, expected > 0)


def test_an_id_survives_full_occlusion_by_an_occluder_that_has_none():
    walk = Journey(np.array([0.0, 4.0]), np.array([[-2, 6], [2, 6.0]]))
    wall = Obstacle(make_sprite(block(60, 60), 1.4), Journey(np.zeros(1), np.array([[0, 4.0]])))
    scene = still_scene([thing(2, walk)], [wall])
    seen, whole = [], []
    for time in np.linspace(0, 4, 17):
        frame = compose_scene(scene, float(time))
        assert set(frame.masks) == {2}
        visible, amodal = (rle.area(mask) for mask in frame.masks[2])
        seen.append(visible)
        whole.append(amodal)
    assert min(whole) > 50
    assert seen[0] == whole[0]
    assert seen[8] == 0
    assert seen[-1] == whole[-1]
    hidden = sum(area == 0 for area in seen) * 4 / 16
    assert 0.3 <= hidden <= 3


def test_the_nearer_of_two_things_hides_the_other():
    near, far = (Journey(np.zeros(1), np.array([[0, z]])) for z in (3.0, 6.0))
    frame = compose_scene(still_scene([thing(0, near), thing(1, far)], []), 0)
    assert frame.masks[0][0] == frame.masks[0][1]
    assert rle.area(frame.masks[1][0]) < rle.area(frame.masks[1][1])


def test_occluders_are_planned_so_that_things_vanish_and_return(pictures):
    """Over several scenes, things that move are hidden altogether for a while and seen before and after."""
    returns = 0
    for seed in range(5):
        clip = ComposedClip.sample(pictures, seed=100 + seed, frames=120, **SIZE)
        rendered = clip.render(range(0, 120, 10), least=0)
        for found in rendered.objects:
            hidden = (found.amodal_areas > 20) & (found.visible_areas == 0)
            first, last = np.flatnonzero(found.visible_areas)[[0, -1]]
            returns += hidden[first:last].any()
    assert returns >= 2


def test_sizes_follow_the_ground_and_the_class(pictures):
    """What is nearer has its foot lower and, of one class, is larger."""
    for seed in range(20):
        scene = sample_scene(np.random.default_rng(seed), pictures, duration=1.0, **SIZE)
        camera = scene.view.camera(scene.start)
        rows = []
        for found in scene.things:
            step = found.journey.at(scene.start)
            at = camera.to_camera(vector(step.x, 0, step.z))
            if at[2] > 0.3:
                rows.append((float(at[2]), float(camera.focal * found.sprite.height / at[2]), found))
            assert 0.4 < found.sprite.height / traits_of(found.class_name, pictures.sizes).metres < 1.7
        rows.sort(key=lambda row: row[0])
        people = [pixels / found.sprite.height for _, pixels, found in rows]
        assert people == sorted(people, reverse=True)


def test_pictures_of_any_shape_and_size_make_clips(tmp_path):
    for name, shape in {"speck": (8, 8), "mast": (300, 8), "snake": (8, 300), "hall": (60, 60)}.items():
        save(tmp_path / "cutouts" / name / "0.png", cut_out(*shape, (200, 100, 0)))
    (tmp_path / "cutouts" / "sizes.json").write_text(json.dumps({"speck": 0.02, "mast": 30, "snake": 3, "hall": 30}))
    for n, side in enumerate(((8, 8), (8, 200), (200, 8))):
        save(tmp_path / "backgrounds" / f"{n}.png", np.full((*side, 3), 90, np.uint8))
    found = load_pictures(tmp_path / "cutouts", tmp_path / "backgrounds", ProblemLog(strict=True))
    for seed in range(12):
        frames = ComposedClip.sample(found, seed=seed, frames=30, **SIZE).render([0, 29]).frames
        assert frames.shape == (2, 64, 96, 3)


# The command


def arguments(folder: Path, output: Path, **changes) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    render_command.add_arguments(parser)
    options = {
        "--output": output, "--clips": 1, "--world": "composed", "--frames": 3, "--size": "96x64", "--workers": 1,
        "--cutouts": folder / "cutouts", "--backgrounds": folder / "backgrounds",
    } | changes  # fmt: skip
    return parser.parse_args([str(text) for item in options.items() if item[1] is not None for text in item])


def test_the_command_writes_clips_that_check_data_reads(folder, tmp_path, capsys):
    seed = next(s for s in range(20) if _shows_something(folder, s))
    assert render_command.run(arguments(folder, tmp_path / "clips", **{"--seed": seed})) == 0
    assert cli.main(["check-data", str(tmp_path / "clips")]) == 0
    assert set(json.loads((tmp_path / "clips" / "classes.json").read_text())) == {
        path.name for path in (folder / "cutouts").iterdir()
    }
    assert "3 frames of 96x64" in capsys.readouterr().out
    recording = json.loads((tmp_path / "clips" / "00000" / "recording.json").read_text())
    assert recording["world"] == "composed"
    assert render_command.run(arguments(folder, tmp_path / "clips", **{"--seed": seed})) == 0  # it is there already
    fewer = tmp_path / "fewer"
    save(fewer / "car" / "0.png", cut_out(20, 40, (1, 2, 3)))
    with pytest.raises(A2VISError, match="of other pictures; choose another --output"):
        render_command.run(arguments(folder, tmp_path / "clips", **{"--seed": seed, "--cutouts": fewer}))


def _shows_something(folder: Path, seed: int) -> bool:
    pictures = load_pictures(folder / "cutouts", folder / "backgrounds", ProblemLog())
    clip = ComposedClip.sample(pictures, seed=render_command.clip_seed(seed, 0), frames=3, **SIZE)
    return bool(clip.render().objects)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--cutouts": None}, "--world composed needs pictures; give --cutouts DIR"),
        ({"--backgrounds": None}, "--world composed needs pictures; give --backgrounds DIR"),
        ({"--world": "robot"}, "is for --world composed alone; --world is robot"),
        ({"--size": "95x64"}, "width is 95; use an even number"),
        ({"--cutouts": "/nowhere"}, "/nowhere: there is no such folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder, tmp_path, changes, message):
    with pytest.raises(A2VISError) as error:
        render_command.run(arguments(folder, tmp_path / "clips", **changes))
    assert message in str(error.value)
    assert not (tmp_path / "clips").exists()


# Training


def test_composed_clips_are_a_training_source(folder):
    classes = ["truck", "person", "cat"]
    source = open_source(f"composed:{folder}", classes, frames=9, seed=0, gigabytes=0)
    assert source.has_amodal
    data = SequenceDataset([source], [1.0], 4, 4, 64, 96, Augmentation(), 0)
    samples = [data[i] for i in range(3)]
    for sample in samples:
        assert sample.images.shape == (4, 64, 96, 3)
        assert sample.visible.shape == sample.amodal.shape == (4, len(sample.classes), 64, 96)
        assert len(sample.classes)
        assert set(sample.classes.tolist()) <= {0, 1}
        assert not (sample.visible & ~sample.amodal).any()
    assert np.array_equal(data[1].images, samples[1].images)
    video = source[3]
    loaded = video.load([2, 2, 5])
    assert loaded.indices.tolist() == [2, 2, 5]
    assert np.array_equal(loaded.frames[0], loaded.frames[1])
    assert np.array_equal(loaded.frames[2], video.load([5]).frames[0])
    assert set(loaded.first_visible.tolist()) <= {2, 5}


def test_the_split_of_composed_pictures_is_train_unless_named(folder, tmp_path):
    for split, name in (("train", "person"), ("val", "car")):
        shutil.copytree(folder / "cutouts" / name, tmp_path / "cutouts" / split / name)
        shutil.copytree(folder / "backgrounds", tmp_path / "backgrounds" / split)

    def load(text: str, classes: list[str]):
        return open_source(text, classes, frames=1, seed=0, gigabytes=0)

    assert len(load(f"composed:{tmp_path}", ["person"]))
    assert len(load(f"composed:{tmp_path}@val", ["car"]))
    with pytest.raises(A2VISError, match="holds none of the classes car"):
        load(f"composed:{tmp_path}", ["car"])
    with pytest.raises(A2VISError, match="test: there is no such folder"):
        load(f"composed:{tmp_path}@test", ["car"])
    railway = tmp_path / "railway@home"
    shutil.copytree(folder / "cutouts" / "car", railway / "cutouts" / "train")
    shutil.copytree(folder / "backgrounds", railway / "backgrounds")
    assert len(load(f"composed:{railway}", ["train"]))  # a class of that name, and no split


@pytest.mark.skipif(not ROBOT.is_dir(), reason="the robot's pictures are not beside the checkout")
def test_the_robots_pictures_can_all_be_used():
    found = load_pictures(ROBOT / "cutouts" / "val", ROBOT / "backgrounds" / "val", ProblemLog(strict=True))
    assert sum(len(cutouts) for cutouts in found.cutouts.values()) == 143
    clip = ComposedClip.sample(found, seed=3, frames=2, height=128, width=192)
    assert clip.render().frames.shape == (2, 128, 192, 3)
