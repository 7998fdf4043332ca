"""Truth in space of a rendered clip as messages: camera_info, depth, transforms and the true objects."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from a2vis_model.data.space_truth import SpaceTruth
from a2vis_model.extras import optional_packages

from ..msg import TrackedInstance, TrackedObject, TrackedObjectArray
from ..node.messages import image_message
from ..space.transforms import RigidTransform, TransformError
from ..wire.cdr import CdrReader
from ..wire.counts import check_number
from ..wire.exact_text import MessageError
from . import bag_files
from .bag_files import BagWriter

with optional_packages():
    from rosbags.typesys import Stores, get_typestore

WORLD = "world"
"""The fixed frame of a rendered clip; z = 0 is its ground."""
CAMERA_INFO, DEPTH = "camera_info", "depth"
"""Names of the topics beside that of the images."""
TRANSFORMS = "tf2_msgs/msg/TFMessage"


def write_space(
    bag: BagWriter,
    truth: SpaceTruth,
    depth: NDArray[np.uint16],
    index: int,
    header: Header,
    beside: str,
    bag_time: int,
) -> None:
    """Write what is known of one frame.

    Args:
        bag: an open bag.
        truth: truth of the clip.
        depth: `[H, W]` in millimetres, 0 where unknown.
        index: number of the frame.
        header: header of its image.
        beside: the namespace of the images, without a slash at its end.
        bag_time: time in the bag, in ns.
    """
    bag.write(f"{beside}/{CAMERA_INFO}", camera_info_message(truth, index, header), bag_time)
    bag.write(f"{beside}/{DEPTH}", image_message(depth, header, "16UC1"), bag_time)
    position, orientation = truth.camera.position[index].tolist(), truth.camera.orientation[index].tolist()
    bag.write_raw(bag_files.TF, TRANSFORMS, transform_bytes(WORLD, header, position, orientation), bag_time)
    bag.write(bag_files.GROUND_TRUTH_OBJECTS, objects_message(truth, index, header), bag_time)


def camera_info_message(truth: SpaceTruth, index: int, header: Header) -> CameraInfo:
    """The pinhole camera without distortion of a frame."""
    focal, (x, y) = float(truth.camera.focal[index]), truth.camera.centre
    message = CameraInfo(header=header, height=truth.height, width=truth.width, distortion_model="plumb_bob")
    message.d = [0.0] * 5
    message.k = [focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def objects_message(truth: SpaceTruth, index: int, header: Header) -> TrackedObjectArray:
    """All things of a frame, also those out of view, with the track IDs of the ground truth.

    The x axis of an orientation points where the thing faces; a flat cut-out has none, and faces away from the camera.
    """
    message = TrackedObjectArray(header=Header(stamp=header.stamp, frame_id=WORLD), camera_frame_id=header.frame_id)
    message.frame_index = index
    for thing in truth.things:
        seen = np.flatnonzero(thing.visible_fraction[: index + 1] > 0)
        yaw = float(thing.yaw[index])
        if math.isnan(yaw):
            ahead = thing.position[index] - truth.camera.position[index]
            yaw = math.atan2(ahead[1], ahead[0])
        visible = bool(len(seen)) and int(seen[-1]) == index
        one = TrackedObject(
            track_id=thing.id + 1,
            state=TrackedInstance.VISIBLE
            if visible
            else TrackedInstance.OCCLUDED
            if len(seen)
            else TrackedInstance.LOST,
            class_name=thing.class_name,
            score=1.0,
            existence=1.0,
            hidden_s=float(truth.stamps[index] - truth.stamps[seen[-1]]) if len(seen) else math.nan,
            source=TrackedObject.DEPTH,
            cut_off=bool(thing.cut_off[index]),
        )
        pose = one.pose.pose
        pose.position.x, pose.position.y, pose.position.z = thing.middle[index].tolist()
        pose.orientation.z, pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
        one.size.x, one.size.y, one.size.z = thing.size[index].tolist()
        one.velocity.x, one.velocity.y, one.velocity.z = thing.velocity[index].tolist()
        message.objects.append(one)
    return message


# tf2_msgs is in no Python package index, so that its messages are written and read by rosbags.


def transform_bytes(parent: str, header: Header, position: Sequence[float], orientation: Sequence[float]) -> bytes:
    """A serialised TFMessage that says where the frame of a header is in its parent at its time.

    Args:
        parent: the other frame.
        header: its frame and its time.
        position: x, y, z in metres.
        orientation: quaternion x, y, z, w.
    """
    types = _types()
    stamp = types["builtin_interfaces/msg/Time"](sec=header.stamp.sec, nanosec=header.stamp.nanosec)
    (x, y, z), (qx, qy, qz, qw) = position, orientation
    stamped = types["geometry_msgs/msg/TransformStamped"](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id=parent),
        child_frame_id=header.frame_id,
        transform=types["geometry_msgs/msg/Transform"](
            translation=types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z),
            rotation=types["geometry_msgs/msg/Quaternion"](x=qx, y=qy, z=qz, w=qw),
        ),
    )
    return bytes(_store().serialize_cdr(types[TRANSFORMS](transforms=[stamped]), TRANSFORMS))


def transforms_of(data: bytes) -> list[tuple[str, str, RigidTransform, int]]:
    """(parent, child, transform, time in ns) of a serialised TFMessage.

    Raises:
        MessageError: it is damaged, holds too many, or one that is no rigid transform.
    """
    try:
        check_number(CdrReader(data).u32())
        message: Any = _store().deserialize_cdr(data, TRANSFORMS)
    except Exception as error:  # of many kinds, from struct's to UnicodeDecodeError
        raise MessageError(f"a message of {len(data)} bytes is no TFMessage: {error!s:.200}") from error
    found = []
    for stamped in message.transforms:
        place, turn = stamped.transform.translation, stamped.transform.rotation
        try:
            transform = RigidTransform.from_quaternion((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))
        except TransformError as error:
            raise MessageError(str(error)) from error
        stamp = stamped.header.stamp
        found.append((stamped.header.frame_id, stamped.child_frame_id, transform, stamp.sec * 10**9 + stamp.nanosec))
    return found


@cache
def _store() -> Any:
    return get_typestore(Stores.ROS2_JAZZY)


def _types() -> Any:
    return _store().types
