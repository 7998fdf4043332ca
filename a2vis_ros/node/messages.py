"""Conversion between ROS messages and the package's own types: images in, tracks out."""

import math
import secrets
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from a2vis_model import FrameResult, TrackedInstance

from ..msg import ClassNames
from ..msg import TrackedInstance as InstanceMessage
from ..msg import TrackedInstanceArray as ArrayMessage
from ..planner.mask_codec import RunLengthMask
from ..planner.mask_messages import mask_to_message
from ..stream.frames import Stamp
from ..stream.image_decoding import EncodedImage, Pixels, RawImage
from ..stream.image_motion import AT_REST, ImageMotion
from ..stream.pipeline import ProcessedFrame, StageTimes


def stamp_of(header: Header) -> Stamp:
    """Return the header's time."""
    return Stamp(header.stamp.sec, header.stamp.nanosec)


def image_of(message: Image | CompressedImage) -> RawImage | EncodedImage:
    """Return the content of an image message, without copying its pixels."""
    data = memoryview(message.data).cast("B")
    if isinstance(message, CompressedImage):
        return EncodedImage(message.format, data)
    return RawImage(message.height, message.width, message.encoding, bool(message.is_bigendian), message.step, data)


def header_of(stamp: Stamp, frame_id: str) -> Header:
    """Return the header that a frame came with."""
    header = Header(frame_id=frame_id)
    header.stamp.sec, header.stamp.nanosec = stamp.sec, stamp.nanosec
    return header


def new_session() -> int:
    """Return a random number, 1 to 2^64 - 1, for one life of a tracker.

    IDs and epochs begin again in another life, so they may be compared only under the same number.
    """
    return secrets.randbits(64) or 1


def tracks_message(processed: ProcessedFrame, backend: str, session: int) -> ArrayMessage:
    """Convert the result of a frame; the caller sets `timings.encode_ms` and `timings.age_ms` when it publishes."""
    frame, result = processed.frame, processed.result
    message = result_message(result, header_of(frame.stamp, frame.frame_id), backend, processed.motions)
    message.session = session
    message.dropped_since_last = processed.dropped_since_last
    _set_timings(message, processed.times)
    return message


def result_message(
    result: FrameResult, header: Header, backend: str, motions: Mapping[int, ImageMotion] | None = None
) -> ArrayMessage:
    """The tracks of a frame, without what only a live stream knows.

    Args:
        result: the tracks.
        header: header of the image.
        backend: what computed them.
        motions: motions of the instances, by track ID; None for a picture that is no part of a stream.
    """
    motions = motions or {}
    return ArrayMessage(
        header=header,
        height=result.height,
        width=result.width,
        epoch=result.epoch,
        frame_index=result.index,
        backend=backend,
        instances=[_instance_message(instance, motions.get(instance.track_id)) for instance in result.instances],
    )


def class_names_message(model: str, names: tuple[str, ...]) -> ClassNames:
    """Convert the class names of a model."""
    return ClassNames(model=model, names=list(names))


def image_message(pixels: Pixels | NDArray[np.uint16], header: Header, encoding: str) -> Image:
    """Convert pixels of one (uint8) or two (uint16) bytes per channel, [H, W] or [H, W, C]."""
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding, step=pixels[0].nbytes)
    message.is_bigendian = 0
    # Assigning an array to the field would convert it byte by byte.
    little = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    message.data.frombytes(little.view(np.uint8).data)
    return message


def _instance_message(instance: TrackedInstance, motion: ImageMotion | None) -> InstanceMessage:
    velocity = AT_REST if motion is None else motion.velocity
    return InstanceMessage(
        track_id=instance.track_id,
        state=int(instance.state),
        class_id=instance.class_id,
        class_name=instance.class_name,
        score=instance.score,
        existence=instance.existence if motion is None else motion.existence,
        velocity_x=velocity[0],
        velocity_y=velocity[1],
        occlusion=instance.occlusion,
        age=instance.age,
        frames_since_visible=instance.frames_since_visible,
        visible=mask_to_message(instance.visible or RunLengthMask.empty()),
        amodal=mask_to_message(instance.amodal or RunLengthMask.empty()),
    )


def _set_timings(message: ArrayMessage, times: StageTimes) -> None:
    timings = message.timings
    timings.queue_ms, timings.decode_ms = times.queue * 1e3, times.decode * 1e3
    timings.clip_ms, timings.track_ms = times.clip * 1e3, times.track * 1e3
    timings.age_ms = math.nan
