"""Clips composed of cut-outs and photographs: which pixels are whose."""

import json
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from composed_clips import SIZE, block, clips, folder, pictures
from pictures import cut_out, save

from a2vis_model.data.problems import ProblemLog
from a2vis_model.masks import coco as rle
from a2vis_model.render.backdrop import Backdrop
from a2vis_model.render.billboard import Pose, draw, make_sprite
from a2vis_model.render.camera import vector
from a2vis_model.render.composed_scene import Scene, sample_classes, sample_scene
from a2vis_model.render.composed_world import ComposedClip, compose_scene
from a2vis_model.render.cutouts import load_pictures
from a2vis_model.render.journey import Gait, Journey
from a2vis_model.render.motion import Ride
from a2vis_model.render.obstacles import Obstacle
from a2vis_model.render.things import Thing
from a2vis_model.render.traits import traits_of
from a2vis_model.render.view import View

__all__ = ["clips", "folder", "pictures"]


STILL = Gait(bob=0, sway=0, rock=0, stride=0, pace=0, idle=0, phase=0)


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


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
