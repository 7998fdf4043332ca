"""YouTube-VIS JSON: ground truth and results, with amodal masks in parallel keys."""

from __future__ import annotations

import json
import reprlib
import sys
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.annotation_file import annotation_name
from ..data.json_file import side, value_of
from ..data.labels import Labels
from ..data.masks import EmptyRingError, parse_mask
from ..data.problems import DataError, DataProblem, ProblemLog, RecordError
from ..files.atomic import write_text
from ..masks.coco import Rle, RleMask, compress, encode, first_broken
from .instances import Kind, Masks, TrackRecord, VideoInfo, VideoTracks, mask_areas, mask_boxes
from .json_records import Span, scan_records

KEYS: dict[Kind, str] = {"visible": "segmentations", "amodal": "amodal_segmentations"}
_BOX_KEYS: dict[Kind, str] = {"visible": "bboxes", "amodal": "amodal_bboxes"}
_AREA_KEYS: dict[Kind, str] = {"visible": "areas", "amodal": "amodal_areas"}
# Frames of a video. A longer one is a broken record; reading it would allocate memory for every frame.
MAX_LENGTH = 1_000_000


class _TrackFile:
    """Tracks of a JSON file by video; only their byte ranges are kept in memory."""

    def __init__(self, path: str | Path, problems: ProblemLog) -> None:
        self.path = str(path)
        self.problems = problems
        self.kinds: frozenset[Kind] = frozenset()
        self._spans: dict[int, list[tuple[str, Span]]] = {}
        self._dropped: list[str] = []  # Names of the masks that are left out of the record being read, for the message.

    def read(self, video: VideoInfo) -> VideoTracks:
        found: dict[int, TrackRecord] = {}
        for number, (name, span) in enumerate(self._spans.get(video.video_id, ()), 1):
            with self.problems.skipping(self.path, name):
                self._dropped.clear()
                track = self._track(span.read(self.path), video, number)
                for message in self._dropped:
                    self.problems.report(DataProblem(self.path, name, message))
                if track is None:
                    continue
                if track.track_id in found:
                    raise RecordError(f"has the id {track.track_id} of another track of video {video.video_id}")
                found[track.track_id] = track
        return VideoTracks(video, list(found.values()))

    def _track(self, record: Any, video: VideoInfo, number: int) -> TrackRecord | None:
        raise NotImplementedError

    def _note(self, name: str, span: Span, record: Any) -> None:
        with self.problems.skipping(self.path, name):
            self._spans.setdefault(value_of(record, "video_id", int), []).append((name, span))
            self.kinds |= {kind for kind, key in KEYS.items() if _any_mask(record.get(key))}

    def _masks(self, record: Any, kind: Kind, video: VideoInfo) -> Masks | None:
        values = record.get(KEYS[kind])
        if values is None:
            return None
        if not isinstance(values, list) or len(values) != video.length:
            count = len(values) if isinstance(values, list) else type(values).__name__
            raise RecordError(f"{KEYS[kind]} holds {count}, not one mask for each of {video.length} frames")
        masks: list[Rle | None] = []
        try:
            masks.extend(self._parsed(value, video, f"{kind} mask of frame {t}") for t, value in enumerate(values))
        except RecordError as error:
            raise RecordError(f"{kind} mask of frame {len(masks)}: {error}") from None
        # pycocotools reads out of bounds when run lengths do not add up.
        present = [t for t, mask in enumerate(masks) if mask is not None]
        broken = first_broken([mask["counts"] for mask in masks if mask is not None], video.height * video.width)
        if broken is not None:
            raise RecordError(f"{kind} mask of frame {present[broken]}: broken RLE: its runs do not cover the frame")
        return masks

    def _parsed(self, value: Any, video: VideoInfo, name: str) -> Rle | None:
        """Convert a mask to what pycocotools takes.

        None for an absent mask and for an empty polygon, which is reported.
        """
        try:
            return _parsed(value, video)
        except EmptyRingError as error:
            self._dropped.append(f"{name}: {error}")
            return None


class YtvisGroundTruth(_TrackFile):
    """A YouTube-VIS annotation file, optionally with `amodal_segmentations`.

    Args:
        path: path of the JSON file.
        problems: log to which broken videos and annotations are reported.
    """

    def __init__(self, path: str | Path, problems: ProblemLog) -> None:
        super().__init__(path, problems)
        self.categories: dict[int, str] = {}
        self.videos: list[VideoInfo] = []
        known: set[int] = set()
        records: list[tuple[VideoInfo, Mapping[str, Any]]] = []
        of_all: dict[str, Any] = {}
        for position, (key, span, value) in enumerate(scan_records(path)):
            if key == "videos":
                with problems.skipping(self.path, f"video {position}"):
                    video = _video(value)
                    if video.video_id in known:
                        raise RecordError(f"has the id {video.video_id} of another video")
                    known.add(video.video_id)
                    records.append((video, value))
            elif key == "categories":
                with problems.skipping(self.path, f"category {position}"):
                    self.categories[value_of(value, "id", int)] = value_of(value, "name", str)
            elif key == "annotations":
                self._note(annotation_name(value, position), span, value)
            elif key == "labelled":
                of_all.setdefault("labelled", []).append(value)
        # Categories may come after the videos that name them.
        ids = {name: number for number, name in self.categories.items()}
        for video, record in records:
            with problems.skipping(self.path, f"video {video.video_id}"):
                labelled = Labels.parse(record, list(ids)).over(Labels.parse(of_all, list(ids))).labelled
                numbers = None if labelled is None else tuple(ids[name] for name in labelled)
                self.videos.append(replace(video, labelled=numbers))
        if not self.videos:
            raise DataError(DataProblem(self.path, "file", "lists no usable video: is it a YouTube-VIS ground truth?"))
        for video_id in self._spans.keys() - known:
            name = self._spans[video_id][0][0]
            problems.report(DataProblem(self.path, name, f"video_id {video_id} is not among the videos"))

    def _track(self, record: Any, video: VideoInfo, number: int) -> TrackRecord:
        class_id = value_of(record, "category_id", int)
        if class_id not in self.categories:
            raise RecordError(f"category_id {class_id} is not among the categories")
        crowd = record.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise RecordError(f"iscrowd is {crowd!r}, not 0 or 1")
        visible = self._masks(record, "visible", video)
        if visible is None:
            raise RecordError(f"has no {KEYS['visible']}")
        return TrackRecord(
            track_id=value_of(record, "id", int),
            class_id=class_id,
            visible=visible,
            amodal=self._masks(record, "amodal", video),
            crowd=bool(crowd),
        )


class YtvisResults(_TrackFile):
    """YouTube-VIS results: a list of tracks, or an object with such a list under `annotations`.

    Args:
        path: path of the JSON file.
        problems: log to which broken records are reported.
    """

    def __init__(self, path: str | Path, problems: ProblemLog) -> None:
        super().__init__(path, problems)
        self._own_names: dict[int, str] = {}
        # Categories of the results: as the records name them, and the first record that does.
        self._categories: dict[tuple[int, str | None], str] = {}
        self._shapes: dict[int, set[_Shape]] = {}
        self._class_ids: dict[str, int] = {}
        for count, (key, span, value) in enumerate(scan_records(path)):
            if key in ("", "annotations"):
                self._note(f"result {count}", span, value)
            elif key == "categories":
                with problems.skipping(self.path, f"category {count}"):
                    self._own_names[value_of(value, "id", int)] = value_of(value, "name", str)

    def match(self, truth: YtvisGroundTruth) -> None:
        """Match the results with the ground truth's videos and categories.

        Categories are matched by name where results have names (`category_name`, or `categories` in the file), by ID
        where they have none. Results of other videos, and of classes that the ground truth does not have, are reported
        and left out.

        Raises:
            DataError: if no category has an ID, or no result has the ID, length and size of a video.
        """
        self._match_categories(truth)
        self._match_videos({video.video_id: video for video in truth.videos})

    def _note(self, name: str, span: Span, record: Any) -> None:
        super()._note(name, span, record)
        if isinstance(record, dict):
            category, video = record.get("category_id"), record.get("video_id")
            if isinstance(category, int) and not isinstance(category, bool) and not abs(category) >> 63:
                self._categories.setdefault((category, _text_of(record.get("category_name"))), name)
            if isinstance(video, int):
                self._shapes.setdefault(video, set()).add(_shape_of(record))

    def _match_categories(self, truth: YtvisGroundTruth) -> None:
        self._class_ids = {name: number for number, name in reversed(truth.categories.items())}
        there = ", ".join(f"{number} ({name})" for number, name in sorted(truth.categories.items()))
        for (number, own), record in self._categories.items():
            name = own or self._own_names.get(number)
            if name is None and number not in truth.categories:
                message = (
                    f"category_id {number} is not among the ground truth's, {there}; write these ids, or the names "
                    "as category_name"
                )
                raise DataError(DataProblem(self.path, record, message))
            if name is not None and name not in self._class_ids:
                message = f"category {name!r} is not among the ground truth's, {there}: its results are left out"
                self.problems.report(DataProblem(self.path, record, message))

    def _match_videos(self, videos: Mapping[int, VideoInfo]) -> None:
        found = self._spans.keys()
        if found and (found.isdisjoint(videos) or _is_shifted(found, videos.keys())):
            there, here = (", ".join(map(str, sorted(ids)[:5])) for ids in (videos, found))
            message = f"are {here}, ..., and {there}, ... in the ground truth; write the ground truth's"
            raise DataError(DataProblem(self.path, "video_ids", message))
        for video_id in found - videos.keys():
            name = self._spans[video_id][0][0]
            self.problems.report(DataProblem(self.path, name, f"video_id {video_id} is not in the ground truth"))
        misfits = {
            number: video
            for number, video in videos.items()
            if number in self._shapes and not any(shape.fits(video) for shape in self._shapes[number])
        }
        if misfits and len(misfits) == len(videos.keys() & self._shapes.keys()):
            number, video = next(iter(misfits.items()))
            expected = f"{video.length} frames of {video.width}x{video.height}"
            message = (
                f"have {next(iter(self._shapes[number]))} in video {number}, which has {expected} in the ground truth"
            )
            raise DataError(DataProblem(self.path, "results", f"{message}; score with the truth of the same frames"))

    def _track(self, record: Any, video: VideoInfo, number: int) -> TrackRecord | None:
        amodal_score = record.get("amodal_score")
        category = value_of(record, "category_id", int)
        name = _text_of(record.get("category_name")) or self._own_names.get(category)
        class_id = category if name is None else self._class_ids.get(name)
        track = TrackRecord(
            track_id=value_of(record, "track_id", int) if "track_id" in record else number,
            class_id=category if class_id is None else class_id,
            score=_score(record.get("score", 1.0)),
            amodal_score=None if amodal_score is None else _score(amodal_score),
            visible=self._masks(record, "visible", video),
            amodal=self._masks(record, "amodal", video),
        )
        return None if class_id is None else track


def _is_shifted(found: Set[int], videos: Set[int]) -> bool:
    """Whether videos are numbered by one less or one more than the ground truth's.

    Nearly all IDs then exist and belong to other videos. It shows where every video has results, or where one side
    numbers from 0 and the other does not; videos without results have no ID.
    """
    down, up = {number + 1 for number in found}, {number - 1 for number in found}
    if len(found) > 1 and found != videos and (down == videos or up == videos):
        return True
    from_zero = 0 in found and 0 not in videos and down <= videos
    return from_zero or (0 in videos and 0 not in found and not found <= videos and up <= videos)


@dataclass(frozen=True)
class _Shape:
    """Size of a video according to a result: number of frames, and size of its first mask (None where it has none)."""

    lengths: frozenset[int]
    size: tuple[int, int] | None

    def fits(self, video: VideoInfo) -> bool:
        return self.lengths <= {video.length} and self.size in (None, (video.height, video.width))

    def __str__(self) -> str:
        size = "" if self.size is None else f" of {self.size[1]}x{self.size[0]}"
        return f"{' and '.join(map(str, sorted(self.lengths)))} frames{size}"


def _shape_of(record: Mapping[str, Any]) -> _Shape:
    lists = [masks for key in KEYS.values() if isinstance(masks := record.get(key), list)]
    sizes = (mask.get("size") for masks in lists for mask in masks if isinstance(mask, dict))
    size = next((tuple(size) for size in sizes if isinstance(size, list) and len(size) == 2), None)
    whole = size is not None and all(isinstance(side, int) for side in size)
    return _Shape(frozenset(map(len, lists)), (size[0], size[1]) if whole and size is not None else None)


def _text_of(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def ground_truth_record(track: TrackRecord, video: VideoInfo, annotation_id: int) -> dict[str, Any]:
    """Return a track as an annotation, with the keys that TrackEval and other readers of the format require."""
    record: dict[str, Any] = {
        "id": annotation_id,
        "video_id": video.video_id,
        "category_id": track.class_id,
        "iscrowd": int(track.crowd),
        "height": video.height,
        "width": video.width,
        "length": video.length,
    }
    for kind, key in KEYS.items():
        masks = track.masks(kind)
        if masks is not None:
            areas, boxes = mask_areas(masks), mask_boxes(masks)
            record[key] = json_masks(masks)
            record[_BOX_KEYS[kind]] = [None if np.isnan(box[0]) else box.tolist() for box in boxes]
            record[_AREA_KEYS[kind]] = [int(area) or None for area in areas]
    return record


def result_record(track: TrackRecord, video: VideoInfo) -> dict[str, Any]:
    """Return a track as an entry of a results file."""
    record: dict[str, Any] = {
        "video_id": video.video_id,
        "track_id": track.track_id,
        "category_id": track.class_id,
        "score": track.score,
    }
    if track.amodal_score is not None:
        record["amodal_score"] = track.amodal_score
    for kind, key in KEYS.items():
        masks = track.masks(kind)
        record[key] = [None] * video.length if masks is None else json_masks(masks)
    return record


def ground_truth_document(
    videos: Iterable[VideoInfo], categories: Mapping[int, str], annotations: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a whole annotation file."""

    def labelled(video: VideoInfo) -> dict[str, list[str]]:
        return {} if video.labelled is None else {"labelled": [categories[number] for number in video.labelled]}

    return {
        "info": {},
        "licenses": [],
        "videos": [
            {
                "id": video.video_id,
                "height": video.height,
                "width": video.width,
                "length": video.length,
                "file_names": [f"{video.name}/{t:05d}.jpg" for t in range(video.length)],
                **labelled(video),
            }
            for video in videos
        ],
        "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in categories.items()],
        "annotations": annotations,
    }


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file atomically: it appears complete or not at all."""
    write_text(path, json.dumps(content))


def json_masks(masks: Masks) -> list[dict[str, Any] | None]:
    """Return masks as JSON holds them: text instead of bytes, null for an empty mask."""
    return [
        None if mask is None or not area else {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}
        for mask, area in zip(masks, mask_areas(masks).tolist(), strict=True)
    ]


def _video(value: Any) -> VideoInfo:
    files = value.get("file_names") if isinstance(value, dict) else None
    length = len(files) if isinstance(files, list) and files else value_of(value, "length", int)
    if not 1 <= length <= MAX_LENGTH:
        raise RecordError(f"length is {length}, not 1 to {MAX_LENGTH}")
    number = value_of(value, "id", int)
    first = files[0] if isinstance(files, list) and files else ""
    name = first.split("/")[0] if isinstance(first, str) and "/" in first else str(number)
    return VideoInfo(number, name, length, side(value, "height"), side(value, "width"))


def _score(value: Any) -> float:
    # The comparison is exact, also for integers that no float can hold, and false for NaN.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and abs(value) <= sys.float_info.max):
        raise RecordError(f"score is {reprlib.repr(value)}, not a finite number")
    return float(value)


def _any_mask(values: Any) -> bool:
    return isinstance(values, list) and any(values)


def _parsed(value: Any, video: VideoInfo) -> Rle | None:
    """Convert a mask to what pycocotools takes, compressed but not yet checked; None for an absent or empty one."""
    if value is None:
        return None
    mask = parse_mask(value, video.height, video.width)
    if mask is None:
        return None
    if not isinstance(mask, RleMask):
        return encode(mask.decode())
    if isinstance(mask.counts, bytes):
        return {"size": [video.height, video.width], "counts": mask.counts}
    return compress(mask.runs().tolist(), video.height, video.width)
