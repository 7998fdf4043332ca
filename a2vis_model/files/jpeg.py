"""JPEG pictures: decoded, and whether their data are whole.

A decoder that meets damaged data goes on with what it makes of them: grey below the place, or blocks that are shifted.
libjpeg notices most of it, and says so; OpenCV keeps that to itself, libjpeg-turbo's own interface (simplejpeg) does
not, and decodes to the same pixels in the same time.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..extras import optional_packages

with optional_packages():
    import simplejpeg

_MARKER = re.compile(rb"\xff+[^\xff]", re.DOTALL)
"""A marker, behind any number of filling bytes."""
_NEXT_MARKER = re.compile(rb"\xff+[^\xff\0]", re.DOTALL)
"""A marker as libjpeg looks for the next one: bytes that belong to nothing may stand before it."""
_END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd9", 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segments that state a picture's size."""
_HARMLESS = (
    "Could not determine subsampling level",
    "Invalid SOS parameters for sequential JPEG",
    "Unknown Adobe color transform code",
    "unknown JFIF revision number",
)
"""What libjpeg-turbo says of headers that are unusual."""
_LEFT_OVER = re.compile("([0-9]+) extraneous bytes before marker 0xd9")


class JpegError(ValueError):
    """Says why a picture cannot be decoded; whoever knows the file adds its name."""


@dataclass(frozen=True)
class DecodedJpeg:
    """What a decoder makes of a picture's data."""

    pixels: NDArray[np.uint8]
    """[H, W] grey or [H, W, 3] BGR."""
    damage: str
    """What is wrong with the data, fit to stand behind a file's name; empty where nothing was noticed."""


def decode_jpeg(data: bytes | memoryview, size: tuple[int, int], flags: int) -> DecodedJpeg:
    """Decode a picture, as stored: EXIF's orientation is not heeded.

    Not all damage can be noticed: where a decoder finds its way back among the codes, and the number of blocks is
    right, there are wrong pixels and nothing else. What is cut short is filled with grey. Where colours are sampled in
    a way that libjpeg-turbo's own interface does not know (4 x 2 samples for each of a colour, for one), damage in the
    midst is not noticed, for OpenCV alone decodes these.

    Args:
        data: a JPEG file.
        size: height and width that its header was seen to announce; no memory is taken for another.
        flags: flags of OpenCV, for whether the pixels shall be grey.

    Raises:
        JpegError: the header is broken or announces another size, or nothing can be decoded.
    """
    cut_short = jpeg_is_cut_short(data)
    if cut_short:
        data = bytes(data) + _END_OF_IMAGE  # without which some versions of OpenCV decode nothing
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, KeyError):  # KeyError: simplejpeg 1.9.0 has no name for one way of sampling colours
        if (announced := _announced_size(bytes(data))) != size:
            held = "no size" if announced is None else f"{announced[1]}x{announced[0]}"
            raise JpegError(f"the image says {size[1]}x{size[0]} pixels and holds {held}") from None
        said = _complaint(data)
    else:
        if (height, width) != size:
            raise JpegError(f"the image says {size[1]}x{size[0]} pixels and holds {width}x{height}")
        colour = flags != cv2.IMREAD_UNCHANGED and flags & cv2.IMREAD_COLOR
        grey = not colour and (colours == "Gray" or not flags & cv2.IMREAD_ANYCOLOR)
        try:
            pixels = simplejpeg.decode_jpeg(data, "GRAY" if grey else "BGR", strict=True)
            return DecodedJpeg(pixels[..., 0] if grey else pixels, "")
        except ValueError as error:
            said = str(error)
    # What is damaged, as far as it goes, and the ways of sampling that libjpeg-turbo's own interface does not know.
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise JpegError(f"cannot be decoded: {error.err}") from error
    if decoded is None:
        raise JpegError("cannot be decoded: it is broken or cut short")
    if decoded.shape[:2] != size:
        height, width = decoded.shape[:2]
        raise JpegError(f"the image says {size[1]}x{size[0]} pixels and holds {width}x{height}")
    if cut_short:
        return DecodedJpeg(np.asarray(decoded, np.uint8), "is cut short; what is missing is filled with grey")
    return DecodedJpeg(np.asarray(decoded, np.uint8), _damage(said, data))


def jpeg_damage(data: bytes | memoryview) -> str:
    """What is wrong with the data of a picture that is decoded elsewhere, at 60 % of what decoding it costs."""
    if jpeg_is_cut_short(data):
        return "is cut short"
    return _damage(_complaint(data), data)


def jpeg_is_cut_short(data: bytes | memoryview) -> bool:
    """Whether a JPEG ends before its picture does; decoders fill what is missing with grey, and say nothing."""
    content = bytes(data)
    return content.rfind(_END_OF_IMAGE) < _first_scan(content)


def _first_scan(content: bytes) -> int:
    """Find where the picture of a JPEG begins, behind a thumbnail, itself a JPEG; return the end if it has none."""
    scans = (position for kind, position in _markers(content, _MARKER.match) if kind == _START_OF_SCAN)
    return next(scans, len(content))


def _announced_size(content: bytes) -> tuple[int, int] | None:
    """Return height and width that a JPEG states before its picture; None if it states none."""
    for kind, position in _markers(content, _NEXT_MARKER.search):
        if kind in _FRAMES:  # length and bits of a sample come first
            height, width = (content[position + at : position + at + 2] for at in (3, 5))
            return int.from_bytes(height, "big"), int.from_bytes(width, "big")
    return None


def _markers(content: bytes, find: Callable[[bytes, int], re.Match[bytes] | None]) -> Iterator[tuple[int, int]]:
    """Yield the kind of every marker of a JPEG up to its picture, and the position behind it.

    Args:
        content: the file.
        find: finds the marker at a position, or the next one from there on.
    """
    position = 2
    while marker := find(content, position):
        position = marker.end()
        kind = content[position - 1]
        yield kind, position
        if kind == _START_OF_SCAN:
            return
        if kind != 0x01 and not 0xD0 <= kind <= 0xD8:  # all but these have a length
            position += int.from_bytes(content[position : position + 2], "big")


def _complaint(data: bytes | memoryview) -> str:
    """Return what libjpeg says of the data of a picture; empty where it says nothing."""
    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as error:
        return str(error)
    return ""


def _damage(said: str, data: bytes | memoryview) -> str:
    """What libjpeg's complaint means for the picture; empty where its data are whole."""
    if not said or any(complaint in said for complaint in _HARMLESS):
        return ""
    if left_over := _LEFT_OVER.search(said):
        content = bytes(data)
        end = content.rfind(_END_OF_IMAGE)
        # Some cameras fill the data up, to a whole number of words.
        if not content[max(end - int(left_over[1]), 0) : end].strip(b"\0\xff"):
            return ""
    return f"is damaged ({said.removeprefix('Corrupt JPEG data: ')})"
