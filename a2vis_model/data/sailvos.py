"""SAIL-VOS: the folders as published, or a JSON file in COCO's format with one annotation per object and frame.

<scene>/images/%06d.bmp             frames
<scene>/visible/%06d.npy            ID of the object seen at each pixel, 0 for none
<scene>/<id>_<label>.../%06d.png    amodal mask of an object, in the frames it is in
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..files.images import visible_files
from ..files.regular import open_regular
from .annotation_file import Annotation, AnnotationFile, Entry, annotation_name, find_annotations
from .dataset import Dataset
from .frames import ImageFiles, load_image
from .json_file import side, value_of
from .masks import BoolMask, EmptyRingError, Mask, parse_mask
from .problems import DataError, DataProblem, ProblemLog, RecordError
from .video import MaskTrack, ObjectTrack, VideoRecord


def open_sailvos(
    path: str | Path,
    classes: Sequence[str] | None = None,
    *,
    images: str | Path | None = None,
    problems: ProblemLog | None = None,
    document: object = None,
    labels: str | Path | None = None,
) -> SailvosFolders | SailvosFile:
    """Open a folder of scenes, or a JSON file.

    Args:
        path: the folder or the JSON file.
        classes: classes to load, in this order; objects of others are left out. Without it, all there are: the
            categories of the file in the order of their IDs, or the labels in the names of the folders, sorted. The
            published benchmark evaluates 24.
        images: folder of a JSON file's images, if it is not in the usual place.
        problems: log to which broken scenes and annotations are reported.
        document: content of the JSON file, if the caller has already read it.
        labels: labels file (see `labels`) used instead of the one beside the annotations.
    """
    if scene_folders(path):
        return SailvosFolders(path, classes, problems)
    return SailvosFile(find_annotations(path), images, classes, problems, document, labels)


def scene_folders(path: str | Path) -> list[Path]:
    """List the scenes in a folder."""
    root = Path(path)
    children = visible_files(root) if root.is_dir() else []
    return [child for child in children if (child / "images").is_dir() and (child / "visible").is_dir()]


class SailvosFolders(Dataset):
    """SAIL-VOS as published (see `open_sailvos`)."""

    format = "sailvos"
    has_amodal = True

    def __init__(self, path: str | Path, classes: Sequence[str] | None, problems: ProblemLog | None) -> None:
        super().__init__(path, problems)
        scenes = scene_folders(path)
        self.names = [scene.name for scene in scenes]
        self._labels = {label for scene in scenes for _, label, _ in _object_folders(scene) if label}
        self.classes = tuple(classes) if classes else tuple(sorted(self._labels))

    def class_names(self) -> Iterator[str]:
        """Yield the label of every object folder; names repeat."""
        return iter(self._labels)

    def video_classes(self) -> Iterator[Mapping[int, float]]:
        """Yield the classes and sizes of each video's objects (see `Dataset.video_classes`)."""
        for name in self.names:
            labels = {label for _, label, _ in _object_folders(Path(self.path, name))}
            yield {self.classes.index(label): 1.0 for label in labels.intersection(self.classes)}

    def _read(self, index: int) -> VideoRecord:
        scene = Path(self.path, self.names[index])
        images = _numbered(scene / "images", (".bmp", ".png", ".jpg"))
        maps = _numbered(scene / "visible", (".npy",))
        for number in sorted(images.keys() ^ maps.keys()):
            missing = "images" if number in maps else "visible"
            self.problems.report(DataProblem(str(scene / missing), f"frame {number:06d}", "is missing"))
        numbers = sorted(images.keys() & maps.keys())
        if not numbers:
            raise DataError(DataProblem(str(scene), "scene", "has no frame with an image and a visible map"))
        source = ImageFiles.probe([str(images[number]) for number in numbers])
        size = (source.height, source.width)
        tracks: dict[int, ObjectTrack] = {}
        for object_id, label, folder in _object_folders(scene):
            record = f"object {object_id}"
            if not label or object_id in tracks:
                message = "has the id of another object" if label else "unknown class: its folder's name has no label"
                self.problems.report(DataProblem(str(folder), record, message))
                continue
            if label not in self.classes:
                continue
            files = _numbered(folder, (".png",))
            # An object is in the frames for which it has an amodal mask, even an empty one.
            visible = [_LabelMask(*size, str(maps[n]), object_id) if n in files else None for n in numbers]
            amodal = [_ImageMask(*size, str(files[n])) if n in files else None for n in numbers]
            tracks[object_id] = ObjectTrack(
                object_id,
                self.classes.index(label),
                MaskTrack("visible", str(scene / "visible"), record, *size, tuple(visible)),
                MaskTrack("amodal", str(folder), record, *size, tuple(amodal)),
            )
        return VideoRecord(scene.name, self.classes, source, tuple(tracks.values()), True, self.problems)


@dataclass(frozen=True, slots=True)
class _LabelMask:
    """The pixels of one object in a map of object IDs."""

    height: int
    width: int
    path: str
    value: int

    def decode(self) -> BoolMask:
        """Decode to a bool mask [H, W]."""
        labels = _label_map(self.path)
        if labels.shape != (self.height, self.width):
            raise RecordError(f"wrong size: {self.path} is {labels.shape}, the frame {(self.height, self.width)}")
        return np.equal(labels, self.value)

    def area(self) -> int:
        """Count the pixels in the region."""
        return int(np.count_nonzero(self.decode()))


@dataclass(frozen=True, slots=True)
class _ImageMask:
    """A mask in an image file of its own."""

    height: int
    width: int
    path: str

    def decode(self) -> BoolMask:
        """Decode to a bool mask [H, W]."""
        try:
            image = load_image(self.path, cv2.IMREAD_GRAYSCALE)
        except RecordError as error:
            raise RecordError(f"{self.path} {error}") from None
        if image.shape != (self.height, self.width):
            raise RecordError(f"wrong size: {self.path} is {image.shape}, the frame {(self.height, self.width)}")
        return image > 0

    def area(self) -> int:
        """Count the pixels in the region."""
        return int(np.count_nonzero(self.decode()))


def _label_map(path: str) -> NDArray[Any]:
    try:
        return _load_labels(path, os.stat(path).st_mtime_ns)
    # For a broken file any of NumPy's readers can fail, including those of headers and zip files.
    except Exception as error:
        raise RecordError(f"{path} cannot be read: {error}") from error


@lru_cache(maxsize=32)  # All objects of a frame are in one map, and a training sample has some 15 frames.
def _load_labels(path: str, _changed: int) -> NDArray[Any]:
    with open_regular(path) as file:
        labels = np.load(file, allow_pickle=False)
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        raise ValueError("not a map of object ids")
    return labels


def _object_folders(scene: Path) -> Iterator[tuple[int, str, Path]]:
    """Yield ID, label (or "") and folder of each object; all kinds of "Ped..." are persons."""
    for name in sorted(os.listdir(scene)):
        if re.match(r"\d{4}", name) and (scene / name).is_dir():
            found = re.search("[A-Za-z][A-Za-z_]+[A-Za-z]", name)
            label = found[0] if found else ""
            yield int(name[:4]), "person" if label.startswith("Ped") else label, scene / name


def _numbered(folder: Path, suffixes: Sequence[str]) -> dict[int, Path]:
    files = folder.iterdir()
    return {int(file.stem): file for file in files if file.suffix in suffixes and file.stem.isdecimal()}


@dataclass
class _Instance:
    """An object of the JSON file while its annotations are collected by frame."""

    class_id: int
    record: str
    visible: dict[int, Mask | None] = field(default_factory=dict)
    amodal: dict[int, Mask | None] = field(default_factory=dict)


class SailvosFile(AnnotationFile):
    """SAIL-VOS as JSON (see `open_sailvos`)."""

    format = "sailvos"
    _owner_key = "image_id"
    _amodal_keys = frozenset({"visible_mask"})

    def _owners(self, document: Annotation) -> Iterator[tuple[int, Entry, int]]:
        names, labels = {}, {}
        for position, video in enumerate(self._listed(document, "videos")):
            with self.problems.skipping(self.path, f"video {position}"):
                number = value_of(video, "id", int)
                labels[number] = self._labels(video)
                names[number] = str(video.get("name", number))
        images: dict[int, list[tuple[int, int, Annotation]]] = {number: [] for number in names}
        for position, image in enumerate(self._listed(document, "images")):
            with self.problems.skipping(self.path, f"image {position}"):
                number = value_of(image, "video_id", int)
                if number not in names:
                    raise RecordError(f"video_id {number} is not in the file")
                same = images[number][0][2] if images[number] else image
                if (side(image, "height"), side(image, "width")) != (same["height"], same["width"]):
                    raise RecordError("is of another size than the video")
                self._inside(value_of(image, "file_name", str))
                images[number].append((value_of(image, "frame_id", int), value_of(image, "id", int), image))
        for number, frames in images.items():
            if not frames:
                self.problems.report(DataProblem(self.path, f"video {number}", "has no images"))
                continue
            frames.sort(key=lambda frame: frame[:2])
            files = tuple(image["file_name"] for *_, image in frames)
            first = frames[0][2]
            entry = Entry(names[number], first["height"], first["width"], files, labels[number])
            for index, (_, image_id, _) in enumerate(frames):
                yield image_id, entry, index

    def _frame_paths(self, entry: Entry) -> list[Path]:
        """Return the frames' files.

        The names in the JSON file omit a scene's folder `images` and may have another suffix.
        """

        def path(file: str, folder: str, suffix: str) -> Path:
            scene, name = os.path.split(file)
            stem, own = os.path.splitext(name)
            return self._images / scene / folder / (stem + (suffix or own))

        choices = [(folder, suffix) for folder in ("", "images") for suffix in ("", ".bmp", ".png", ".jpg")]
        there = next((choice for choice in choices if os.path.isfile(path(entry.files[0], *choice))), choices[0])
        return [path(file, *there) for file in entry.files]

    def _tracks(self, entry: Entry) -> Iterator[ObjectTrack]:
        instances: dict[int, _Instance] = {}
        left_out = set()
        for frame, annotation in entry.annotations:
            record = annotation_name(annotation)
            with self.problems.skipping(self.path, record):
                number = value_of(annotation, "instance_id", int)
                if number in left_out:
                    continue
                left_out.add(number)  # Counts as broken unless this annotation turns out to be valid.
                class_id = self._class_id(annotation)
                if class_id is None:
                    continue
                instance = instances.setdefault(number, _Instance(class_id, f"instance {number} of {entry.name}"))
                if instance.class_id != class_id:
                    raise RecordError(f"instance {number} was a {self.classes[instance.class_id]} before")
                if frame in instance.visible:
                    raise RecordError(f"instance {number} is annotated in this frame already")
                instance.visible[frame] = self._mask(annotation, "visible_mask", entry)
                if self._has_amodal(entry):
                    key = "amodal_mask" if "amodal_mask" in annotation else "segmentation"
                    instance.amodal[frame] = self._mask(annotation, key, entry)
                left_out.discard(number)
        for number, instance in instances.items():
            if number not in left_out:
                visible = self._mask_track("visible", instance.record, instance.visible, entry)
                amodal = None
                if self._has_amodal(entry):
                    amodal = self._mask_track("amodal", instance.record, instance.amodal, entry)
                yield ObjectTrack(number, instance.class_id, visible, amodal)

    def _mask_track(self, kind: str, record: str, masks: dict[int, Mask | None], entry: Entry) -> MaskTrack:
        by_frame = tuple(masks.get(frame) for frame in range(len(entry.files)))
        return MaskTrack(kind, self.path, record, entry.height, entry.width, by_frame)

    def _mask(self, annotation: Annotation, key: str, entry: Entry) -> Mask | None:
        try:
            return parse_mask(value_of(annotation, key, object), entry.height, entry.width)
        except EmptyRingError as error:
            self.problems.report(DataProblem(self.path, annotation_name(annotation), f"{key}: {error}"))
            return None
        except RecordError as error:
            raise RecordError(f"{key}: {error}") from None
