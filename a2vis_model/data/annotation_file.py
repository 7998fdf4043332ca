"""Data sets that consist of one JSON file in COCO's format and a folder of images."""

from __future__ import annotations

import os
import pickle
import re
import reprlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..files.images import visible_files
from .dataset import Dataset
from .frames import ImageFiles
from .json_file import read_json, value_of
from .labels import LabelRules, Labels
from .problems import DataError, DataProblem, ProblemLog, RecordError
from .video import ObjectTrack, VideoRecord

Annotation = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A video as the file describes it, with its annotations, each with the frame that it belongs to (0 for all)."""

    name: str
    height: int
    width: int
    files: tuple[str, ...]  # Paths of the frames, relative to the folder of images.
    labels: Labels = field(default_factory=Labels)
    annotations: list[tuple[int, Annotation]] = field(default_factory=list)


class AnnotationFile(Dataset):
    """A data set in one JSON file.

    A copy sent to a loader process reads the file again there, when it is first used. Crowd annotations are not objects
    and are left out, as are annotations of categories not among `classes`. `labels` is a labels file that replaces the
    one beside the annotations (see `labels`). Unless labels say otherwise, all objects of the file's categories are
    annotated, with amodal masks if the file holds any.
    """

    _owner_key: str  # Field by which an annotation names its video or image.
    _amodal_keys: frozenset[str]  # Fields of annotations that have an amodal and a visible mask.

    def __init__(
        self,
        file: str | Path,
        images: str | Path | None,
        classes: Sequence[str] | None,
        problems: ProblemLog | None,
        document: object = None,
        labels: str | Path | None = None,
    ) -> None:
        super().__init__(file, problems)
        document = self._checked(read_json(file) if document is None else document)
        categories = dict(self._categories(document))
        self._declared = tuple(dict.fromkeys(categories.values()))
        self._rules = LabelRules.read(labels) if labels else LabelRules.find(Path(file))
        self.classes = tuple(classes) if classes else self._declared
        self._class_ids = {
            category: self.classes.index(name) if name in self.classes else None
            for category, name in categories.items()
        }
        entries = self._grouped(document)
        self.names = [entry.name for entry in entries]
        self._keys = {key for entry in entries for _, annotation in entry.annotations for key in annotation}
        self._amodal_by_default = not self._amodal_keys.isdisjoint(self._keys)
        self.has_amodal = any(map(self._has_amodal, entries)) if entries else self._amodal_by_default
        self._video_classes = [self._contents(entry) for entry in entries]
        self._packed: list[bytes] | None = _pack(entries)
        self._images = Path(images) if images else _find_images(Path(file), entries[0].files[0] if entries else "")

    def class_names(self) -> Iterator[str]:
        """Yield the categories of the file."""
        return iter(self._declared)

    def video_classes(self) -> Iterator[Mapping[int, float]]:
        """Yield the classes and sizes of each video's objects (see `Dataset.video_classes`)."""
        return iter(self._video_classes)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}

    def _read(self, index: int) -> VideoRecord:
        if self._packed is None:
            self._packed = _pack(self._grouped(self._checked(read_json(self.path))))
        entry: Entry = pickle.loads(self._packed[index])
        paths = tuple(str(path) for path in self._frame_paths(entry))
        source = ImageFiles(
            height=entry.height, width=entry.width, length=len(paths), paths=paths, stored=entry.labels.stored
        )
        tracks: dict[int, ObjectTrack] = {}
        for track in self._tracks(entry):
            if track.object_id in tracks:
                self.problems.report(DataProblem(self.path, track.visible.record, "has the id of another object"))
            tracks.setdefault(track.object_id, track)
        labelled = self._declared if entry.labels.labelled is None else entry.labels.labelled
        return VideoRecord(
            entry.name,
            self.classes,
            source,
            tuple(tracks.values()),
            self._has_amodal(entry),
            self.problems,
            labelled=tuple(name in labelled for name in self.classes),
        )

    @abstractmethod
    def _owners(self, document: Annotation) -> Iterator[tuple[int, Entry, int]]:
        """Yield what annotations refer to: its ID, its video, and the frame in that video."""

    @abstractmethod
    def _tracks(self, entry: Entry) -> Iterator[ObjectTrack]:
        """Yield the objects of a video; broken ones are reported."""

    def _frame_paths(self, entry: Entry) -> list[Path]:
        return [self._images / file for file in entry.files]

    def _inside(self, file: str) -> str:
        """Check a file name, which must stay inside the folder of images."""
        if os.path.isabs(file) or ".." in Path(file).parts:
            raise RecordError(f"{reprlib.repr(file)} is not inside the folder of images; name files relative to it")
        return file

    def _labels(self, record: Annotation) -> Labels:
        """Return what the record of a picture or video says is annotated."""
        return Labels.parse(record, self._declared)

    def _has_amodal(self, entry: Entry) -> bool:
        return self._amodal_by_default if entry.labels.amodal is None else entry.labels.amodal

    def _categories(self, document: Annotation) -> Iterator[tuple[int, str]]:
        """Yield IDs and names of the categories, in the order of the IDs."""
        found = {}
        for position, category in enumerate(self._listed(document, "categories")):
            with self.problems.skipping(self.path, f"category {position}"):
                found[value_of(category, "id", int)] = value_of(category, "name", str)
        yield from sorted(found.items())

    def _class_id(self, annotation: Annotation) -> int | None:
        """Return the class of an object; None when it is left out."""
        category = value_of(annotation, "category_id", int)
        if category not in self._class_ids:
            raise RecordError(f"unknown class: category_id {category}")
        return self._class_ids[category]

    def _contents(self, entry: Entry) -> dict[int, float]:
        """Return the classes of a video's objects with the share of the image that the smallest of each covers."""
        contents: dict[int, float] = {}
        for _, annotation in entry.annotations:
            category, area = annotation.get("category_id"), annotation.get("area")
            class_id = self._class_ids.get(category) if isinstance(category, int) else None
            if class_id is not None:
                pixels = entry.height * entry.width
                # An impossible area counts as unknown.
                share = area / pixels if isinstance(area, int | float) and 0 < area <= pixels else 1.0
                contents[class_id] = min(contents.get(class_id, 1.0), share)
        return contents

    def _listed(self, document: Annotation, key: str) -> list[Any]:
        """Return a list of the document; a file without ground truth has no annotations."""
        value = document.get(key)
        value = [] if value is None else value
        if not isinstance(value, list):
            raise DataError(DataProblem(self.path, key, f"is {reprlib.repr(value)}, not a list"))
        return value

    def _grouped(self, document: Annotation) -> list[Entry]:
        """Group the annotations by video."""
        owners: dict[int, tuple[Entry, int]] = {}
        for number, entry, frame in self._owners(document):
            if number in owners:
                self.problems.report(DataProblem(self.path, f"{self._owner_key} {number}", "is there more than once"))
            owners.setdefault(number, (entry, frame))
        for position, annotation in enumerate(self._listed(document, "annotations")):
            with self.problems.skipping(self.path, annotation_name(annotation, position)):
                number = value_of(annotation, self._owner_key, int)
                if number not in owners:
                    raise RecordError(f"{self._owner_key} {number} is not in the file, or broken there")
                entry, frame = owners[number]
                if not annotation.get("iscrowd"):
                    entry.annotations.append((frame, annotation))
        try:
            of_all = self._labels(document)
        except RecordError as error:
            raise DataError(DataProblem(self.path, "file", str(error))) from error
        entries = {id(entry): entry for entry, _ in owners.values()}.values()
        return [
            replace(entry, labels=self._rules.of(entry.files[0], self._declared).over(entry.labels).over(of_all))
            for entry in entries
        ]

    def _checked(self, document: object) -> Annotation:
        if not isinstance(document, dict):
            raise DataError(DataProblem(self.path, "file", "is not an object with videos or images"))
        return document


def annotation_name(annotation: object, position: int = 0) -> str:
    """Return the name of an annotation for messages."""
    number = annotation.get("id", position) if isinstance(annotation, Mapping) else position
    return f"annotation {reprlib.repr(number)}"


def find_annotations(path: str | Path) -> Path:
    """Find the JSON file at a path.

    It is the path itself, or the only JSON file in the folder or in its folder `annotations`.
    """
    root = Path(path)
    if not root.is_dir():
        return root
    folders = [folder for folder in (root, root / "annotations") if folder.is_dir()]
    files = [file for folder in folders for file in visible_files(folder) if file.suffix == ".json"]
    if len(files) != 1:
        names = ", ".join(str(file.relative_to(root)) for file in files) or "none"
        raise DataError(DataProblem(str(root), "folder", f"does not hold one annotation file ({names}): name it"))
    return files[0]


def _find_images(file: Path, first: str) -> Path:
    """Find the folder that holds the first image, among the places that the known data sets use."""
    split = re.sub("^(instances|annotations)_", "", file.stem)
    for root in (file.parent, file.parent.parent):
        for name in (split, f"{split}/JPEGImages", "JPEGImages", "images", "."):
            # Path.is_file() raises for names that no file can have.
            if first and os.path.isfile(root / name / first):
                return root / name
    return file.parent


def _pack(entries: list[Entry]) -> list[bytes]:
    """Pickle each entry, so that it is unpacked only when it is read.

    Merely looking at millions of small objects would make a forked loader process copy them, memory and all.
    """
    return [pickle.dumps(entry, pickle.HIGHEST_PROTOCOL) for entry in entries]
