"""Image files: listed in the order of their numbers, checked before they take memory, and decoded upright."""

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..extras import optional_packages
from .deep_images import TWELVE_BITS
from .jpeg import JpegError, decode_jpeg
from .regular import read_regular

with optional_packages():
    from PIL import Image
    from PIL.TiffImagePlugin import TiffImageFile

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_SIDE = 16384
"""Largest width or height of an image in pixels; a larger image would take gigabytes."""

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_ORIENTATION = 0x0112
"""EXIF tag of the camera's orientation, 1 (upright) to 8."""
_BITS_PER_SAMPLE = 258
"""TIFF's tag of the bits of each channel."""
_PNG_DEPTH = 24
"""Where the header of a PNG states the bits of a channel."""
_INVERSE = {6: 8, 8: 6}
"""Orientations whose inverse differs from them; the others are their own inverse."""
_EXIF_WITHIN = 1 << 17
"""Number of bytes at the start of a file in which EXIF is looked for; a block of EXIF has up to 2^16."""

_Sample = TypeVar("_Sample", bound=np.generic)


class ImageFileError(ValueError):
    """An image cannot be used; whoever knows the file adds its name."""


@dataclass(frozen=True)
class ImageHeader:
    """What an image states before it is decoded."""

    format: str
    height: int
    """Number of rows of the stored pixels, before they are turned upright."""
    width: int
    orientation: int
    """EXIF orientation, 1 to 8: how the stored pixels are rotated and mirrored."""
    is_deep: bool = False
    """Whether a channel has 16 bits."""

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width as a viewer shows the image."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


@dataclass(frozen=True)
class DecodedImage:
    """The pixels of an image, and what is missing in them."""

    pixels: NDArray[np.uint8]
    """Pixels [H, W] or [H, W, channels], according to OpenCV's flags."""
    damage: str
    """What is missing; empty for an intact image."""
    unused_bits: bool | None = None
    """Whether no pixel of an image of 16 bits passed 12 of them (see `deep_images`); None for an image of 8 bits."""


def frame_files(folder: str | Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """List the images of a folder in the order of the numbers in their names: 2.png before 10.png.

    Hidden files are left out, such as the "._000.jpg" that macOS leaves beside "000.jpg".
    """
    files = (file for file in visible_files(folder) if file.suffix.lower() in suffixes)
    return sorted(files, key=lambda file: (by_number(file.stem), file.name))


def visible_files(folder: str | Path) -> list[Path]:
    """List everything in a folder that is not hidden by a leading dot, sorted by name."""
    return sorted(file for file in Path(folder).iterdir() if not file.name.startswith("."))


def by_number(name: str) -> list[tuple[int, str]]:
    """Return a sort key that compares digits as numbers."""
    parts = re.split("([0-9]+)", name)
    # Text stands at even positions and numbers at odd ones, so that each is compared with its kind.
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]


def read_header(data: bytes) -> ImageHeader:
    """Read the header of an encoded image.

    Raises:
        ImageFileError: it is of an unknown format, or larger than `MAX_SIDE`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What Pillow warns of either raises an error below or does not matter.
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                kind, (width, height) = str(image.format), image.size
                if isinstance(image, TiffImageFile):  # Pillow states the upright size of a TIFF.
                    width, height, orientation = (image.tag_v2.get(tag) for tag in (256, 257, _ORIENTATION))
                    deep = 16 in (image.tag_v2.get(_BITS_PER_SAMPLE) or ())
                else:
                    deep = kind == "PNG" and data[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x10"
                    orientation = _orientation(image.info.get("exif", b""))  # getexif() would decode all of a PNG.
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"too large: {error}") from error
    except Exception as error:  # The reader of a broken file can fail anywhere, with any error.
        raise ImageFileError(f"cannot be read: not an image ({', '.join(_FORMATS)}), or a broken one") from error
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        raise ImageFileError(f"cannot be read: its size is {width}x{height} pixels")
    if max(height, width) > MAX_SIDE:
        raise ImageFileError(f"too large: {width}x{height} pixels where {MAX_SIDE} a side are allowed; scale it down")
    turned = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
    return ImageHeader(kind, height, width, turned, deep)


def exif_orientation(data: bytes | memoryview) -> int:
    """Return the orientation, 1 to 8, that a JPEG or PNG states before its picture; 1 where it states none."""
    start = bytes(data[:_EXIF_WITHIN])
    if b"Exif\0\0" not in start and b"eXIf" not in start:  # Nearly all cameras' streams have no EXIF.
        return 1
    try:
        return read_header(bytes(data)).orientation
    except ImageFileError:
        return 1


def _orientation(exif: bytes) -> int:
    """Return the orientation that a block of EXIF states; a broken block is ignored."""
    tags = Image.Exif()
    try:
        tags.load(exif)
        found = tags.get(_ORIENTATION)
    except Exception:  # The reader of a broken block can fail anywhere, with any error.
        return 1
    return found if isinstance(found, int) else 1


def turn_upright(pixels: NDArray[_Sample], orientation: int) -> NDArray[_Sample]:
    """Rotate and mirror stored pixels as the EXIF orientation, 1 to 8, tells a viewer."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def read_image(
    path: str | Path,
    flags: int = cv2.IMREAD_COLOR,
    *,
    size: tuple[int, int] | None = None,
    stored: bool | None = None,
    most_pixels: int | None = None,
) -> DecodedImage:
    """Decode an image file, upright as a viewer shows it.

    Args:
        path: path of the file.
        flags: OpenCV's flags of `imread`.
        size: expected height and width; another size is refused before memory is allocated.
        stored: whether the pixels are left as stored. Without it, they are where the stored pixels have the expected
            size and the upright ones have not.
        most_pixels: an image of more is refused before memory is allocated.

    Raises:
        ImageFileError: it cannot be read, is no image, is of another size, too large or broken.
    """
    pixels, damage, unused = _decode(path, flags, size, stored, most_pixels)
    return DecodedImage(np.asarray(pixels, np.uint8), damage, unused)


def read_samples(
    path: str | Path, *, size: tuple[int, int] | None = None, most_pixels: int | None = None
) -> NDArray[Any]:
    """Decode an image file with all channels, in OpenCV's order, and all bits of its samples (see `read_image`)."""
    return _decode(path, cv2.IMREAD_UNCHANGED, size, None, most_pixels)[0]


def _decode(
    path: str | Path, flags: int, size: tuple[int, int] | None, stored: bool | None, most_pixels: int | None
) -> tuple[NDArray[Any], str, bool | None]:
    """Return the upright pixels of a file, what is missing in them, and `DecodedImage.unused_bits`."""
    try:
        data = read_regular(path)
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name.
        raise ImageFileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    header = read_header(data)
    as_stored = (header.height, header.width)
    if stored is None:
        stored = size == as_stored != header.upright_size
    height, width = as_stored if stored else header.upright_size
    if size is not None and size != (height, width):
        raise ImageFileError(f"wrong size: {width}x{height}, not {size[1]}x{size[0]}")
    if most_pixels is not None and height * width > most_pixels:
        raise ImageFileError(f"too large: {width}x{height} pixels where {most_pixels:,} are allowed; scale it down")
    if header.format == "JPEG":
        try:
            decoded = decode_jpeg(data, (header.height, header.width), flags)
        except JpegError as error:
            raise ImageFileError(str(error)) from error
        return turn_upright(decoded.pixels, 1 if stored else header.orientation), decoded.damage, None
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageFileError("cannot be decoded") from error
    if pixels is None:
        raise ImageFileError("cannot be decoded: it is broken or cut short")
    orientation, damage = header.orientation, ""
    if header.format == "TIFF":  # OpenCV turns a TIFF upright whatever its flags are.
        orientation = _INVERSE.get(orientation, orientation) if stored else 1
        damage = _tiff_damage(data)
    elif stored:
        orientation = 1
    unused = None
    if header.is_deep and pixels.dtype == np.uint8:  # OpenCV keeps the upper 8 bits; libtiff rounds those of colours.
        unused = bool(pixels.max() <= (TWELVE_BITS >> 8) + (header.format == "TIFF" and pixels.ndim == 3))
    return turn_upright(np.asarray(pixels), orientation), damage, unused


def _tiff_damage(data: bytes) -> str:
    """Return what is wrong with the data of a TIFF, fit to stand behind its name; empty where nothing was noticed.

    OpenCV goes on where libtiff says that data are broken, and keeps that to itself. Pillow stops there.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
                image.load()
    except OSError as error:
        if "decoder error" in str(error) or "truncated" in str(error):
            return "is damaged: libtiff cannot decode all of it"
    except Exception:  # A kind of TIFF that Pillow does not know and OpenCV does is not broken.
        return ""
    return ""
