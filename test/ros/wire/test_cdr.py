"""Reading of serialised messages without ROS: every text comes back, and no damage is anything but an error."""

import struct

import pytest
from image_bytes import STARTS, compressed_image, raw_image

from a2vis_ros.stream.frames import Stamp
from a2vis_ros.stream.image_decoding import EncodedImage, ImageError, RawImage
from a2vis_ros.stream.image_message import read_image
from a2vis_ros.wire.cdr import CdrError, CdrReader, bytes_of, text_of

EVERY_BYTE = bytes(range(256)) + "Käfig \N{REPLACEMENT CHARACTER}".encode() + b"\xed\xb0\x80"


def test_a_text_keeps_every_byte() -> None:
    for content in (b"", b"\0", EVERY_BYTE, *(bytes([byte]) for byte in range(256))):
        assert bytes_of(text_of(content)) == content
    assert text_of("Käfig".encode()) == "Käfig"
    # What rclpy would change or cut off cannot be sent by it at all.
    for content in (b"\xff", b"a\0b", b"\xed\xa0\x80"):
        with pytest.raises(UnicodeEncodeError):
            text_of(content).encode("utf-8")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("length", range(9))
def test_an_image_is_read_in_either_byte_order(order: str, version: int, length: int) -> None:
    """With texts of all lengths, before which and after which numbers are padded."""
    kind = STARTS[order] + {1: 0, 2: 6}[version]
    message = read_image(raw_image(order, EVERY_BYTE[-length:], start=kind), compressed=False)
    assert message.stamp == Stamp(-5, 7)
    assert bytes_of(message.frame_id) == EVERY_BYTE[-length:]
    image = message.image
    assert isinstance(image, RawImage)
    assert (image.height, image.width, image.encoding, image.is_bigendian, image.step) == (2, 3, "mono8", True, 4)
    assert bytes(image.data) == bytes(range(8))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_compressed_image_is_read_in_either_byte_order(order: str) -> None:
    message = read_image(compressed_image(order, EVERY_BYTE, b"\xff\xd8"), compressed=True)
    image = message.image
    assert isinstance(image, EncodedImage)
    assert (image.format, bytes(image.data), bytes_of(message.frame_id)) == ("jpeg", b"\xff\xd8", EVERY_BYTE)


def test_the_pixels_are_not_copied() -> None:
    content = raw_image("<", b"camera")
    assert read_image(content, compressed=False).image.data.obj is content


def test_a_text_without_its_end_is_read_too() -> None:
    head = b"\0\1\0\0" + bytes(8)
    assert CdrReader(head + struct.pack("<I", 0)).header()[2] == ""
    assert CdrReader(head + struct.pack("<I", 3) + b"cam").header()[2] == "cam"


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_message_is_an_error_in_words(compressed: bool) -> None:
    content = compressed_image("<", b"camera", b"\xff\xd8") if compressed else raw_image("<", b"camera")
    for length in range(len(content)):
        with pytest.raises(ImageError, match="is damaged") as raised:
            read_image(content[:length], compressed=compressed)
        assert raised.value.cause == "damaged message"
    vast = content[:12] + struct.pack("<I", 2**32 - 1) + content[16:]
    with pytest.raises(ImageError, match="a field of 4294967295 bytes begins at byte 16, and it ends before"):
        read_image(vast, compressed=compressed)


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(CdrError, match=r"begins with b'\\x00\\x03\\x00\\x00', which is none of the encodings of ROS"):
        CdrReader(raw_image("<", b"camera", start=3))
