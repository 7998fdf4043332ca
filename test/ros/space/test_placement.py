"""One frame's masks to positions and extents, against boxes whose true place is known."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from worlds import CAMERA, HEIGHT, LEVEL, Box, look, pitched

from a2vis_ros.planner.mask_codec import MaskSet, RunLengthMask, encode_image
from a2vis_ros.space.camera import CameraModel
from a2vis_ros.space.ground import GroundError, GroundPlane
from a2vis_ros.space.placement import MaskedObject, PlacementSettings, Source, Unplaced, place_objects
from a2vis_ros.space.profiles import DEFAULT_PROFILES, ClassProfile
from a2vis_ros.space.transforms import RigidTransform

PERSON, CAR = DEFAULT_PROFILES["person"], DEFAULT_PROFILES["car"]
SETTINGS = PlacementSettings()


@dataclass(frozen=True)
class Placement:
    """One row of `Placements`."""

    source: Source
    centre: NDArray[np.float64]
    noise: NDArray[np.float64]
    bias: NDArray[np.float64]
    extent: NDArray[np.float64]
    cut_off: bool


def all_placed(
    objects: list[MaskedObject],
    camera: CameraModel,
    ground: GroundPlane | None,
    depth: NDArray[np.float32] | None,
    settings: PlacementSettings,
) -> list[Placement | Unplaced]:
    """A place, or the reason why there is none, of each object."""
    visible = MaskSet([one.visible for one in objects])
    up = np.array([0.0, -1.0, 0.0]) if ground is None else ground.up
    found = place_objects(objects, visible, camera, up, ground, depth, settings)
    results: dict[int, Placement | Unplaced] = {**found.unplaced}
    for row, index in enumerate(found.number.tolist()):
        results[index] = Placement(
            Source(found.source[row]),
            found.centre[row],
            found.noise[row],
            found.bias[row],
            found.extent[row],
            bool(found.cut_off[row]),
        )
    return [results[index] for index in range(len(objects))]


def placed(
    masks: tuple[RunLengthMask, RunLengthMask],
    *,
    depth: NDArray[np.float32] | None = None,
    pose: RigidTransform | None = LEVEL,
    camera: CameraModel = CAMERA,
    profile: ClassProfile = PERSON,
    settings: PlacementSettings = SETTINGS,
) -> Placement | Unplaced:
    """On the ground that the pose says, or none."""
    ground = None if pose is None else GroundPlane.from_transform(pose)
    (found,) = all_placed([MaskedObject(*masks, profile)], camera, ground, depth, settings)
    return found


def error(found: Placement | Unplaced, box: Box, pose: RigidTransform = LEVEL) -> float:
    """Metres from the true centre."""
    assert isinstance(found, Placement)
    return float(np.linalg.norm(pose.apply(found.centre) - box.centre))


def honest(found: Placement | Unplaced, box: Box, pose: RigidTransform = LEVEL) -> bool:
    """Whether the error is one that the covariance allows for: less than 4 sigma."""
    assert isinstance(found, Placement)
    step = pose.inverse().apply(box.centre) - found.centre
    covariance = found.noise + found.bias
    return float(step @ np.linalg.solve(covariance + np.eye(3) * 1e-6, step)) < 16


@pytest.mark.parametrize("pitch", [0.0, 15.0, 35.0])
@pytest.mark.parametrize("with_depth", [True, False])
@pytest.mark.parametrize(("x", "y"), [(3.5, 0.0), (5.0, 1.5), (6.0, -1.5)])
def test_a_person_is_where_it_stands(x: float, y: float, with_depth: bool, pitch: float) -> None:
    box, pose = Box(x, y), pitched(pitch)
    (masks,), depth = look([box], pose)
    found = placed(masks, depth=depth if with_depth else None, pose=pose)
    assert isinstance(found, Placement)
    assert found.source is (Source.DEPTH if with_depth else Source.GROUND)
    if not found.cut_off:
        assert error(found, box, pose) < 0.04 * x
        assert found.extent == pytest.approx((0.6, 0.65, 1.7), abs=0.2)
    assert honest(found, box, pose)


def test_on_the_ground_an_error_of_the_distance_is_none_of_the_height() -> None:
    (masks,), depth = look([Box(5.0, 0.0)])
    on_ground, by_depth = placed(masks), placed(masks, depth=depth)
    assert isinstance(on_ground, Placement)
    assert isinstance(by_depth, Placement)
    # Down and ahead are the second and the third axis of the optical frame.
    for found in (on_ground.noise, on_ground.bias):
        assert found[1, 2] == pytest.approx(0.0, abs=1e-9)
    # By depth the object is somewhere on its ray, which leads down.
    assert by_depth.centre[1] > 0
    assert by_depth.noise[1, 2] > 1e-6


def test_a_car_from_the_front_and_from_the_side() -> None:
    for size in ((4.4, 1.8, 1.5), (1.8, 4.4, 1.5)):
        box = Box(10.0, 0.0, size)
        (masks,), depth = look([box])
        for given in (depth, None):
            found = placed(masks, depth=given, profile=CAR)
            assert isinstance(found, Placement)
            assert error(found, box) < 0.5
            assert found.extent == pytest.approx(size, abs=0.6)


@pytest.mark.parametrize("lens", ["plumb_bob", "equidistant"])
def test_lens_distortion_is_undone(lens: str) -> None:
    coefficients = {"plumb_bob": (-0.28, 0.07, 0.0, 0.0, 0.0), "equidistant": (-0.02, 0.005, -0.004, 0.0008)}[lens]
    camera = replace(CAMERA, fx=350.0, fy=350.0, distortion_model=lens, distortion=coefficients)
    box = Box(4.0, 2.2)
    (masks,), depth = look([box], camera=camera)
    straight = replace(camera, distortion=())
    for given in (depth, None):
        right, wrong = (placed(masks, depth=given, camera=one) for one in (camera, straight))
        assert error(right, box) < 0.15 < error(wrong, box)


def test_behind_a_box_the_amodal_mask_knows_the_feet() -> None:
    person, crate = Box(6.0, 0.0), Box(3.0, 0.0, (0.5, 1.2, 0.9))
    (masks, _), depth = look([person, crate])
    visible, amodal = masks
    assert visible.height < 0.7 * amodal.height
    with_amodal, with_visible = placed((visible, amodal)), placed((visible, visible))
    assert error(with_amodal, person) < 0.2
    assert error(with_visible, person) > 2.0
    # Feet that were guessed are less sure than feet that are seen.
    (free,), _ = look([person])
    open_view = placed(free)
    assert isinstance(open_view, Placement)
    assert isinstance(with_amodal, Placement)
    assert with_amodal.bias[2, 2] > 2 * open_view.bias[2, 2]
    # And depth is that of what is seen of the person, not of the crate.
    assert error(placed((visible, amodal), depth=depth), person) < 0.2


def test_what_the_image_cuts_off_says_so_by_its_covariance() -> None:
    whole, beside, near = Box(4.0, 0.0), Box(4.0, 2.55), Box(1.6, 0.0)
    results = {}
    for name, box in (("whole", whole), ("beside", beside), ("near", near)):
        (masks,), _ = look([box])
        found = placed(masks)
        assert isinstance(found, Placement)
        assert honest(found, box), name
        results[name] = found
    assert not results["whole"].cut_off
    assert results["beside"].cut_off
    assert results["near"].cut_off
    sure, aside, close = (results[name].noise + results[name].bias for name in ("whole", "beside", "near"))
    assert aside[0, 0] > 5 * sure[0, 0]
    assert close[2, 2] / 1.6**2 > 5 * sure[2, 2] / 4.0**2


def test_feet_above_the_horizon_are_nowhere() -> None:
    (masks,), _ = look([Box(5.0, 0.0, z=2.0)])
    assert placed(masks) is Unplaced.HORIZON


def test_feet_near_the_horizon_are_not_guessed() -> None:
    far = PlacementSettings(max_range=1000.0)
    mask = encode_image(np.pad(np.ones((20, 8), np.bool_), ((224, 236), (300, 332))))
    assert placed((mask, mask), settings=far) is Unplaced.UNSURE
    (masks,), _ = look([Box(12.0, 0.0)])
    assert placed(masks, settings=PlacementSettings(max_range=10.0)) is Unplaced.TOO_FAR


def test_without_depth_and_ground_there_is_no_position() -> None:
    (masks,), depth = look([Box(5.0, 0.0)])
    assert placed(masks, pose=None) is Unplaced.NO_GROUND
    # With depth there is one, in the camera's frame.
    found = placed(masks, pose=None, depth=depth)
    assert error(found, Box(5.0, 0.0)) < 0.2


@pytest.mark.parametrize("hole", [0.0, math.nan, math.inf, -1.0])
def test_depth_with_holes(hole: float) -> None:
    box = Box(5.0, 0.5)
    (masks,), depth = look([box])
    visible = masks[0]
    inside = (slice(visible.y, visible.y + visible.height), slice(visible.x, visible.x + visible.width))
    # Half of the object is a hole: the other half tells.
    some = depth.copy()
    some[inside][np.random.default_rng(0).random(some[inside].shape) < 0.5] = hole
    found = placed(masks, depth=some)
    assert isinstance(found, Placement)
    assert found.source is Source.DEPTH
    assert error(found, box) < 0.1
    # All of it is: the ground tells, and without ground nothing does.
    depth[inside] = hole
    found = placed(masks, depth=depth)
    assert isinstance(found, Placement)
    assert found.source is Source.GROUND
    assert placed(masks, depth=depth, pose=None) is Unplaced.DEPTH_HOLE


def test_background_and_flying_pixels_in_the_mask_do_not_move_the_object() -> None:
    box = Box(5.0, 0.0)
    (masks,), depth = look([box])
    rng = np.random.default_rng(0)
    visible = masks[0]
    inside = depth[visible.y : visible.y + visible.height, visible.x : visible.x + visible.width]
    inside += rng.normal(0, 0.02, inside.shape)
    # A third of it is the wall behind, and the rim is anywhere between.
    inside[: len(inside) // 3] = 19.0
    inside[:, :2] = rng.uniform(1, 19, inside[:, :2].shape)
    found = placed(masks, depth=depth)
    assert error(found, box) < 0.15


def test_straight_down_there_is_no_forward() -> None:
    pose = pitched(90.0)
    mask = encode_image(np.pad(np.ones((40, 40), np.bool_), ((220, 220), (300, 300))))
    assert placed((mask, mask), pose=pose) is Unplaced.NO_RAY


def test_many_objects_are_placed_as_each_alone() -> None:
    boxes = [Box(4.0, 1.0), Box(7.0, -1.0), Box(5.0, 0.0, z=2.0), Box(9.0, 2.0)]
    masks, depth = look(boxes)
    ground = GroundPlane.from_transform(LEVEL)
    together = all_placed([MaskedObject(*one, PERSON) for one in masks], CAMERA, ground, None, SETTINGS)
    for one, found in zip(masks, together, strict=True):
        alone = placed(one)
        if isinstance(alone, Unplaced):
            assert found is alone
        else:
            assert isinstance(found, Placement)
            assert np.allclose(found.centre, alone.centre)
            assert np.allclose(found.bias, alone.bias)
    assert together[2] is Unplaced.HORIZON
    for given in (None, depth):
        assert all_placed([], CAMERA, ground, given, SETTINGS) == []


def test_the_ground_from_a_mounting_is_that_from_a_transform() -> None:
    for pitch in (0.0, 20.0):
        mounted = GroundPlane.from_mounting(HEIGHT, pitch, 0.0)
        known = GroundPlane.from_transform(pitched(pitch))
        assert np.allclose(mounted.up, known.up)
        assert mounted.height == known.height
    # Clockwise: the image's right side goes down.
    assert GroundPlane.from_mounting(HEIGHT, 0.0, 10.0).up[0] < 0


@pytest.mark.parametrize("height", [0.0, -1.0, math.nan, math.inf])
def test_a_camera_below_the_ground_is_refused(height: float) -> None:
    with pytest.raises(GroundError, match="m above the ground plane"):
        GroundPlane.from_mounting(height, 0.0, 0.0)
