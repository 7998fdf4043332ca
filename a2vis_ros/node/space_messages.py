"""Conversion between ROS messages and the localizer's types: tracks in, objects out."""

import math
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import Header

from ..msg import Emergence, TrackedInstanceArray, TrackedObject, TrackedObjectArray
from ..planner.mask_codec import MaskError, MaskSet
from ..planner.mask_messages import unchecked_mask
from ..space.localizer import ImageTrack, Localized, LocatedObject, State, TrackFrame

_YAW_VARIANCE = math.pi**2 / 3
"""Variance of an angle of which nothing is known, in rad²."""


def stamp_ns(header: Header) -> int:
    """The header's time in nanoseconds."""
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def track_frame(message: TrackedInstanceArray) -> TrackFrame:
    """The tracks of a message; raises MaskError where it is damaged."""
    height, width = message.height, message.width
    masks = []
    for instance in message.instances:
        if instance.state > State.ENDED:
            raise MaskError(f"track {instance.track_id} has the state {instance.state}, which is none; it was damaged")
        # Written so that NaN fails too.
        if not 0 <= instance.existence <= 1:
            raise MaskError(f"track {instance.track_id} has an existence of {instance.existence:g}, no probability")
        masks += [unchecked_mask(instance.visible), unchecked_mask(instance.amodal)]
    together = MaskSet(masks)
    together.check_inside(height, width)
    if any(not area and not mask.is_empty for mask, area in zip(masks, together.areas.tolist(), strict=True)):
        raise MaskError("a mask with a box has no pixel; it was damaged")
    tracks = [
        ImageTrack(
            track_id=instance.track_id,
            state=State(instance.state),
            class_id=instance.class_id,
            class_name=instance.class_name,
            score=instance.score,
            existence=instance.existence,
            visible=visible,
            amodal=amodal,
        )
        for instance, visible, amodal in zip(message.instances, masks[::2], masks[1::2], strict=True)
    ]
    return TrackFrame(
        stamp_ns=stamp_ns(message.header),
        frame_id=message.header.frame_id,
        height=height,
        width=width,
        session=message.session,
        epoch=message.epoch,
        tracks=tracks,
    )


class ObjectMessages:
    """Writes objects into messages; each holds good until the next is written, which is made of the same objects.

    Making a `TrackedObject` takes longer than filling it in.
    """

    def __init__(self) -> None:
        self._objects: list[TrackedObject] = []
        """As many as the fullest frame has had."""

    def write(self, result: Localized, tracks: TrackedInstanceArray) -> TrackedObjectArray:
        """The objects of a frame; the caller sets the ages when it publishes.

        Args:
            result: what the localizer has found.
            tracks: the message that it was found from.
        """
        found = result.objects
        self._objects += [TrackedObject() for _ in range(len(found) - len(self._objects))]
        objects = self._objects[: len(found)]
        covariances = np.array([one.covariance for one in found]).reshape(-1, 6, 6)
        poses = np.zeros_like(covariances)
        poses[:, :3, :3], poses[:, 5, 5] = covariances[:, :3, :3], _YAW_VARIANCE
        velocities = covariances[:, 3:, 3:].reshape(-1, 9)
        for message, one, pose, velocity in zip(objects, found, poses.reshape(-1, 36), velocities, strict=True):
            _fill_object(message, one)
            message.pose.covariance, message.velocity_covariance = pose, velocity
        return TrackedObjectArray(
            header=Header(stamp=tracks.header.stamp, frame_id=result.frame_id),
            camera_frame_id=tracks.header.frame_id,
            session=tracks.session,
            epoch=tracks.epoch,
            frame_index=tracks.frame_index,
            tracks_age_ms=tracks.timings.age_ms,
            objects=objects,
        )


def point(position: Sequence[float] | NDArray[np.float64]) -> Point:
    """A geometry_msgs/Point of [3]."""
    x, y, z = (float(value) for value in position)
    return Point(x=x, y=y, z=z)


def vector(values: Sequence[float] | NDArray[np.float64]) -> Vector3:
    """A geometry_msgs/Vector3 of [3]."""
    x, y, z = (float(value) for value in values)
    return Vector3(x=x, y=y, z=z)


def _fill_object(message: TrackedObject, found: LocatedObject) -> None:
    """Fill in all fields but the covariances."""
    message.track_id = found.track_id
    message.state = int(found.state)
    message.class_id = found.class_id
    message.class_name = found.class_name
    message.score = found.score
    message.existence = found.existence
    message.hidden_s = found.hidden_s
    message.source = int(found.source)
    message.measured_s = found.measured_s
    message.cut_off = found.cut_off
    message.emergences = [
        Emergence(point=point(one.point), earliest_s=one.earliest_s, expected_s=one.expected_s)
        for one in found.emergences
    ]
    pose = message.pose.pose
    for target, values in (
        (message.size, found.size),
        (message.size_std, found.size_std),
        (message.velocity, found.velocity),
        (pose.position, found.position),
    ):
        target.x, target.y, target.z = values.tolist()
    turn = pose.orientation
    turn.x, turn.y, turn.z, turn.w = found.orientation.tolist()
