"""tf2 as a source of transforms, where tf2_ros is installed."""

import importlib
import importlib.util
from typing import Any

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from ..space.transforms import RigidTransform, TransformError, TransformTooNewError
from ..wire.cdr import bytes_of


class Tf2Transforms:
    """Listens to /tf and /tf_static. A `TransformSource`. Make one only where `available()`.

    Where the node's time jumps backwards, as in a bag that is played again, all transforms but static ones are
    forgotten: tf2 would take new ones for too old to keep.

    Args:
        node: node that subscribes.
    """

    def __init__(self, node: Node) -> None:
        self._tf2: Any = importlib.import_module("tf2_ros")
        # Without the node, of which it would make a service that nothing takes back.
        self._buffer = self._tf2.Buffer()
        self._listener = self._tf2.TransformListener(self._buffer, node)
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jumps = node.get_clock().create_jump_callback(backwards, post_callback=lambda _: self._buffer.clear())

    @staticmethod
    def available() -> bool:
        """Return whether tf2_ros is installed."""
        return importlib.util.find_spec("tf2_ros") is not None

    def close(self) -> None:
        """Stop listening."""
        self._jumps.unregister()
        self._listener.unregister()

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """Return the transform from source to target at a time; see `TransformSource.lookup`."""
        # tf2 takes the slash of ROS 1 off the names that it is told, and refuses it in those that it is asked for.
        names = _as_rclpy_reads(target).removeprefix("/"), _as_rclpy_reads(source).removeprefix("/")
        try:
            found = self._buffer.lookup_transform(*names, Time(nanoseconds=stamp_ns)).transform
        except self._tf2.ExtrapolationException as error:
            # The words of tf2, which says the frames' names too.
            late = "extrapolation into the future" in str(error)
            raise (TransformTooNewError if late else TransformError)(f"tf2: {error!s:.300}") from error
        except self._tf2.TransformException as error:
            raise TransformError(f"tf2: {error!s:.300}") from error
        at, turned = found.translation, found.rotation
        return RigidTransform.from_quaternion((at.x, at.y, at.z), (turned.x, turned.y, turned.z, turned.w))


def _as_rclpy_reads(frame: str) -> str:
    """Return the name of a frame as tf2's listener has it from rclpy: with U+FFFD for what is not UTF-8."""
    return bytes_of(frame).partition(b"\0")[0].decode("utf-8", "replace")
