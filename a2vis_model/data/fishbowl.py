"""FISHBOWL, and everything rendered in its layout.

Merged:      <split>/[final/]<VID>/{video.mp4, objects.json, object<K>/objects.json}
Un-merged:   <split>_data/{<split>/<VID>/objects.json, <split>_objects/<VID>_object<ID>/objects.json} and
             <split>_frames/<VID>/*.png there or one folder up, else <VID>/video.mp4
"""

from __future__ import annotations

import json
import re
import reprlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files.atomic import write_text
from ..files.images import frame_files, visible_files
from ..files.regular import read_regular
from .dataset import Dataset
from .frames import FrameSource, ImageFiles, VideoFile
from .json_file import read_json, value_of
from .masks import parse_masks
from .problems import DataError, DataProblem, ProblemLog, RecordError
from .video import MaskTrack, ObjectTrack, VideoRecord

FISHBOWL_CLASSES = ("SmallFishA", "MediumFishA", "MediumFishB", "BigFishA", "BigFishB")
# JSON list of class names, beside the videos or one folder up, of data sets with other classes than FISHBOWL's.
CLASSES_FILE = "classes.json"


@dataclass(frozen=True)
class Layout:
    """Folders of the parts of a split; parts without folders of their own are inside the folders of the videos."""

    clips: Path
    objects: Path | None = None
    frames: Path | None = None


def find_layout(path: str | Path) -> Layout | None:
    """Return the FISHBOWL layout at this folder; None if there is none."""
    root = Path(path)
    for clips in (root / "final", root):
        if any((clip / "objects.json").is_file() for clip in _folders(clips)):
            split = clips.name
            objects = clips.parent / f"{split}_objects"
            if not objects.is_dir():
                return Layout(clips)
            frames = (clips.parent / f"{split}_frames", clips.parent.parent / f"{split}_frames")
            return Layout(clips, objects, next((folder for folder in frames if folder.is_dir()), None))
    # The folder above an un-merged split, <split>_data, names the split as well.
    inner = [folder for folder in _folders(root) if (root / f"{folder.name}_objects").is_dir()]
    return find_layout(inner[0]) if len(inner) == 1 else None


def holds_splits(path: Path) -> bool:
    """Whether a folder is a split, or holds splits; the loader then says which to name."""
    return path.is_dir() and any(find_layout(folder) is not None for folder in (path, *path.iterdir()))


def folders_beside(path: Path) -> list[Path]:
    """The folders of objects and of frames that an un-merged split has."""
    layout = find_layout(path)
    return [] if layout is None else [folder for folder in (layout.objects, layout.frames) if folder is not None]


def open_fishbowl(
    path: str | Path, classes: Sequence[str] | None = None, *, problems: ProblemLog | None = None
) -> FishbowlDataset:
    """Open one split.

    Args:
        path: the folder of the split.
        classes: classes to load, in this order; objects of others are left out, and classes may be added that the split
            does not hold. Without it, the classes in `classes.json`, else FISHBOWL's five.
        problems: log to which broken videos and objects are reported.
    """
    return FishbowlDataset(path, classes, problems)


def found_classes(path: str | Path) -> tuple[str, ...]:
    """Return FISHBOWL's classes followed by the other classes of a split, sorted; empty for other data sets."""
    layout = find_layout(path)
    if layout is None:
        return ()
    return (*FISHBOWL_CLASSES, *sorted(set(_named_classes(layout)).difference(FISHBOWL_CLASSES)))


class FishbowlDataset(Dataset):
    """One split in FISHBOWL's layout (see `open_fishbowl`)."""

    format = "fishbowl"

    def __init__(self, path: str | Path, classes: Sequence[str] | None, problems: ProblemLog | None) -> None:
        super().__init__(path, problems)
        layout = find_layout(path)
        if layout is None:
            splits = [folder.name for folder in _folders(Path(path)) if find_layout(folder)]
            remedy = f": name one of its splits, {', '.join(splits)}" if splits else ""
            raise DataError(DataProblem(str(path), "folder", f"holds no clips in the FISHBOWL layout{remedy}"))
        self.names = [folder.name for folder in _folders(layout.clips)]
        declared = _declared_classes(layout.clips) or FISHBOWL_CLASSES
        self.classes = tuple(classes) if classes else declared
        self._known_classes = {*declared, *self.classes}
        self._layout = layout
        self._objects = _unmerged_objects(layout.objects)
        self.has_amodal = bool(self._objects) or any(_object_folders(layout.clips / name) for name in self.names)

    def class_names(self) -> Iterator[str]:
        """Yield the class of every object in the split; names repeat."""
        return _named_classes(self._layout)

    def video_classes(self) -> Iterator[Mapping[int, float]]:
        """Yield the classes and sizes of each video's objects (see `Dataset.video_classes`)."""
        for name in self.names:
            found = set(_classes_in(self._layout.clips / name / "objects.json"))
            yield {self.classes.index(class_name): 1.0 for class_name in found.intersection(self.classes)}

    def _read(self, index: int) -> VideoRecord:
        name = self.names[index]
        file = str(self._layout.clips / name / "objects.json")
        entries = read_json(file)
        if not isinstance(entries, list):
            raise DataError(DataProblem(file, "file", "is not a list of objects"))
        source = self._source(name)
        amodal = self._amodal_tracks(name, source)
        tracks: dict[int, ObjectTrack] = {}
        listed = set()
        for position, entry in enumerate(entries):
            known = isinstance(entry, dict) and "id" in entry
            record = f"object {reprlib.repr(entry['id'])}" if known else f"entry {position}"
            with self.problems.skipping(file, record):
                object_id = value_of(entry, "id", int)
                if object_id in listed:
                    raise RecordError("has the id of another object")
                listed.add(object_id)
                class_name = value_of(entry, "type_name", str)
                if class_name not in self._known_classes:
                    raise RecordError(f"unknown class {class_name!r}; the classes are {', '.join(self.classes)}")
                if class_name not in self.classes:
                    continue
                visible = self._mask_track("visible", file, record, entry, source)
                if self.has_amodal and object_id not in amodal:
                    raise RecordError("has no amodal masks")
                whole = amodal.get(object_id)
                if whole is not None or not self.has_amodal:
                    class_id = self.classes.index(class_name)
                    tracks[object_id] = ObjectTrack(object_id, class_id, visible, whole)
        for object_id in amodal.keys() - listed:
            self.problems.report(DataProblem(file, f"object {object_id}", "has amodal masks and no visible ones"))
        return VideoRecord(name, self.classes, source, tuple(tracks.values()), self.has_amodal, self.problems)

    def _source(self, name: str) -> FrameSource:
        clip = self._layout.clips / name
        video = clip / "video.mp4"
        images = self._layout.frames / name if self._layout.frames else clip / "frames"
        if images.is_dir() and (self._layout.frames or not video.is_file()):
            return ImageFiles.probe(_numbered_images(images))
        return VideoFile.probe(str(video))

    def _amodal_tracks(self, name: str, source: FrameSource) -> dict[int, MaskTrack | None]:
        """Return the amodal masks of a video by object.

        None for an object whose masks are broken, which is reported.
        """
        tracks: dict[int, MaskTrack | None] = {}
        for folder in self._objects.get(name, _object_folders(self._layout.clips / name)):
            file = str(folder / "objects.json")
            with self.problems.skipping(file, folder.name):
                entries = read_json(file)
                if not isinstance(entries, list) or len(entries) != 1:
                    raise RecordError("is not a list of one object")
                object_id = value_of(entries[0], "id", int)
                if object_id in tracks:
                    raise RecordError(f"object {object_id} has amodal masks already")
                tracks[object_id] = None
                tracks[object_id] = self._mask_track("amodal", file, f"object {object_id}", entries[0], source)
        return tracks

    def _mask_track(self, kind: str, file: str, record: str, entry: object, source: FrameSource) -> MaskTrack:
        size = (source.height, source.width)

        def report(message: str) -> None:
            self.problems.report(DataProblem(file, record, message))

        values = value_of(entry, "masks", list)
        masks = parse_masks(kind, values, source.length, *size, null_allowed=False, report=report)
        return MaskTrack(kind, file, record, *size, masks)


def declare_classes(clips: Path, classes: Sequence[str]) -> None:
    """Add to the classes that are declared beside videos, so that no reader takes them for FISHBOWL's five.

    Args:
        clips: folder of the videos, which need not hold any yet.
        classes: classes of the videos that are added to it.
    """
    known = _declared_classes(clips) or found_classes(clips)
    names = (*known, *(name for name in classes if name not in known))
    if not set(names) <= set(FISHBOWL_CLASSES):
        write_text(clips / CLASSES_FILE, json.dumps(names) + "\n")


def _declared_classes(clips: Path) -> tuple[str, ...]:
    for file in (clips / CLASSES_FILE, clips.parent / CLASSES_FILE):
        if file.is_file():
            names = read_json(file)
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise DataError(DataProblem(str(file), "file", "is not a list of class names"))
            return tuple(names)
    return ()


def _named_classes(layout: Layout) -> Iterator[str]:
    """Yield the class of each object of the videos, reading one video at a time."""
    for clip in _folders(layout.clips):
        yield from _classes_in(clip / "objects.json")


def _classes_in(file: Path) -> list[str]:
    """Return the classes of the objects of a video; empty where the file cannot be read."""
    try:
        text = read_regular(file).decode("utf-8", "replace")
    except OSError:
        return []
    # A search of the text is far faster than parsing all the masks around it.
    return re.findall(r'"type_name":\s*"([^"\\]+)"', text)


def _numbered_images(folder: Path) -> list[str]:
    """List the images of a folder in the order of their numbers, none of which may be missing or occur twice."""
    images: dict[int, Path] = {}
    for file in frame_files(folder):
        if file.stem.isdecimal() and images.setdefault(int(file.stem), file) != file:
            raise DataError(DataProblem(str(file), f"frame {int(file.stem)}", f"is {images[int(file.stem)].name} too"))
    if not images:
        raise DataError(DataProblem(str(folder), "frames", "holds no numbered images"))
    for number in range(min(images), max(images)):
        if number not in images:
            raise DataError(DataProblem(str(folder), f"frame {number}", "is missing"))
    return [str(images[number]) for number in sorted(images)]


def _folders(path: Path) -> list[Path]:
    return [child for child in visible_files(path) if child.is_dir()] if path.is_dir() else []


def _object_folders(clip: Path) -> list[Path]:
    return [folder for folder in _folders(clip) if re.fullmatch(r"object\d+", folder.name)]


def _unmerged_objects(folder: Path | None) -> dict[str, list[Path]]:
    """Group the folders of amodal masks by video."""
    objects: dict[str, list[Path]] = defaultdict(list)
    for child in _folders(folder) if folder else []:
        if match := re.fullmatch(r"(.+)_object\d+", child.name):
            objects[match[1]].append(child)
    return dict(objects)
