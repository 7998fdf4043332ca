"""From the bytes of an image message to an RGB image. No ROS.

cv_bridge is not used: of its versions in the field one ignores `step`, which shears padded images silently, and one
is tied to NumPy 1. What cannot be decoded here is an `ImageError` with a cause that can be counted, never a guess.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class ImageError(ValueError):
    """An image message that cannot be used. `cause` is one word or two, for counting."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class RawImage:
    """The content of a sensor_msgs/Image, not yet looked at."""

    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    """Bytes from the start of a row to the start of the next."""
    data: memoryview


@dataclass(frozen=True)
class EncodedImage:
    """The content of a sensor_msgs/CompressedImage, not yet looked at."""

    format: str
    data: memoryview


Image = RawImage | EncodedImage


@dataclass(frozen=True)
class _Layout:
    """How the pixels of an encoding lie in memory, and the way from there to RGB."""

    channels: int
    bytes: int
    """Of one channel."""
    to_rgb: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    """uint8 [H, W, channels], or [H, W] for one channel, to uint8 [H, W, 3]."""
    multiple: int = 1
    """The width, and for Bayer patterns the height, is a multiple of this."""


def _by(code: int) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    return lambda pixels: np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def _same(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels


def _layouts() -> dict[str, _Layout]:
    bgr, rgba, bgra = _by(cv2.COLOR_BGR2RGB), _by(cv2.COLOR_RGBA2RGB), _by(cv2.COLOR_BGRA2RGB)
    grey, uyvy, yuyv = _by(cv2.COLOR_GRAY2RGB), _by(cv2.COLOR_YUV2RGB_UYVY), _by(cv2.COLOR_YUV2RGB_YUY2)
    layouts = {
        "rgb8": _Layout(3, 1, _same),
        "bgr8": _Layout(3, 1, bgr),
        "rgba8": _Layout(4, 1, rgba),
        "bgra8": _Layout(4, 1, bgra),
        "rgb16": _Layout(3, 2, _same),
        "bgr16": _Layout(3, 2, bgr),
        "rgba16": _Layout(4, 2, rgba),
        "bgra16": _Layout(4, 2, bgra),
        "mono8": _Layout(1, 1, grey),
        "mono16": _Layout(1, 2, grey),
        # OpenCV's own types say nothing of colour; by its convention three channels are BGR.
        "8UC1": _Layout(1, 1, grey),
        "8UC3": _Layout(3, 1, bgr),
        "8UC4": _Layout(4, 1, bgra),
        "16UC1": _Layout(1, 2, grey),
        "yuv422": _Layout(2, 1, uyvy, multiple=2),
        "uyvy": _Layout(2, 1, uyvy, multiple=2),
        "yuv422_yuy2": _Layout(2, 1, yuyv, multiple=2),
        "yuyv": _Layout(2, 1, yuyv, multiple=2),
    }
    # ROS names a pattern by its first two rows; so do these of OpenCV's names.
    patterns = {
        "rggb": cv2.COLOR_BayerRGGB2RGB,
        "bggr": cv2.COLOR_BayerBGGR2RGB,
        "gbrg": cv2.COLOR_BayerGBRG2RGB,
        "grbg": cv2.COLOR_BayerGRBG2RGB,
    }
    for name, code in patterns.items():
        for bits in (8, 16):
            layouts[f"bayer_{name}{bits}"] = _Layout(1, bits // 8, _by(code), multiple=2)
    return layouts


_LAYOUTS = _layouts()
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_JPEG_MARKER = re.compile(rb"\xff+[^\xff]", re.DOTALL)
"""A marker behind any number of filling bytes."""

ENCODINGS = tuple(_LAYOUTS)
"""Encodings of sensor_msgs/Image that can be decoded; of 16 bits the upper 8 are used."""


def image_size(image: Image, *, max_side: int) -> tuple[int, int]:
    """Height and width in pixels, from a look that decodes nothing.

    Args:
        image: what a message holds.
        max_side: larger images are refused, before memory is asked for.

    Raises:
        ImageError: for everything that `decode_rgb` could not decode and that can be known without trying.
    """
    if isinstance(image, EncodedImage):
        height, width = _compressed_size(image)
    else:
        height, width = image.height, image.width
    if height < 1 or width < 1:
        raise ImageError("empty image", f"the image is {width}x{height} pixels; check the camera driver")
    if max(height, width) > max_side:
        raise ImageError(
            "image too large",
            f"the image is {width}x{height} pixels and max_image_side is {max_side}; scale it down or raise the "
            "parameter",
        )
    if isinstance(image, RawImage):
        _check_raw(image)
    return height, width


def image_kind(image: Image) -> str:
    """The encoding, or the format of a compressed image: when it changes, the source has changed."""
    return image.encoding if isinstance(image, RawImage) else image.format


def decode_rgb(image: Image) -> Pixels:
    """The image as RGB, uint8 [H, W, 3]; it may share memory with the message. Check it by `image_size` first.

    Raises:
        ImageError: where a compressed image turns out to be broken.
    """
    return _decode_raw(image) if isinstance(image, RawImage) else _decode_compressed(image)


def _check_raw(image: RawImage) -> None:
    layout = _LAYOUTS.get(image.encoding)
    if layout is None:
        raise ImageError(
            "unknown encoding", f"encoding {image.encoding!r:.40} is none of {', '.join(ENCODINGS)}; convert the image"
        )
    bayer = image.encoding.startswith("bayer")
    if image.width % layout.multiple or (bayer and image.height % layout.multiple):
        raise ImageError(
            "odd size", f"the image is {image.width}x{image.height} pixels; {image.encoding} has even sides only"
        )
    row = image.width * layout.channels * layout.bytes
    if image.step < row:
        raise ImageError(
            "wrong step",
            f"step is {image.step} bytes, but a row of {image.width} pixels of {image.encoding} takes {row}; "
            "check the camera driver",
        )
    # The last row needs no padding behind it.
    needed = image.step * (image.height - 1) + row
    if len(image.data) < needed:
        raise ImageError(
            "truncated image",
            f"the image holds {len(image.data)} bytes, but {image.height} rows with a step of {image.step} take "
            f"{needed}; it was cut short",
        )


def _decode_raw(image: RawImage) -> Pixels:
    layout = _LAYOUTS[image.encoding]
    data = np.frombuffer(image.data, np.uint8)
    # Rows are found by their step; whatever is behind a row's pixels is left out.
    shape = (image.height, image.width, layout.channels, layout.bytes)
    strides = (image.step, layout.channels * layout.bytes, layout.bytes, 1)
    samples = np.lib.stride_tricks.as_strided(data, shape, strides, writeable=False)
    # Of two bytes the upper one is the picture, by the byte order that the message declares.
    pixels = samples[..., 0 if layout.bytes == 1 or image.is_bigendian else 1]
    if layout.channels == 1:
        pixels = pixels[..., 0]
    return layout.to_rgb(np.ascontiguousarray(pixels))


def _decode_compressed(image: EncodedImage) -> Pixels:
    buffer = np.frombuffer(image.data, np.uint8)
    announced = _compressed_size(image)
    # Masks belong to the pixels as stored, whatever the file notes of the camera's orientation.
    try:
        decoded = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError(
            "broken image", f"the image of format {image.format!r:.60} cannot be decoded: {error.err!r:.200}"
        ) from error
    if decoded is None:
        raise ImageError(
            "broken image", f"the image of format {image.format!r:.60} and {len(buffer)} bytes cannot be decoded"
        )
    if decoded.shape[:2] != announced:
        height, width = announced
        raise ImageError(
            "broken image",
            f"the image says {width}x{height} pixels and holds {decoded.shape[1]}x{decoded.shape[0]}; "
            "check what compresses it",
        )
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def _compressed_size(image: EncodedImage) -> tuple[int, int]:
    """Height and width from the header of a JPEG or PNG, so that a small message cannot ask for all the memory."""
    data = image.data
    if "compressedDepth" in image.format:
        raise ImageError("unknown encoding", f"format {image.format!r:.60} is depth; subscribe to the colour image")
    if bytes(data[:16]) == _PNG_START and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    if bytes(data[:2]) == b"\xff\xd8":
        return _jpeg_size(data)
    raise ImageError(
        "unknown encoding",
        f"the compressed image of {len(data)} bytes with format {image.format!r:.60} is neither JPEG nor PNG",
    )


def _jpeg_size(data: memoryview) -> tuple[int, int]:
    """The size in a JPEG's start of frame, as libjpeg finds it; whatever libjpeg would pass over is refused."""
    position = 2
    while found := _JPEG_MARKER.match(data, position):
        position = found.end()
        marker = data[position - 1]
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # these alone have no length
            continue
        if marker in (0x00, 0xD8, 0xD9, 0xDA) or position + 7 > len(data):
            break
        (length,) = struct.unpack(">H", data[position : position + 2])
        # All the starts of frame; between them lie the tables of Huffman and arithmetic coding, and JPG.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[position + 3 : position + 7])
            return height, width
        if length < 2:
            break
        position += length
    raise ImageError(
        "truncated image",
        f"the JPEG image of {len(data)} bytes has no start of frame where one belongs; it is damaged or cut short",
    )
