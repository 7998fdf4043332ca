"""Decoding of an image message's bytes to an RGB image.

cv_bridge is not used: of its versions in the field one ignores `step`, which silently shears padded images, and one
is tied to NumPy 1. What cannot be decoded here is an `ImageError` with a cause that can be counted, never a guess.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from a2vis_model.files.deep_images import TWELVE_BITS, DeepImages
from a2vis_model.files.images import exif_orientation, turn_upright
from a2vis_model.files.jpeg import JpegError, decode_jpeg, jpeg_is_cut_short

Pixels = NDArray[np.uint8]
Samples = Pixels | NDArray[np.uint16]
"""Samples of a camera, of 8 or 16 bits."""


class ImageError(ValueError):
    """An image message cannot be used. `cause` has one or two words, for counting."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class RawImage:
    """The content of a sensor_msgs/Image, unchecked."""

    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    """Number of bytes from the start of a row to the start of the next."""
    data: memoryview


@dataclass(frozen=True)
class EncodedImage:
    """The content of a sensor_msgs/CompressedImage, unchecked."""

    format: str
    data: memoryview


Image = RawImage | EncodedImage


@dataclass(frozen=True)
class _Layout:
    """Memory layout of the pixels of an encoding, and the conversion to RGB."""

    channels: int
    bytes: int
    """Number of bytes of one channel."""
    to_rgb: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    """Conversion from uint8 [H, W, channels], or [H, W] for one channel, to uint8 [H, W, 3]."""
    multiple: int = 1
    """Divisor that the width, and for Bayer patterns the height, must have."""


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
        # OpenCV's own types do not state the colours; by its convention three channels are BGR.
        "8UC1": _Layout(1, 1, grey),
        "8UC3": _Layout(3, 1, bgr),
        "8UC4": _Layout(4, 1, bgra),
        "16UC1": _Layout(1, 2, grey),
        "yuv422": _Layout(2, 1, uyvy, multiple=2),
        "uyvy": _Layout(2, 1, uyvy, multiple=2),
        "yuv422_yuy2": _Layout(2, 1, yuyv, multiple=2),
        "yuyv": _Layout(2, 1, yuyv, multiple=2),
    }
    # ROS names a pattern by its first two rows, and so do these names of OpenCV.
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
"""A JPEG marker, after any number of fill bytes."""

ENCODINGS = tuple(_LAYOUTS)
"""Encodings of sensor_msgs/Image that can be decoded."""

_JPEG_START = b"\xff\xd8"
_FLAGS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
_DEEP_IMAGES = 30
"""Number of 16-bit images after which a warning says that none of them used the upper bits."""


class ImageDecoder:
    """Decodes the images of one source, and says once what cannot be known of them but may be wrong.

    Args:
        bits_per_sample: bits that the camera fills of 16-bit samples, 8 to 16; the upper 8 of these are used.
        say: told such a thing in words.
        on_damage: told in words of every image that is damaged and yet decoded, some of it to wrong pixels.
    """

    def __init__(self, *, bits_per_sample: int, say: Callable[[str], None], on_damage: Callable[[str], None]) -> None:
        self._bits = bits_per_sample
        self._say = say
        self._on_damage = on_damage
        self._deep_images = DeepImages(_DEEP_IMAGES)
        self._order_reported = False

    def decode(self, image: Image) -> Pixels:
        """Decode an image (see `decode_rgb`)."""
        samples, damage = _samples(image)
        if damage and isinstance(image, EncodedImage):
            self._on_damage(f"an image of format {image.format!r:.60} {damage}; some of its pixels are wrong")
        if samples.dtype == np.uint16 and self._deep_images.is_open:
            self._watch_depth(samples)
        if not self._order_reported and isinstance(image, EncodedImage) and _order_is_ambiguous(image.format):
            self._order_reported = True
            self._say(
                f"format {image.format!r:.60} does not say whether the JPEG's red and blue are exchanged; they are "
                "taken as JPEG defines them. If the overlay's colours are wrong, let the compressor write bgr8 behind "
                "'compressed'"
            )
        return _to_rgb(image, samples, self._bits)

    def _watch_depth(self, samples: Samples) -> None:
        if self._deep_images.see(unused=bool(samples.max() <= TWELVE_BITS)) and self._bits > 12:
            self._say(
                f"no pixel of {_DEEP_IMAGES} 16-bit images passed {TWELVE_BITS}, so they are nearly black with "
                f"bits_per_sample={self._bits}; set it to the bits that the camera has, such as 12"
            )


def image_size(image: Image, *, max_side: int) -> tuple[int, int]:
    """Return height and width in pixels of the image as it will be decoded, without decoding it.

    Args:
        image: content of a message.
        max_side: larger images are refused, before memory is allocated.

    Raises:
        ImageError: `decode_rgb` could not decode the image, as far as that can be known without trying.
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
    elif exif_orientation(image.data) >= 5:
        return width, height
    return height, width


def image_kind(image: Image) -> str:
    """Return the encoding, or the format of a compressed image: when it changes, the source has changed."""
    return image.encoding if isinstance(image, RawImage) else image.format


def decode_rgb(image: Image, *, bits_per_sample: int = 16) -> Pixels:
    """Decode the image to RGB, uint8 [H, W, 3], upright as a viewer shows it.

    The result may share the message's memory.

    Check the image by `image_size` first.

    Args:
        image: content of a message.
        bits_per_sample: see `ImageDecoder`.

    Raises:
        ImageError: a compressed image turns out to be broken.
    """
    return _to_rgb(image, _samples(image)[0], bits_per_sample)


def _samples(image: Image) -> tuple[Samples, str]:
    """Return the image as its camera sampled it, and what is wrong with it, empty where nothing was noticed.

    The samples are [H, W, channels], or [H, W] for one channel, of 8 or 16 bits.
    """
    return (_raw_samples(image), "") if isinstance(image, RawImage) else _decompressed(image)


def _to_rgb(image: Image, samples: Samples, bits_per_sample: int) -> Pixels:
    if samples.dtype == np.uint16:
        pixels = np.asarray(np.minimum(samples >> (bits_per_sample - 8), 255), np.uint8)
    else:
        pixels = np.asarray(samples, np.uint8)
    if isinstance(image, RawImage):
        return _LAYOUTS[image.encoding].to_rgb(np.ascontiguousarray(pixels))
    if pixels.ndim == 2:
        # image_transport compresses a Bayer image as a grey one; the format names the pattern.
        source = image.format.partition(";")[0].strip()
        layout = _LAYOUTS[source if source.startswith("bayer_") and source in _LAYOUTS else "mono8"]
        if pixels.shape[0] % layout.multiple or pixels.shape[1] % layout.multiple:
            height, width = pixels.shape
            raise ImageError("odd size", f"the image is {width}x{height} pixels; {source} has even sides only")
        rgb = layout.to_rgb(pixels)
    else:
        rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return turn_upright(rgb, exif_orientation(image.data))


def _order_is_ambiguous(format: str) -> bool:
    """Return whether the format of a colour JPEG leaves open which channel is red.

    image_transport writes "rgb8; jpeg compressed bgr8", and reads a JPEG without "bgr" at the end as one whose red and
    blue are exchanged; other programs omit it for JPEG files with the usual order. "jpeg" alone means the usual order.
    """
    source, _, rest = format.partition(";")
    return source.strip().startswith(("rgb", "bgr")) and "jpeg compressed" in rest and "compressed bgr" not in rest


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
    # The last row needs no padding after it.
    needed = image.step * (image.height - 1) + row
    if len(image.data) < needed:
        raise ImageError(
            "truncated image",
            f"the image holds {len(image.data)} bytes, but {image.height} rows with a step of {image.step} take "
            f"{needed}; it was cut short",
        )


def _raw_samples(image: RawImage) -> Samples:
    layout = _LAYOUTS[image.encoding]
    data = np.frombuffer(image.data, np.uint8)
    # Rows are found by their step; whatever follows a row's pixels is ignored.
    shape = (image.height, image.width, layout.channels * layout.bytes)
    rows = np.lib.stride_tricks.as_strided(
        data, shape, (image.step, layout.channels * layout.bytes, 1), writeable=False
    )
    if layout.bytes == 1:
        samples = rows
    else:
        samples = np.ascontiguousarray(rows).view(">u2" if image.is_bigendian else "<u2").astype(np.uint16, copy=False)
    return samples[..., 0] if layout.channels == 1 else samples


def _decompressed(image: EncodedImage) -> tuple[Samples, str]:
    """Decompress an image and check its size; returns what `_samples` does."""
    announced = _compressed_size(image)
    kind = f"the image of format {image.format!r:.60} and {len(image.data)} bytes"
    if bytes(image.data[:2]) == _JPEG_START:
        if jpeg_is_cut_short(image.data):
            raise ImageError("truncated image", f"{kind} has no end; it was cut short on its way")
        try:
            decoded = decode_jpeg(image.data, announced, _FLAGS)
        except JpegError as error:
            raise ImageError("broken image", f"{kind} is broken: {error}; check what compresses it") from error
        return decoded.pixels, decoded.damage
    try:
        pixels = cv2.imdecode(np.frombuffer(image.data, np.uint8), _FLAGS)
    except cv2.error as error:
        raise ImageError("broken image", f"{kind} cannot be decoded: {error.err!r:.200}") from error
    if pixels is None:
        raise ImageError("broken image", f"{kind} cannot be decoded")
    if pixels.shape[:2] != announced:
        height, width = announced
        raise ImageError(
            "broken image",
            f"the image says {width}x{height} pixels and holds {pixels.shape[1]}x{pixels.shape[0]}; "
            "check what compresses it",
        )
    return np.asarray(pixels, np.uint16 if pixels.dtype == np.uint16 else np.uint8), ""


def _compressed_size(image: EncodedImage) -> tuple[int, int]:
    """Read height and width from the header of a JPEG or PNG, so that a small message cannot claim all memory."""
    data = image.data
    if "compressedDepth" in image.format:
        raise ImageError("unknown encoding", f"format {image.format!r:.60} is depth; subscribe to the colour image")
    if bytes(data[:16]) == _PNG_START and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    if bytes(data[:2]) == _JPEG_START:
        return _jpeg_size(data)
    raise ImageError(
        "unknown encoding",
        f"the compressed image of {len(data)} bytes with format {image.format!r:.60} is neither JPEG nor PNG",
    )


def _jpeg_size(data: memoryview) -> tuple[int, int]:
    """Read the size in a JPEG's start of frame, as libjpeg finds it; whatever libjpeg would skip is refused."""
    position = 2
    while found := _JPEG_MARKER.match(data, position):
        position = found.end()
        marker = data[position - 1]
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # These markers alone have no length.
            continue
        if marker in (0x00, 0xD8, 0xD9, 0xDA) or position + 7 > len(data):
            break
        (length,) = struct.unpack(">H", data[position : position + 2])
        # Start-of-frame markers; the codes left out between them are Huffman and arithmetic tables, and JPG.
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
