"""`Tf2Transforms` on tf2 itself, where it is installed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ros_helpers import Peer, needs_ros

from a2vis_ros.space.transforms import TransformError, TransformTooNewError

pytestmark = needs_ros

SECOND = 1_000_000_000


@pytest.fixture
def peer() -> Iterator[Peer]:
    one = Peer()
    yield one
    one.close()


def transform(parent: str, child: str, seconds: float, x: float) -> Any:
    from geometry_msgs.msg import TransformStamped

    made = TransformStamped(child_frame_id=child)
    made.header.frame_id = parent
    made.header.stamp.sec, made.header.stamp.nanosec = divmod(round(seconds * 1e9), 10**9)
    made.transform.translation.x = x
    return made


def test_what_is_published_is_found(peer: Peer) -> None:
    pytest.importorskip("tf2_ros", reason="tf2_ros is on no package index, only on a ROS 2 machine")
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from tf2_msgs.msg import TFMessage

    from a2vis_ros.node.tf2_transforms import Tf2Transforms

    assert Tf2Transforms.available()
    moving = peer.node.create_publisher(TFMessage, "/tf", 100)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    fixed = peer.node.create_publisher(TFMessage, "/tf_static", latched)
    source = Tf2Transforms(peer.node)

    def raised(target: str, frame: str, stamp_ns: int) -> TransformError:
        with pytest.raises(TransformError, match=r"^tf2: ") as caught:
            source.lookup(target, frame, stamp_ns)
        return caught.value

    assert "does not exist" in str(raised("odom", "camera", 5 * SECOND))
    peer.until(lambda: moving.get_subscription_count() and fixed.get_subscription_count())
    mounting = transform("base", "camera", 0.0, 0.5)
    # The camera looks along x of the base, which is z of its own.
    turned = mounting.transform.rotation
    turned.x, turned.y, turned.z, turned.w = -0.5, 0.5, -0.5, 0.5
    fixed.publish(TFMessage(transforms=[mounting]))
    moving.publish(TFMessage(transforms=[transform("odom", "base", 100.0, 1.0), transform("odom", "base", 102.0, 3.0)]))

    def known() -> bool:
        try:
            source.lookup("odom", "camera", 102 * SECOND)
        except TransformError:
            return False
        return True

    peer.until(known)
    for seconds, x in ((100.0, 1.0), (101.5, 2.5), (102.0, 3.0)):
        found = source.lookup("odom", "camera", round(seconds * SECOND))
        assert found.apply(np.array([0.0, 0.0, 2.0])) == pytest.approx([x + 0.5 + 2.0, 0.0, 0.0])
        assert found.apply(np.array([1.0, 0.0, 0.0])) == pytest.approx([x + 0.5, -1.0, 0.0])
    # With the slash of ROS 1, as tf2 takes it from publishers and as a bag's transforms are found.
    assert source.lookup("/odom", "/camera", 100 * SECOND).translation == pytest.approx([1.5, 0.0, 0.0])
    late = raised("odom", "camera", 103 * SECOND)
    assert isinstance(late, TransformTooNewError)
    assert "into the future" in str(late)
    early = raised("odom", "camera", 99 * SECOND)
    assert not isinstance(early, TransformTooNewError)
    assert "into the past" in str(early)
    for unknown in (("map", "camera"), ("odom", "lidar"), ("", "camera")):
        assert not isinstance(raised(*unknown, 101 * SECOND), TransformTooNewError)
    # It listens no more, and keeps what it has.
    source.close()
    peer.until(lambda: not moving.get_subscription_count() and not fixed.get_subscription_count())
    moving.publish(TFMessage(transforms=[transform("odom", "base", 104.0, 5.0)]))
    peer.spin(0.5)
    assert isinstance(raised("odom", "camera", 103 * SECOND), TransformTooNewError)
