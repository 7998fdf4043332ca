"""Images with amodal masks in COCO's JSON format: KINS, COCOA, D2SA and data sets derived from them; and plain COCO.

`segmentation` (KINS 2020: `a_segm`) is the amodal mask. Where no annotation of an image file has a visible mask
beside it, the file is plain COCO and `segmentation` is the visible mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .annotation_file import Annotation, AnnotationFile, Entry, annotation_name, find_annotations
from .json_file import side, value_of
from .masks import parse_mask
from .problems import ProblemLog, RecordError
from .video import MaskTrack, ObjectTrack

VISIBLE_KEYS = ("inmodal_seg", "i_segmentation", "i_segm", "visible_mask")
OMITS_IF_WHOLE = frozenset({"regions", "visible_mask"})  # COCOA has no visible mask where nothing hides an object.
THING = 1  # Category of all objects in COCOA's original files.


def open_amodal_coco(
    path: str | Path,
    classes: Sequence[str] | None = None,
    *,
    images: str | Path | None = None,
    problems: ProblemLog | None = None,
    document: object = None,
    labels: str | Path | None = None,
) -> AmodalCocoFile:
    """Open a JSON file, or the folder of one.

    Args:
        path: the JSON file, or a folder that holds exactly one.
        classes: classes to load, in this order; objects of others are left out. Without it, the categories of the file
            in the order of their IDs. COCOA's original files have no categories: all their things are of the class
            "object".
        images: folder of the images, if it is not where the known data sets keep theirs.
        problems: log to which broken annotations are reported.
        document: content of the file, if the caller has already read it.
        labels: labels file (see `labels`) used instead of the one beside the annotations.
    """
    return AmodalCocoFile(find_annotations(path), images, classes, problems, document, labels)


class AmodalCocoFile(AnnotationFile):
    """Amodal COCO file (see `open_amodal_coco`); every image is a video of length one."""

    format = "coco"
    _owner_key = "image_id"
    _amodal_keys = frozenset({"regions", *VISIBLE_KEYS})

    def _categories(self, document: Annotation) -> Iterator[tuple[int, str]]:
        yield from super()._categories(document) if document.get("categories") else [(THING, "object")]

    def _owners(self, document: Annotation) -> Iterator[tuple[int, Entry, int]]:
        for position, image in enumerate(self._listed(document, "images")):
            with self.problems.skipping(self.path, f"image {position}"):
                number = value_of(image, "id", int)
                files = (self._inside(value_of(image, "file_name", str)),)
                labels = self._labels(image)
                yield number, Entry(str(number), side(image, "height"), side(image, "width"), files, labels), 0

    def _contents(self, entry: Entry) -> dict[int, float]:
        thing = self._class_ids.get(THING)
        if thing is not None and any("regions" in annotation for _, annotation in entry.annotations):
            return {thing: 1.0}
        return super()._contents(entry)

    def _tracks(self, entry: Entry) -> Iterator[ObjectTrack]:
        regions = 0
        for _, annotation in entry.annotations:
            record = annotation_name(annotation)
            with self.problems.skipping(self.path, record):
                if "regions" not in annotation:
                    class_id = self._class_id(annotation)
                    if class_id is not None:
                        yield self._track(value_of(annotation, "id", int), class_id, record, annotation, entry)
                    continue
                # COCOA as published: one annotation lists all objects of an image and the stuff between them.
                for number, region in enumerate(value_of(annotation, "regions", list)):
                    part = f"{record}, region {number}"
                    with self.problems.skipping(self.path, part):
                        if not isinstance(region, dict):
                            raise RecordError("is not an object with fields")
                        class_id = self._class_ids.get(THING)
                        if class_id is not None and not region.get("isStuff"):
                            yield self._track(regions + number, class_id, part, region, entry)
                regions += len(annotation["regions"])

    def _track(self, object_id: int, class_id: int, record: str, masks: Annotation, entry: Entry) -> ObjectTrack:
        def track(kind: str, key: str) -> MaskTrack:
            size = (entry.height, entry.width)
            try:
                mask = parse_mask(value_of(masks, key, object), *size)
            except RecordError as error:
                raise RecordError(f"{key}: {error}") from None
            return MaskTrack(kind, self.path, record, *size, (mask,))

        whole = "a_segm" if "a_segm" in masks else "segmentation"
        seen = next((key for key in VISIBLE_KEYS if key in masks), None)
        if not self._has_amodal(entry):
            return ObjectTrack(object_id, class_id, track("visible", seen or whole), None)
        if seen is None and self._keys.isdisjoint(OMITS_IF_WHOLE):
            raise RecordError(f"has no visible mask, by any name ({', '.join(VISIBLE_KEYS)})")
        return ObjectTrack(object_id, class_id, track("visible", seen or whole), track("amodal", whole))
