"""Frames in, objects out: motion, hiding, belief, and input that cannot be used."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from worlds import CAMERA, HEIGHT, LEVEL, Box, frame, look, pitched, track

from a2vis_ros.planner.mask_codec import RunLengthMask
from a2vis_ros.space.camera import CameraError
from a2vis_ros.space.ground import GroundError
from a2vis_ros.space.localizer import (
    FrameError,
    Localized,
    Localizer,
    LocalizerSettings,
    LocatedObject,
    Mounting,
    State,
)
from a2vis_ros.space.placement import Source, Unplaced
from a2vis_ros.space.transforms import RigidTransform, TransformBuffer, TransformError, TransformTooNewError

MOUNTED = LocalizerSettings(mounting=Mounting(HEIGHT))
EMPTY = RunLengthMask.empty()


def show(
    localizer: Localizer,
    seconds: float,
    boxes: Sequence[Box],
    *,
    depth: bool = True,
    pose: RigidTransform = LEVEL,
    epoch: int = 0,
    session: int = 7,
    lost: Sequence[int] = (),
) -> Localized:
    """One frame of a world; tracks are numbered from 1, and those of `lost` are LOST whatever is seen."""
    masks, image = look(boxes, pose)
    tracks = [
        track(visible, amodal, track_id=number, state=State.LOST if number in lost else None)
        for number, (visible, amodal) in enumerate(masks, 1)
    ]
    return localizer.update(frame(seconds, tracks, epoch=epoch, session=session), CAMERA, image if depth else None)


def only(result: Localized) -> LocatedObject:
    (found,) = result.objects
    return found


def test_velocity_is_by_stamps_and_not_by_frames() -> None:
    """A person walks at 1 m/s to the left; frames come in any rhythm."""
    localizer = Localizer(MOUNTED)
    rng = np.random.default_rng(0)
    seconds = 0.0
    for _ in range(40):
        found = only(show(localizer, seconds, [Box(6.0, -1.5 + seconds)]))
        seconds += rng.choice([0.02, 0.05, 0.3]) * 0.5
    # Left of the camera is -x of the optical frame.
    assert found.velocity == pytest.approx([-1.0, 0, 0], abs=0.15)
    assert found.source is Source.DEPTH
    assert (found.hidden_s, found.measured_s) == (0, 0)
    assert found.existence == pytest.approx(0.9)


def test_a_moving_camera_in_a_fixed_frame() -> None:
    """The robot drives at 2 m/s, the person stands."""
    buffer = TransformBuffer()
    localizer = Localizer(LocalizerSettings(fixed_frame="odom", ground_frame="odom"), buffer)
    for i in range(20):
        seconds = 0.1 * i
        pose = replace(LEVEL, translation=np.array([2 * seconds, 0.0, HEIGHT]))
        buffer.add("odom", "camera", pose, round((100 + seconds) * 1e9))
        result = show(localizer, seconds, [Box(9.0, 1.0)], pose=pose, depth=i % 2 == 0)
    found = only(result)
    assert result.frame_id == "odom"
    assert found.position == pytest.approx([9.0, 1.0, 0.85], abs=0.2)
    assert found.velocity == pytest.approx([0, 0, 0], abs=0.3)
    # The box's x axis points away from the camera, its z axis up.
    x, y, z, w = found.orientation
    assert math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)) == pytest.approx(math.atan2(1.0, 5.2), abs=0.05)
    assert found.size == pytest.approx([0.6, 0.6, 1.7], abs=0.2)


def test_hidden_it_goes_on_and_is_less_and_less_sure() -> None:
    """A person walks behind a wall, and out at the other side with the same ID."""
    localizer = Localizer(MOUNTED)
    crate = Box(3.0, 0.0, (0.2, 1.4, 2.0))
    results = {}
    for i in range(81):
        seconds = 0.1 * i
        result = show(localizer, seconds, [Box(6.0, -2.0 + 0.5 * seconds), crate])
        results[i] = result.objects[0]
    walking, middle, late, again = results[5], results[35], results[45], results[80]
    assert (walking.state, middle.state, again.state) == (State.VISIBLE, State.LOST, State.VISIBLE)
    assert middle.source is late.source is Source.PREDICTED
    assert late.hidden_s == pytest.approx(middle.hidden_s + 1.0)
    assert late.measured_s >= late.hidden_s > 1.5
    # It is expected where it is.
    assert late.position[0] == pytest.approx(2.0 - 0.5 * 4.5, abs=0.5)
    spread = [np.sqrt(np.trace(one.covariance[:3, :3])) for one in (walking, middle, late, again)]
    assert spread[0] < spread[1] < spread[2] > spread[3]
    step = late.position - np.array([2.0 - 0.5 * 4.5, HEIGHT - 0.85, 6.0])
    assert step @ np.linalg.solve(late.covariance[:3, :3], step) < 16
    # The place is covered by the crate, so nothing but time speaks against it.
    assert 0.9 > middle.existence > late.existence > 0.5
    assert again.existence == pytest.approx(0.9)
    assert (again.hidden_s, again.source) == (0, Source.DEPTH)
    assert again.position[0] == pytest.approx(-2.0, abs=0.2)


@pytest.mark.parametrize("depth", [True, False])
def test_a_place_that_is_seen_empty_is_evidence_against(depth: bool) -> None:
    """The person does not come out from behind the crate, and then the crate goes."""
    localizer = Localizer(MOUNTED)
    person, crate = Box(6.0, 0.0), Box(3.0, 0.0, (0.2, 1.4, 2.0))
    nowhere = Box(300.0, 500.0)
    beside = Box(3.0, 1.8, (0.2, 1.4, 2.0))
    for i in range(5):
        show(localizer, 0.1 * i, [person, beside], depth=depth)
    for i in range(5, 15):
        hidden = show(localizer, 0.1 * i, [nowhere, crate], depth=depth).objects[0]
    existence = []
    for i in range(15, 60):
        result = show(localizer, 0.1 * i, [nowhere, beside], depth=depth)
        existence.append(result.objects[0].existence if result.objects[0].track_id == 1 else 0.0)
        if result.forgotten:
            break
    assert hidden.existence > 0.8
    assert existence[8] < 0.5 * hidden.existence
    assert result.forgotten == 1
    assert i < 50
    # Once forgotten it is not said again.
    assert [found.track_id for found in show(localizer, 6.1, [nowhere, beside], depth=depth).objects] == [2]


def test_without_depth_nothing_is_known_of_what_is_not_tracked() -> None:
    """It went behind something that nothing tracks; that its place looks empty is no evidence then."""
    localizer = Localizer(MOUNTED)
    for i in range(5):
        show(localizer, 0.1 * i, [Box(6.0, 0.0)], depth=False)
    for i in range(5, 25):
        found = only(show(localizer, 0.1 * i, [Box(6.0, 0.0)], depth=False, lost=[1]))
    # Two seconds of a half-life of ten.
    assert found.existence == pytest.approx(0.9 * 0.5 ** (found.hidden_s / 10), abs=0.01)


def test_what_is_outside_the_image_is_not_seen_to_be_empty() -> None:
    localizer = Localizer(MOUNTED)
    for i in range(10):
        show(localizer, 0.1 * i, [Box(3.0, 0.5 + 1.5 * 0.1 * i)])
    for i in range(10, 40):
        found = only(show(localizer, 0.1 * i, [Box(3.0, 50.0)], lost=[1]))
    assert found.existence > 0.5


@pytest.mark.parametrize("change", [{"epoch": 1}, {"session": 8}])
def test_another_epoch_or_session_has_nothing_to_do_with_it(change: dict[str, int]) -> None:
    localizer = Localizer(MOUNTED)
    show(localizer, 5.0, [Box(6.0, 0.0)])
    assert not show(localizer, 0.0, [Box(6.0, 0.0)], lost=[1], **change).objects  # type: ignore[arg-type]


def test_a_track_ends_once_and_one_that_is_missing_is_forgotten() -> None:
    localizer = Localizer(MOUNTED)
    show(localizer, 0.0, [Box(6.0, 0.0)])
    ended = localizer.update(frame(0.1, [track(EMPTY, EMPTY, state=State.ENDED)]), CAMERA)
    assert only(ended).state is State.ENDED
    assert not localizer.update(frame(0.2, [track(EMPTY, EMPTY)]), CAMERA).objects
    show(localizer, 0.3, [Box(6.0, 0.0)])
    localizer.update(frame(0.4, []), CAMERA)
    assert not localizer.update(frame(0.5, [track(EMPTY, EMPTY)]), CAMERA).objects


def test_an_object_that_cannot_be_placed_is_counted_and_predicted() -> None:
    localizer = Localizer(MOUNTED)
    result = show(localizer, 0.0, [Box(6.0, 0.0, z=3.0)], depth=False)
    assert not result.objects
    assert result.unplaced == {Unplaced.HORIZON: 1}
    show(localizer, 0.1, [Box(6.0, 0.0)])
    result = show(localizer, 0.2, [Box(6.0, 0.0, z=3.0)], depth=False)
    assert only(result).source is Source.PREDICTED
    assert only(result).hidden_s == 0
    assert only(result).measured_s == pytest.approx(0.1)


def test_an_outlier_is_left_out_and_three_are_where_it_is() -> None:
    localizer = Localizer(MOUNTED)
    for i in range(10):
        show(localizer, 0.1 * i, [Box(5.0, 0.0)])
    away = Box(9.0, 3.0)
    first = show(localizer, 1.0, [away])
    assert first.outliers == 1
    assert only(first).position[2] == pytest.approx(5.0, abs=0.1)
    show(localizer, 1.1, [away])
    third = show(localizer, 1.2, [away])
    assert only(third).position[2] == pytest.approx(9.0, abs=0.2)


def test_ground_and_depth_that_disagree_make_no_velocity() -> None:
    """The camera is pitched by a degree more than it is said to be; depth comes and goes."""
    localizer = Localizer(LocalizerSettings(mounting=Mounting(HEIGHT, pitch_deg=-1.0)))
    speeds = []
    for i in range(60):
        found = only(show(localizer, 0.1 * i, [Box(7.0, 0.0)], depth=i // 7 % 2 == 0))
        speeds.append(float(np.linalg.norm(found.velocity)))
    assert max(speeds[10:]) < 0.3


def test_input_that_cannot_be_used_changes_nothing() -> None:
    buffer = TransformBuffer()
    localizer = Localizer(LocalizerSettings(fixed_frame="odom"), buffer)
    with pytest.raises(TransformError, match="no transform names"):
        show(localizer, 0.0, [Box(6.0, 0.0)])
    buffer.add("odom", "camera", LEVEL, 100 * 10**9)
    show(localizer, 0.0, [Box(6.0, 0.0)])
    with pytest.raises(TransformTooNewError, match=r"0\.100 s older than the image"):
        show(localizer, 0.1, [Box(6.0, 0.0)])
    buffer.add("odom", "camera", LEVEL, 101 * 10**9)
    show(localizer, 0.2, [Box(6.0, 0.0)])
    with pytest.raises(FrameError, match=r"0\.100 s older than the last one"):
        show(localizer, 0.1, [Box(6.0, 0.0)])
    tracks = frame(0.3, [])
    with pytest.raises(FrameError, match="depth image is of 320x240, and the tracks are of 640x480"):
        localizer.update(tracks, CAMERA, np.ones((240, 320), np.float32))
    with pytest.raises(CameraError, match="320x240"):
        localizer.update(tracks, replace(CAMERA, width=320, height=240))
    assert only(show(localizer, 0.3, [Box(6.0, 0.0)], lost=[1])).hidden_s == pytest.approx(0.1)


def above(floor: float, pose: RigidTransform = LEVEL) -> TransformBuffer:
    """A camera whose floor is so many metres above z = 0 of odom; the world's z = 0 is the floor."""
    buffer = TransformBuffer()
    buffer.add("odom", "camera", replace(pose, translation=pose.translation + np.array([0, 0, floor])), 0, static=True)
    return buffer


@pytest.mark.parametrize("floor", [2.0, -2.0])
def test_the_fixed_frame_alone_does_not_say_where_the_ground_is(floor: float) -> None:
    """On another floor z = 0 of odom is elsewhere, and whoever is in a hole of the depth image is not there."""
    localizer = Localizer(LocalizerSettings(fixed_frame="odom"), above(floor))
    (masks,), depth = look([Box(6.0, 0.0)])
    hole = np.where(depth < 10, np.nan, depth).astype(np.float32)
    result = localizer.update(frame(0.0, [track(*masks)]), CAMERA, hole)
    assert not result.objects
    assert result.unplaced == {Unplaced.DEPTH_HOLE: 1}
    found = only(localizer.update(frame(0.1, [track(*masks)]), CAMERA, depth))
    assert found.source is Source.DEPTH
    assert found.position == pytest.approx([6.0, 0.0, 0.85 + floor], abs=0.2)
    # Nor where there is no depth image at all.
    result = localizer.update(frame(0.2, [track(*masks)]), CAMERA)
    assert only(result).source is Source.PREDICTED
    assert result.unplaced == {Unplaced.NO_GROUND: 1}


def test_the_fixed_frame_says_which_way_is_up_without_a_ground() -> None:
    """The camera looks down by 35 degrees; boxes stand upright all the same."""
    pose, box = pitched(35.0), Box(3.0, 0.0)
    localizer = Localizer(LocalizerSettings(fixed_frame="odom"), above(0.0, pose))
    (masks,), depth = look([box], pose)
    found = only(localizer.update(frame(0.0, [track(*masks)]), CAMERA, depth))
    x, y, _, _ = found.orientation
    assert (x, y) == pytest.approx((0, 0), abs=1e-6)
    assert found.position == pytest.approx(box.centre, abs=0.1)


def test_a_camera_that_is_not_above_the_ground_is_refused_without_depth_and_does_without_the_ground_with_it() -> None:
    for settings in (
        LocalizerSettings(fixed_frame="odom", ground_frame="odom"),
        LocalizerSettings(ground_frame="odom"),
    ):
        localizer = Localizer(settings, above(-1.3))
        with pytest.raises(GroundError, match=r"-0\.1 m above the ground"):
            show(localizer, 0.0, [], depth=False)
        result = show(localizer, 0.0, [Box(6.0, 0.0)])
        assert only(result).source is Source.DEPTH
        assert "-0.1 m above the ground" in result.ground_problem
        with pytest.raises(GroundError):
            show(localizer, 0.1, [Box(6.0, 0.0)], depth=False)
    assert not show(Localizer(MOUNTED), 0.0, [Box(6.0, 0.0)]).ground_problem


def test_a_frame_needs_a_source_of_transforms() -> None:
    with pytest.raises(ValueError, match="fixed_frame='odom'"):
        Localizer(LocalizerSettings(fixed_frame="odom"))


@pytest.mark.parametrize("depth", [True, False])
def test_where_and_when_a_hidden_object_may_come_out(depth: bool) -> None:
    """A person who walks to the left at 0.5 m/s is behind a crate, whose shadow at 6 m ends 1.45 m to the left."""
    localizer = Localizer(MOUNTED)
    crate = Box(3.0, 0.0, (0.2, 1.4, 2.0))
    for i in range(46):
        found = show(localizer, 0.1 * i, [Box(6.0, -2.0 + 0.05 * i), crate], depth=depth).objects[0]
    assert found.state is State.LOST
    left, right = found.emergences
    end = 0.7 * 6.0 / 2.9
    aside = end - (-2.0 + 0.05 * 45)
    assert left.earliest_s == pytest.approx((aside - 0.3) / 3.0, abs=0.15)
    assert left.expected_s == pytest.approx((aside - 0.3) / 0.5, abs=1.0)
    assert math.isnan(right.expected_s)
    assert right.point[0] == pytest.approx(end, abs=0.4)
    assert left.point == pytest.approx([-end, HEIGHT - 0.85, 6.0], abs=0.7)


def test_behind_what_fills_the_image_no_end_is_in_view() -> None:
    localizer = Localizer(MOUNTED)
    show(localizer, 0.0, [Box(6.0, 0.0)])
    found = show(localizer, 0.1, [Box(6.0, 0.0), Box(2.0, 0.0, (0.2, 9.0, 3.0))]).objects[0]
    assert found.emergences == ()
