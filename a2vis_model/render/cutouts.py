"""Pictures that videos are composed of: cut-outs of things by class, and photographs as backgrounds.

`DIR/<class>/*.{png,webp}` with an alpha channel are the things, `DIR/*.{jpg,jpeg,png,webp}` the backgrounds. All
are decoded once, so that processes that are forked later share them. Pictures that cannot be used are reported and
left out.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..data.json_file import read_json
from ..data.problems import ProblemLog, RecordError
from ..errors import A2VISError, printable
from ..files.deep_images import TWELVE_BITS, DeepImages, unused_bits
from ..files.images import ImageFileError, read_image, read_samples, visible_files
from .harmonise import matte
from .traits import is_known

logger = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]
Decoded = tuple[Pixels, bool | None]
"""Pixels, and whether those of a 16-bit picture leave its upper bits unused (see `deep_images`)."""

CUTOUT_SUFFIXES = (".png", ".webp")
BACKGROUND_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SIZES_FILE = "sizes.json"
"""File beside the folders of cut-outs with the real size of classes in metres, such as `{"forklift": 2.1}`."""

_LEAST_SIDE = 8
_LONGEST_CUTOUT = 400  # Size in pixels to which larger pictures are shrunk, because no thing is drawn much larger.
_LONGEST_BACKGROUND = 800
_MOST_PIXELS = 1 << 26
"""Pictures of more pixels, which take up to 8 bytes each, are not decoded."""
_OPAQUE = 128


@dataclass(frozen=True)
class Cutout:
    """A thing cut out of its photograph.

    `pixels` are uint8 RGBA [h, w, 4], cropped to what is not transparent, with a clean soft edge.
    """

    class_name: str
    file: str
    pixels: Pixels


@dataclass(frozen=True)
class Pictures:
    """All pictures that videos are composed of."""

    cutouts: Mapping[str, Sequence[Cutout]]
    """Cut-outs by class; no class is empty."""
    backgrounds: Sequence[Pixels]
    """Backgrounds, uint8 RGB [h, w, 3] each."""
    sizes: Mapping[str, float]
    """Size in metres of the classes for which the user gave it."""
    digest: str
    """Digest of all pictures that are used, on which composed videos depend."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in alphabetical order."""
        return tuple(sorted(self.cutouts))


def load_pictures(
    cutouts: Path, backgrounds: Path, problems: ProblemLog, classes: Sequence[str] | None = None
) -> Pictures:
    """Read the folders `cutouts` and `backgrounds`; with `classes`, only the cut-outs of these.

    Raises:
        A2VISError: a folder is missing, or nothing in it can be used.
    """
    folders = _class_folders(cutouts)
    chosen = folders if classes is None else [folder for folder in folders if folder.name in classes]
    if not chosen:
        raise A2VISError(
            f"{cutouts}: holds none of the classes {', '.join(classes or ())}; give --classes some of its own: "
            f"{', '.join(folder.name for folder in folders)}"
        )
    digest = hashlib.sha256()
    found: dict[str, tuple[Cutout, ...]] = {}
    for folder in chosen:
        usable = []
        for file, pixels in _read_all(folder, CUTOUT_SUFFIXES, problems, _decode_cutout):
            with problems.skipping(str(file), "picture"):
                name = f"{folder.name}/{file.name}"
                cutout = Cutout(folder.name, name, matte(_shrunk(_cropped(pixels), _LONGEST_CUTOUT)))
                usable.append(cutout)
                digest.update(name.encode() + cutout.pixels.tobytes())
        if usable:
            found[folder.name] = tuple(usable)
    if not found:
        raise A2VISError(f"{cutouts}: no picture in it can be used; give PNG or WebP files with an alpha channel")
    views = []
    for file, pixels in _read_all(_existing(backgrounds), BACKGROUND_SUFFIXES, problems, _decode_background):
        views.append(_shrunk(pixels, _LONGEST_BACKGROUND))
        digest.update(file.name.encode() + views[-1].tobytes())
    if not views:
        raise A2VISError(f"{backgrounds}: no picture in it can be used; give JPEG, PNG or WebP files")
    sizes = _sizes(cutouts / SIZES_FILE, problems)
    for name in found:
        if name not in sizes and not is_known(name):
            with problems.skipping(str(cutouts), name):
                raise RecordError(f'size unknown, taken as 1 m; say it in {SIZES_FILE} there: {{"{name}": 1.0}}')
    digest.update(repr(sorted(sizes.items())).encode())
    return Pictures(found, tuple(views), sizes, digest.hexdigest()[:16])


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise A2VISError(f"{folder}: there is no such folder; name the one that holds the pictures")
    return folder


def _class_folders(cutouts: Path) -> list[Path]:
    folders = [path for path in visible_files(_existing(cutouts)) if path.is_dir()]
    if not folders:
        raise A2VISError(f"{cutouts}: has no folders; put cut-outs there as CLASS/*.png, a folder for each class")
    return folders


def _read_all(
    folder: Path, suffixes: Sequence[str], problems: ProblemLog, decode: Callable[[Path], Decoded]
) -> Iterator[tuple[Path, Pixels]]:
    """Yield the pictures of a folder by name, without those that cannot be used."""
    files = [path for path in visible_files(folder) if path.suffix.lower() in suffixes]
    if not files:
        with problems.skipping(str(folder), "folder"):
            raise RecordError(f"holds no {', '.join(suffixes)}; put pictures there, or remove it")
    deep = DeepImages()
    for file in files:
        with problems.skipping(str(file), "picture"):
            pixels, unused = decode(file)
            if deep.see(unused=unused):
                logger.warning("%s", unused_bits(printable(str(file))))
            yield file, _large_enough(pixels)


def _decode_cutout(file: Path) -> Decoded:
    """Decode a picture with all its channels, in OpenCV's order, upright as a viewer shows it."""
    try:
        pixels = read_samples(file, most_pixels=_MOST_PIXELS)
    except ImageFileError as error:
        raise RecordError(f"{error}; replace or remove it") from error
    unused = None
    if pixels.dtype == np.uint16:
        unused = bool(pixels[..., :3].max() <= TWELVE_BITS)  # The alpha channel is as deep as its tool makes it.
        pixels = (pixels // 257).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise RecordError(f"has pixels of type {pixels.dtype}; save it with 8 bits a channel")
    return np.asarray(pixels, np.uint8), unused


def _decode_background(file: Path) -> Decoded:
    """Decode a photograph to RGB, upright as a viewer shows it."""
    try:
        decoded = read_image(file, most_pixels=_MOST_PIXELS)
    except ImageFileError as error:
        raise RecordError(f"{error}; replace or remove it") from error
    if decoded.damage:
        raise RecordError(f"is damaged ({decoded.damage}); replace or remove it")
    return np.asarray(cv2.cvtColor(decoded.pixels, cv2.COLOR_BGR2RGB), np.uint8), decoded.unused_bits


def _large_enough(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        raise RecordError(f"is {width}x{height} pixels; give one of at least {_LEAST_SIDE}x{_LEAST_SIDE}, or remove it")
    return pixels


def _cropped(pixels: Pixels) -> Pixels:
    """Convert OpenCV's BGRA to RGBA and cut off transparent margins."""
    if pixels.ndim != 3 or pixels.shape[2] != 4:
        raise RecordError("has no alpha channel; save the thing as PNG or WebP on a transparent background")
    alpha = pixels[..., 3]
    solid = alpha >= _OPAQUE
    if solid.all():
        raise RecordError("is opaque everywhere: nothing is cut out; make its background transparent")
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if min(len(rows), len(columns)) < _LEAST_SIDE:
        raise RecordError(f"shows a thing of less than {_LEAST_SIDE} pixels; give a larger one, or remove it")
    box = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.ascontiguousarray(cv2.cvtColor(box, cv2.COLOR_BGRA2RGBA), np.uint8)


def _shrunk(pixels: Pixels, longest: int) -> Pixels:
    scale = longest / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = [max(round(side * scale), 1) for side in pixels.shape[1::-1]]
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _sizes(file: Path, problems: ProblemLog) -> dict[str, float]:
    if not file.exists():
        return {}
    sizes: dict[str, float] = {}
    entries = read_json(file)
    if not isinstance(entries, dict):
        raise A2VISError(f'{file}: is no object; write metres by class, such as {{"forklift": 2.1}}')
    for name, metres in entries.items():
        with problems.skipping(str(file), name):
            if isinstance(metres, bool) or not isinstance(metres, (int, float)) or not 0.02 <= metres <= 30:
                raise RecordError(f"is {metres!r}; give metres from 0.02 to 30")
            sizes[name] = float(metres)
    return sizes
