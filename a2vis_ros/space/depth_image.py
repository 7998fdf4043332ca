"""Decoding of the bytes of a depth image message to metres. No ROS.

Raw images are those of REP 118: 16UC1 in millimetres, 0 for unknown, and 32FC1 in metres, NaN for unknown. Compressed
ones are those of image_transport's compressedDepth: 12 bytes of header, then a PNG or RVL image of 16 bits a pixel,
which holds millimetres, or for 32FC1 quantised inverse depth.
"""

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from .depth_surface import DepthMetres
from .rvl import RvlError, decode_rvl

_MILLIMETRES, _METRES = "16UC1", "32FC1"
_ALIASES = {"mono16": _MILLIMETRES}
"""Some drivers call millimetres so."""
_BYTES = {_MILLIMETRES: 2, _METRES: 4}
_HEADER = struct.Struct("<iff")
"""Compression, then the two parameters of the quantisation."""
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_RVL_SIZE = struct.Struct("<ii")


class DepthError(ValueError):
    """A depth image that cannot be used. The message says why and what to do."""


def raw_depth(
    height: int, width: int, encoding: str, is_bigendian: bool, step: int, data: memoryview, expected: tuple[int, int]
) -> DepthMetres:
    """Depth of a sensor_msgs/Image.

    Args:
        height: rows of the message.
        width: columns of the message.
        encoding: encoding of the message, 16UC1 or 32FC1.
        is_bigendian: byte order of the message.
        step: bytes from row to row.
        data: the message's bytes.
        expected: height and width of the image that the depth is registered to.

    Returns:
        [H, W] in metres; 0 or NaN where it is unknown.

    Raises:
        DepthError: it is of another size or encoding, or cut short.
    """
    _check_size(height, width, expected)
    kind = _ALIASES.get(encoding, encoding)
    if kind not in _BYTES:
        raise DepthError(
            f"the depth image is of encoding {encoding!r:.40}, which is neither 16UC1 nor 32FC1; convert it"
        )
    size = _BYTES[kind]
    row = width * size
    if step < row:
        raise DepthError(
            f"the depth image has a step of {step} bytes, and a row of {width} pixels of {kind} takes {row}"
        )
    needed = step * (height - 1) + row
    if len(data) < needed:
        raise DepthError(f"the depth image holds {len(data)} bytes, and {height} rows take {needed}; it was cut short")
    order = ">" if is_bigendian else "<"
    samples = np.ndarray((height, width), f"{order}{'u2' if size == 2 else 'f4'}", data, strides=(step, size))
    return _metres(samples) if size == 2 else samples.astype(np.float32)


def compressed_depth(format: str, data: memoryview, expected: tuple[int, int]) -> DepthMetres:
    """Depth of a sensor_msgs/CompressedImage from a topic that ends in /compressedDepth.

    Args:
        format: format of the message, such as "16UC1; compressedDepth png". Older publishers leave png out.
        data: data of the message.
        expected: height and width of the image that the depth is registered to.

    Raises:
        DepthError: it is of another size or format, or broken.
    """
    encoding, _, rest = format.partition(";")
    kind = _ALIASES.get(encoding.strip(), encoding.strip())
    if kind not in _BYTES or "compressedDepth" not in rest:
        raise DepthError(
            f"the depth image is of format {format!r:.60}, not such as '16UC1; compressedDepth png'; subscribe to a "
            "topic that ends in /compressedDepth, for others lose depth"
        )
    if len(data) < _HEADER.size:
        raise DepthError(f"the compressed depth image has {len(data)} bytes, less than its header; it was cut short")
    _, scale, offset = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    samples = _decode_rvl(body, expected) if "rvl" in rest.lower() else _decode_png(body, expected)
    if kind == _MILLIMETRES:
        return _metres(samples)
    if not (np.isfinite((scale, offset)).all() and scale > 0):
        raise DepthError(
            f"the compressed depth image is quantised by {scale:g} and {offset:g}, so its publisher is broken"
        )
    with np.errstate(divide="ignore"):
        depth = np.float32(scale) / (samples.astype(np.float32) - np.float32(offset))
    return np.where(samples > 0, depth, np.float32(np.nan))


def _metres(samples: NDArray[np.uint16]) -> DepthMetres:
    metres = samples.astype(np.float32)
    metres *= np.float32(0.001)
    return metres


def _check_size(height: int, width: int, expected: tuple[int, int]) -> None:
    if (height, width) != expected:
        raise DepthError(
            f"the depth image is {width}x{height}, and the image that is tracked {expected[1]}x{expected[0]}: it is "
            "not registered to it; subscribe to the depth that the driver aligns with it"
        )


def _decode_png(body: memoryview, expected: tuple[int, int]) -> NDArray[np.uint16]:
    head = bytes(body[:26])
    if len(head) < 26 or not head.startswith(_PNG_START):
        raise DepthError(
            "the compressed depth image holds no PNG behind its header; it is broken, or of another format"
        )
    # A few bytes can announce a picture that no memory holds.
    width, height, bits, colour = struct.unpack(">IIBB", head[16:])
    _check_size(height, width, expected)
    if (bits, colour) != (16, 0):
        raise DepthError(
            f"the compressed depth image is a PNG of {bits} bits and colour type {colour}, not of 16 bits, grey"
        )
    samples = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.shape != expected or samples.dtype != np.uint16:
        raise DepthError("the PNG of the compressed depth image is broken")
    return np.asarray(samples, np.uint16)


def _decode_rvl(body: memoryview, expected: tuple[int, int]) -> NDArray[np.uint16]:
    if len(body) < _RVL_SIZE.size:
        raise DepthError("the RVL depth image has no size; it was cut short")
    width, height = _RVL_SIZE.unpack_from(body)
    _check_size(height, width, expected)
    words = np.frombuffer(body[_RVL_SIZE.size : _RVL_SIZE.size + (len(body) - _RVL_SIZE.size) // 4 * 4], "<u4")
    try:
        return decode_rvl(words, height * width).reshape(height, width)
    except RvlError as error:
        raise DepthError(f"the RVL depth image {error}") from error
