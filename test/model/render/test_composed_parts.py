"""How cut-outs look, where they stand, and how they move."""

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from composed_clips import block
from pictures import cut_out, scenery

from a2vis_model.masks import coco as rle
from a2vis_model.render import occluders
from a2vis_model.render.backdrop import Backdrop
from a2vis_model.render.billboard import Pose, draw, make_sprite
from a2vis_model.render.camera import Camera, vector
from a2vis_model.render.compositor import Layer, compose
from a2vis_model.render.harmonise import colour_change, harmonise, matte, shade_ground
from a2vis_model.render.journey import Journey, sample_gait, sample_journey
from a2vis_model.render.raster import Patch
from a2vis_model.render.things import is_cut


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


def level_camera(*, x: float = 0, eye: float = 1.5, z: float = 0, focal: float = 80, roll: float = 0) -> Camera:
    at = vector(x, eye, z)
    return Camera.look_at(eye=at, target=at + vector(0, 0, 1), focal=focal, height=64, width=96, roll=roll)


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
