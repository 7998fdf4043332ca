"""Chains, interpolation and absences of transforms."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from a2vis_ros.space.transforms import (
    RigidTransform,
    TransformBuffer,
    TransformError,
    TransformTooNewError,
    cross,
    quaternions,
)

SECOND = 10**9


def moved(x: float, yaw_deg: float = 0.0) -> RigidTransform:
    return RigidTransform(Rotation.from_euler("z", yaw_deg, degrees=True).as_matrix(), np.array([x, 0.0, 0.0]))


def test_composition_and_inverse() -> None:
    one, other = moved(1.0, 30.0), moved(-2.0, 100.0)
    points = np.array([[1.0, 2, 3], [0, 0, 0]])
    assert np.allclose((one @ other).apply(points), one.apply(other.apply(points)))
    assert np.allclose(one.inverse().apply(one.apply(points)), points)


def test_a_chain_up_and_down_the_tree_between_two_stamps() -> None:
    buffer = TransformBuffer()
    buffer.add("odom", "base", moved(0.0, 0.0), 10 * SECOND)
    buffer.add("odom", "base", moved(4.0, 90.0), 12 * SECOND)
    buffer.add("base", "camera", moved(1.0), 0, static=True)
    buffer.add("map", "odom", moved(10.0), 0, static=True)
    buffer.add("map", "door", moved(3.0), 0, static=True)
    # Half way: 2 m ahead, turned by 45 degrees, and the camera 1 m further ahead in that direction.
    found = buffer.lookup("odom", "camera", 11 * SECOND)
    assert np.allclose(found.translation, [2 + np.sqrt(0.5), np.sqrt(0.5), 0])
    assert np.allclose(Rotation.from_matrix(found.rotation).as_euler("zyx", degrees=True), [45, 0, 0])
    # Up to the common frame and down again; a leading slash is ROS 1's.
    found = buffer.lookup("/door", "camera", 11 * SECOND)
    assert np.allclose(found.translation, [10 - 3 + 2 + np.sqrt(0.5), np.sqrt(0.5), 0])
    back = buffer.lookup("camera", "door", 11 * SECOND)
    assert np.allclose(back.apply(found.apply(np.array([1.0, 2, 3]))), [1, 2, 3])
    assert np.allclose(buffer.lookup("base", "base", 11 * SECOND).translation, 0)


def test_times_without_a_transform() -> None:
    buffer = TransformBuffer()
    buffer.add("odom", "camera", moved(0.0), 10 * SECOND)
    buffer.add("odom", "camera", moved(1.0), 11 * SECOND)
    with pytest.raises(TransformTooNewError, match=r"0\.500 s older than the image"):
        buffer.lookup("odom", "camera", 11_500_000_000)
    with pytest.raises(TransformError, match=r"1\.000 s younger than the image") as raised:
        buffer.lookup("odom", "camera", 9 * SECOND)
    assert not isinstance(raised.value, TransformTooNewError)


def test_frames_without_a_transform() -> None:
    buffer = TransformBuffer()
    with pytest.raises(TransformError, match="known frames: none"):
        buffer.lookup("odom", "camera", 0)
    buffer.add("odom", "base", moved(0.0), 0, static=True)
    buffer.add("rig", "camera", moved(0.0), 0, static=True)
    buffer.add("a\n\x1b[2J" * 1000, "b", moved(0.0), 0, static=True)
    with pytest.raises(TransformError, match="known frames: a") as unknown:
        buffer.lookup("nowhere", "camera", 0)
    assert str(unknown.value).isprintable()
    assert len(str(unknown.value)) < 400
    with pytest.raises(TransformError, match="no transforms connect 'camera' with 'odom'"):
        buffer.lookup("odom", "camera", 0)
    with pytest.raises(TransformError, match="'kamera'"):
        buffer.lookup("odom", "kamera", 0)


def test_broken_transforms() -> None:
    with pytest.raises(TransformError, match="quaternion"):
        RigidTransform.from_quaternion((0, 0, 0), (0, 0, 0, 0))
    with pytest.raises(TransformError, match="quaternion"):
        RigidTransform.from_quaternion((float("nan"), 0, 0), (0, 0, 0, 1))
    buffer = TransformBuffer()
    with pytest.raises(TransformError, match="itself"):
        buffer.add("odom", "/odom", moved(0.0), 0)
    buffer.add("a", "b", moved(0.0), 0, static=True)
    buffer.add("b", "a", moved(0.0), 0, static=True)
    with pytest.raises(TransformError, match="circle"):
        buffer.lookup("c", "a", 0)


def test_memory_is_bounded_and_a_loop_forgets() -> None:
    buffer = TransformBuffer(cache_s=5.0)
    for i in range(1000):
        buffer.add("odom", "camera", moved(float(i)), i * SECOND // 10)
    history = buffer._frames["camera"]
    assert len(history.stamps) == len(history.transforms) == 51
    # The bag begins again.
    buffer.add("odom", "camera", moved(-1.0), 0)
    assert np.allclose(buffer.lookup("odom", "camera", 0).translation, [-1, 0, 0])
    with pytest.raises(TransformTooNewError):
        buffer.lookup("odom", "camera", 99 * SECOND)


def test_quaternions_and_cross_products_are_those_of_scipy_and_numpy() -> None:
    """With half turns, where the fourth number is 0, about all axes."""
    half_turns = Rotation.from_rotvec(np.pi * np.eye(3))
    turns = Rotation.concatenate([Rotation.random(500, random_state=0), half_turns, Rotation.identity(1)])
    rotations = turns.as_matrix()
    np.testing.assert_allclose(quaternions(rotations), Rotation.from_matrix(rotations).as_quat(), atol=1e-14)
    assert quaternions(rotations[:0]).shape == (0, 4)
    one, other = rotations[:, 0], rotations[:, 1]
    np.testing.assert_array_equal(cross(one, other), np.cross(one, other))
    np.testing.assert_array_equal(cross(one[0], other), np.cross(one[0], other))
