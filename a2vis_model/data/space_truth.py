"""What is true in space about a clip: where camera and things are in every frame, beside the clip as files.

`space.json` holds all but the depth, which is in `depth/00000.png` and so on: 16 bits, millimetres along the
optical axis, 0 where unknown. Lengths are metres, angles radians, times seconds. Axes follow ROS (REP 103): in the
world x points ahead, y to the left, z up, and the ground is z = 0; in the camera x points right, y down, z ahead.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..files.images import ImageFileError, read_samples
from .json_file import read_json, side, value_of
from .problems import DataError, DataProblem, RecordError

SPACE_FILE = "space.json"
DEPTH_FOLDER = "depth"
FARTHEST = 65.535
"""Metres that 16 bits of millimetres hold; what is farther is unknown in a depth picture."""

_FORMAT = "a2vis-space-1"
_MOST_FRAMES = 1_000_000
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class CameraTrack:
    """A pinhole camera without distortion, whose pixels have their centres at whole numbers."""

    focal: Numbers
    """Pixels, `[T]`, the same across and down; a zoom changes it."""
    centre: tuple[float, float]
    """The principal point (x, y) in pixels."""
    position: Numbers
    """Position of the camera in the world, in metres, `[T, 3]`."""
    orientation: Numbers
    """Rotation from camera to world axes as unit quaternions (x, y, z, w), `[T, 4]`."""


@dataclass(frozen=True)
class ThingTrack:
    """One object in every frame, whether in view or not."""

    id: int
    """ID of the object in `objects.json`."""
    class_name: str
    position: Numbers
    """Point on the ground where the object stands, in metres, `[T, 3]`."""
    middle: Numbers
    """The middle of the box of `size` that holds it at that moment, `[T, 3]`; of a walker, with arms and legs."""
    elevation: Numbers
    """How far its lowest point is above the ground, `[T]`."""
    yaw: Numbers
    """Angle of its heading from x towards y in radians, `[T]`; NaN for a flat cut-out, which faces the camera."""
    velocity: Numbers
    """m/s in the world, `[T, 3]`."""
    size: Numbers
    """Length along its yaw, width and height, `[T, 3]`; a flat cut-out has no length."""
    distance: Numbers
    """Depth of its position along the camera's optical axis in metres, `[T]`; negative behind the camera."""
    visible_fraction: Numbers
    """Seen share of its silhouette inside the picture, `[T]`; NaN where none of it is in the picture."""
    cut_off: NDArray[np.bool_]
    """Whether its silhouette reaches the border of the picture, `[T]`."""


@dataclass(frozen=True)
class SpaceTruth:
    """A clip of `T` frames. A frame that repeats the one before has its values too, but a stamp of its own."""

    height: int
    width: int
    stamps: Numbers
    """Stamps in seconds that a camera driver would give the frames, `[T]`, ascending, 0 at the first."""
    camera: CameraTrack
    things: tuple[ThingTrack, ...]


def write_space(truth: SpaceTruth, depth: NDArray[np.uint16], directory: Path) -> None:
    """Write `space.json` and the depth pictures `[T, H, W]` in millimetres into an existing folder."""
    folder = directory / DEPTH_FOLDER
    folder.mkdir()
    for index, picture in enumerate(depth):
        encoded, data = cv2.imencode(".png", picture)
        if not encoded:
            raise OSError(f"{folder}: depth picture {index} cannot be encoded")
        depth_file(directory, index).write_bytes(data.tobytes())
    (directory / SPACE_FILE).write_text(json.dumps(_document(truth), allow_nan=False), encoding="utf-8")


def depth_file(directory: Path, index: int) -> Path:
    """The depth picture of a frame."""
    return directory / DEPTH_FOLDER / f"{index:05d}.png"


def read_depth(directory: Path, index: int, truth: SpaceTruth) -> NDArray[np.uint16]:
    """Millimetres along the optical axis `[H, W]`, 0 where unknown; raises DataError if there is no such picture."""
    path = depth_file(directory, index)
    expected = (truth.height, truth.width)
    try:
        picture = read_samples(path, size=expected)
    except ImageFileError as error:
        raise DataError(DataProblem(str(path), "depth", f"{error}; render the clip again")) from error
    if picture.dtype != np.uint16 or picture.shape != expected:
        what = f"{picture.dtype} {picture.shape}"
        raise DataError(DataProblem(str(path), "depth", f"is {what}, not uint16 {expected}; render the clip again"))
    return np.asarray(picture, np.uint16)


def read_space(directory: Path) -> SpaceTruth | None:
    """What `directory` says about space; None where it has no `space.json`.

    Raises:
        DataError: if the file is not what `write_space` writes.
    """
    path = directory / SPACE_FILE
    if not path.exists():
        return None
    document = read_json(path)
    record = "file"
    try:
        if value_of(document, "format", str) != _FORMAT:
            raise RecordError(f"format is {document['format']!r}, not {_FORMAT!r}; render the clip again")
        stamps = _array(document, "stamps", None)
        count = len(stamps)
        if not 1 <= count <= _MOST_FRAMES or stamps[0] < 0 or not np.all(np.diff(stamps) > 0):
            raise RecordError(f"stamps are {count} numbers; they must ascend from 0 on, 1 to {_MOST_FRAMES} of them")
        record = "camera"
        entry = value_of(document, "camera", dict)
        centre = _array(entry, "centre", (2,))
        camera = CameraTrack(
            focal=_array(entry, "focal", (count,)),
            centre=(float(centre[0]), float(centre[1])),
            position=_array(entry, "position", (count, 3)),
            orientation=_array(entry, "orientation", (count, 4)),
        )
        if camera.focal.min() <= 0:
            raise RecordError("focal has a length that is not over 0")
        if np.abs(np.linalg.norm(camera.orientation, axis=1) - 1).max() > 1e-3:
            raise RecordError("orientation has a quaternion that is not of unit length")
        things = []
        for number, thing in enumerate(value_of(document, "things", list)):
            record = f"thing {number}"
            things.append(_thing(thing, count))
        return SpaceTruth(side(document, "height"), side(document, "width"), stamps, camera, tuple(things))
    except RecordError as error:
        raise DataError(DataProblem(str(path), record, str(error))) from error


def _thing(entry: object, count: int) -> ThingTrack:
    cut_off = value_of(entry, "cut_off", list)
    if len(cut_off) != count or not all(isinstance(value, bool) for value in cut_off):
        raise RecordError(f"cut_off is not {count} times true or false")
    return ThingTrack(
        id=value_of(entry, "id", int),
        class_name=value_of(entry, "class_name", str),
        position=_array(entry, "position", (count, 3)),
        middle=_array(entry, "middle", (count, 3)),
        elevation=_array(entry, "elevation", (count,)),
        yaw=_array(entry, "yaw", (count,), unknown=True),
        velocity=_array(entry, "velocity", (count, 3)),
        size=_array(entry, "size", (count, 3)),
        distance=_array(entry, "distance", (count,)),
        visible_fraction=_array(entry, "visible_fraction", (count,), unknown=True),
        cut_off=np.array(cut_off, np.bool_),
    )


def _array(entry: object, key: str, shape: tuple[int, ...] | None, *, unknown: bool = False) -> Numbers:
    """Return finite numbers of a shape, of one dimension and any length where it is None.

    Where they may be `unknown`, null becomes NaN.
    """
    values = value_of(entry, key, list)
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"{key} is no array of numbers ({error})") from error
    if array.ndim != 1 if shape is None else array.shape != shape:
        raise RecordError(f"{key} has the shape {list(array.shape)}, not {'[T]' if shape is None else list(shape)}")
    if np.isinf(array).any() or (not unknown and np.isnan(array).any()):
        raise RecordError(f"{key} has values that are not finite")
    return array


def _document(truth: SpaceTruth) -> dict[str, Any]:
    camera = truth.camera
    return {
        "format": _FORMAT,
        "height": truth.height,
        "width": truth.width,
        "stamps": truth.stamps.tolist(),
        "camera": {
            "focal": camera.focal.tolist(),
            "centre": list(camera.centre),
            "position": camera.position.tolist(),
            "orientation": camera.orientation.tolist(),
        },
        "things": [
            {
                "id": thing.id,
                "class_name": thing.class_name,
                "position": thing.position.tolist(),
                "middle": thing.middle.tolist(),
                "elevation": thing.elevation.tolist(),
                "yaw": _or_null(thing.yaw),
                "velocity": thing.velocity.tolist(),
                "size": thing.size.tolist(),
                "distance": thing.distance.tolist(),
                "visible_fraction": _or_null(thing.visible_fraction),
                "cut_off": thing.cut_off.tolist(),
            }
            for thing in truth.things
        ],
    }


def _or_null(values: Numbers) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]
