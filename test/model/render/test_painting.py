"""How the procedural generator paints: masks, squares, light, textures, solids."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from a2vis_model.masks import coco as rle
from a2vis_model.render.camera import Camera, vector
from a2vis_model.render.fish import fish_mesh, sample_fish
from a2vis_model.render.mesh import ball, cuboid, cylinder, grid, limb
from a2vis_model.render.raster import Tone, rasterise
from a2vis_model.render.species import SPECIES
from a2vis_model.render.texture import Texture, plain


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


def forward_camera(height: int = 60, width: int = 80, focal: float = 50) -> Camera:
    return Camera.look_at(eye=vector(0, 0, 0), target=vector(0, 0, 1), focal=focal, height=height, width=width)


def daylight() -> Tone:
    return Tone(lamp=vector(0, 0, 0), ambient=vector(1, 1, 1), fog_colour=vector(0, 0, 0), power=0.0)


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
