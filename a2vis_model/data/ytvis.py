"""YouTube-VIS and OVIS, optionally with amodal masks.

The amodal masks are in keys parallel to the visible ones, `amodal_segmentations` and `amodal_bboxes`, which other
readers of the format ignore. Null stands for an absent object in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .annotation_file import Annotation, AnnotationFile, Entry, annotation_name, find_annotations
from .json_file import side, value_of
from .masks import parse_masks
from .problems import DataProblem, ProblemLog, RecordError
from .video import MaskTrack, ObjectTrack


def open_ytvis(
    path: str | Path,
    classes: Sequence[str] | None = None,
    *,
    images: str | Path | None = None,
    problems: ProblemLog | None = None,
    document: object = None,
    labels: str | Path | None = None,
) -> YtvisFile:
    """Open a JSON file, or the folder of one.

    Args:
        path: the JSON file, or a folder that holds exactly one.
        classes: classes to load, in this order; objects of others are left out. Without it, the categories of the file
            in the order of their IDs.
        images: folder of the images, if it is not where the known data sets keep theirs.
        problems: log to which broken videos and annotations are reported.
        document: content of the file, if the caller has already read it.
        labels: labels file (see `labels`) used instead of the one beside the annotations.
    """
    return YtvisFile(find_annotations(path), images, classes, problems, document, labels)


class YtvisFile(AnnotationFile):
    """YouTube-VIS or OVIS file (see `open_ytvis`)."""

    format = "ytvis"
    _owner_key = "video_id"
    _amodal_keys = frozenset({"amodal_segmentations"})

    def _owners(self, document: Annotation) -> Iterator[tuple[int, Entry, int]]:
        for position, video in enumerate(self._listed(document, "videos")):
            with self.problems.skipping(self.path, f"video {position}"):
                number = value_of(video, "id", int)
                files = value_of(video, "file_names", list)
                if not files or not all(isinstance(file, str) for file in files):
                    raise RecordError("file_names is not a list of names")
                if video.get("length", len(files)) != len(files):
                    raise RecordError(f"names {len(files)} files for a length of {video['length']}")
                labels = self._labels(video)
                size = (side(video, "height"), side(video, "width"))
                yield number, Entry(str(number), *size, tuple(map(self._inside, files)), labels), 0

    def _tracks(self, entry: Entry) -> Iterator[ObjectTrack]:
        for _, annotation in entry.annotations:
            with self.problems.skipping(self.path, annotation_name(annotation)):
                class_id = self._class_id(annotation)
                if class_id is None:
                    continue
                visible = self._mask_track("visible", annotation, "segmentations", entry)
                amodal = None
                if self._has_amodal(entry):
                    amodal = self._mask_track("amodal", annotation, "amodal_segmentations", entry)
                yield ObjectTrack(value_of(annotation, "id", int), class_id, visible, amodal)

    def _mask_track(self, kind: str, annotation: Annotation, key: str, entry: Entry) -> MaskTrack:
        size, record = (entry.height, entry.width), annotation_name(annotation)

        def report(message: str) -> None:
            self.problems.report(DataProblem(self.path, record, message))

        values = value_of(annotation, key, list)
        masks = parse_masks(kind, values, len(entry.files), *size, null_allowed=True, report=report)
        return MaskTrack(kind, self.path, record, *size, masks)
