"""Reading of serialised image messages, which copies no pixels.

rclpy's raw subscriptions give the bytes as they came; its own messages have lost those of a `frame_id` that are not
UTF-8.
"""

from dataclasses import dataclass

from ..wire.cdr import CdrError, CdrReader
from .frames import Stamp
from .image_decoding import EncodedImage, Image, ImageError, RawImage


@dataclass(frozen=True)
class ImageMessage:
    """A sensor_msgs/Image or CompressedImage, unchecked."""

    stamp: Stamp
    frame_id: str
    """Text of `wire.cdr.text_of`, which keeps bytes that are not UTF-8."""
    image: Image


def read_image(message: bytes, *, compressed: bool) -> ImageMessage:
    """Read a serialised message; its image refers to the message's bytes.

    Args:
        message: the bytes of a sensor_msgs/Image or CompressedImage.
        compressed: which of the two it is.

    Raises:
        ImageError: the message is damaged.
    """
    try:
        reader = CdrReader(message)
        sec, nanosec, frame_id = reader.header()
        image = _encoded(reader) if compressed else _raw(reader)
    except CdrError as error:
        raise ImageError(
            "damaged message", f"the message of {len(message)} bytes is damaged: {error}; check what publishes it"
        ) from error
    return ImageMessage(Stamp(sec, nanosec), frame_id, image)


def _encoded(reader: CdrReader) -> EncodedImage:
    return EncodedImage(format=reader.text(), data=reader.octets())


def _raw(reader: CdrReader) -> RawImage:
    # The fields are read in the order in which they are written here.
    return RawImage(
        height=reader.u32(),
        width=reader.u32(),
        encoding=reader.text(),
        is_bigendian=reader.u8() != 0,
        step=reader.u32(),
        data=reader.octets(),
    )
