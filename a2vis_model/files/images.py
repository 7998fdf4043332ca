"""Image files: found in the order of their numbers, looked over before they take memory, and decoded upright."""

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from .regular import read_regular

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_SIDE = 16384
"""Largest size of an image in pixels: a larger one would take gigabytes."""

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_ORIENTATION = 0x0112
"""EXIF's tag for how the camera was held, 1 (upright) to 8."""
_INVERSE = {6: 8, 8: 6}
"""Orientations that undo others; the rest undo themselves."""
_EXIF_WITHIN = 1 << 17
"""Bytes at the start of a file in which EXIF is looked for; a block of it has up to 2^16."""
_MARKER = re.compile(rb"\xff+[^\xff]", re.DOTALL)
"""A JPEG's marker, behind any number of filling bytes."""
_END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd9", 0xDA


class ImageFileError(ValueError):
    """Says what is wrong with an image; whoever knows the file adds its name."""


@dataclass(frozen=True)
class ImageHeader:
    """What an image says of itself before it is decoded."""

    format: str
    height: int
    """Rows of the pixels as stored, before they are turned upright."""
    width: int
    orientation: int
    """EXIF's number, 1 to 8: how the stored pixels are turned and mirrored."""

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width as a viewer shows the image."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


@dataclass(frozen=True)
class DecodedImage:
    """Pixels, and what is missing of them."""

    pixels: NDArray[np.uint8]
    """[H, W] or [H, W, channels], by OpenCV's flags."""
    damage: str
    """Empty for a whole image."""


def frame_files(folder: str | Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The images of a folder in the order of the numbers in their names: 2.png before 10.png.

    Hidden files are left out, such as the "._000.jpg" that macOS leaves beside "000.jpg".
    """
    files = (file for file in visible_files(folder) if file.suffix.lower() in suffixes)
    return sorted(files, key=lambda file: (by_number(file.stem), file.name))


def visible_files(folder: str | Path) -> list[Path]:
    """Everything in a folder, sorted by name, that is not hidden by a dot."""
    return sorted(file for file in Path(folder).iterdir() if not file.name.startswith("."))


def by_number(name: str) -> list[tuple[int, str]]:
    """A key for sorting that takes digits for numbers."""
    parts = re.split("([0-9]+)", name)
    # Text stands at even places and numbers at odd ones, so that both compare with their kind.
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]


def read_header(data: bytes) -> ImageHeader:
    """Look an encoded image over.

    Raises:
        ImageFileError: it is of an unknown kind, or larger than `MAX_SIDE`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow warns of is either an error below, or does not matter
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                kind, (width, height) = str(image.format), image.size
                if isinstance(image, TiffImageFile):  # whose size Pillow says upright
                    width, height, orientation = (image.tag_v2.get(tag) for tag in (256, 257, _ORIENTATION))
                else:
                    orientation = _orientation(image.info.get("exif", b""))  # getexif() would decode all of a PNG
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"too large: {error}") from error
    except Exception as error:  # a broken file can fail anywhere in its reader, with any error
        raise ImageFileError(f"cannot be read: not an image ({', '.join(_FORMATS)}), or a broken one") from error
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        raise ImageFileError(f"cannot be read: its size is {width}x{height} pixels")
    if max(height, width) > MAX_SIDE:
        raise ImageFileError(f"too large: {width}x{height} pixels where {MAX_SIDE} a side are allowed; scale it down")
    turned = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
    return ImageHeader(kind, height, width, turned)


def exif_orientation(data: bytes | memoryview) -> int:
    """The orientation, 1 to 8, that a JPEG or PNG notes in front of its picture; 1 where it notes none."""
    start = bytes(data[:_EXIF_WITHIN])
    if b"Exif\0\0" not in start and b"eXIf" not in start:  # as of nearly all cameras' streams
        return 1
    try:
        return read_header(bytes(data)).orientation
    except ImageFileError:
        return 1


def _orientation(exif: bytes) -> int:
    """The orientation that a block of EXIF states; a broken block is ignored."""
    tags = Image.Exif()
    try:
        tags.load(exif)
        found = tags.get(_ORIENTATION)
    except Exception:  # a broken block can fail anywhere in its reader, with any error
        return 1
    return found if isinstance(found, int) else 1


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn and mirror stored pixels as EXIF's orientation, 1 to 8, says a viewer shall."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def jpeg_is_cut_short(data: bytes | memoryview) -> bool:
    """Whether a JPEG ends before its picture does; decoders fill what is missing with grey, and say nothing."""
    content = bytes(data)
    return content.rfind(_END_OF_IMAGE) < _first_scan(content)


def _first_scan(content: bytes) -> int:
    """Where the picture begins in a JPEG; a thumbnail in front of it is a JPEG of its own. The end if it has none."""
    position = 2
    while marker := _MARKER.match(content, position):
        position = marker.end()
        kind = content[position - 1]
        if kind == _START_OF_SCAN:
            return position
        if kind != 0x01 and not 0xD0 <= kind <= 0xD8:  # all but these have a length
            position += int.from_bytes(content[position : position + 2], "big")
    return len(content)


def read_image(path: str | Path, flags: int = cv2.IMREAD_COLOR, *, size: tuple[int, int] | None = None) -> DecodedImage:
    """Decode an image file, upright as a viewer shows it.

    Args:
        path: the file.
        flags: of OpenCV.
        size: height and width that are wanted; another size is refused before memory is taken for it. Where the
            pixels as stored have this size and the upright ones have not, they are left as stored.

    Raises:
        ImageFileError: it cannot be read, is no image, is of another size, too large or broken.
    """
    try:
        data = read_regular(path)
    except (OSError, ValueError) as error:  # ValueError: no possible name of a file
        raise ImageFileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    header = read_header(data)
    stored = size == (header.height, header.width) != header.upright_size
    if size is not None and size != header.upright_size and not stored:
        height, width = header.upright_size
        raise ImageFileError(f"wrong size: {width}x{height}, not {size[1]}x{size[0]}")
    damage = ""
    if header.format == "JPEG" and jpeg_is_cut_short(data):
        damage = "is cut short; what is missing is filled with grey"
        data += _END_OF_IMAGE  # without which some versions of OpenCV decode nothing
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageFileError("cannot be decoded") from error
    if pixels is None:
        raise ImageFileError("cannot be decoded: it is broken or cut short")
    orientation = header.orientation
    if header.format == "TIFF":  # which OpenCV turns upright whatever it is asked for
        orientation = _INVERSE.get(orientation, orientation) if stored else 1
    elif stored:
        orientation = 1
    return DecodedImage(turn_upright(np.asarray(pixels, np.uint8), orientation), damage)
