"""MOT Challenge text (boxes) and MOTS text (masks): one line per object and frame, one file per video.

MOT:  frame, id, left, top, width, height, confidence, class, visibility    frames from 1, pixels
MOTS: frame id class height width run-lengths                               class 10 is an ignore region
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ..data.problems import DataError, DataProblem, ProblemLog, RecordError
from ..files.atomic import write_text
from ..files.images import MAX_SIDE, visible_files
from ..masks import coco
from ..masks.coco import Rle, RleMask
from .instances import Kind, Role, TrackRecord, VideoInfo, VideoTracks, mask_areas, track_boxes
from .occlusion import occlusion_of
from .text_outline import SequenceInfo, TextOutline, read_text

Benchmark = Literal["MOT15", "MOT16", "MOT17", "MOT20"]
BENCHMARKS: tuple[Benchmark, ...] = get_args(Benchmark)

_PEDESTRIAN = 1
_CLASSES = range(1, 14)
_DISTRACTORS = frozenset({2, 7, 8, 12})  # Person on vehicle, static person, distractor, reflection.
_IGNORE_CLASS = 10
_MOTS_CLASSES = {1: "car", 2: "pedestrian"}


class TextTracks:
    """A folder of text files, one per video, or a single file.

    In a folder the file of a video is `<video>.txt`, `data/<video>.txt` or `<video>/gt/gt.txt`.

    Args:
        path: path of the folder, or of the file of a single video.
        problems: log to which broken files and lines are reported.
        masks: whether the files are MOTS text instead of MOT text.
        ground_truth: whether roles of objects, visibility and ignore regions are read.
        benchmark: benchmark whose rules MOT ground truth follows; MOT15 has no classes.
    """

    def __init__(
        self,
        path: str | Path,
        problems: ProblemLog,
        *,
        masks: bool,
        ground_truth: bool,
        benchmark: Benchmark = "MOT17",
    ) -> None:
        self.path = str(path)
        self.problems = problems
        self.benchmark = benchmark
        self.kinds: frozenset[Kind] = frozenset({"visible"}) if masks else frozenset()
        self._masks = masks
        self._ground_truth = ground_truth
        self._files = _find_files(Path(path))
        self._outlines = {name: TextOutline.of(file, masks=masks) for name, file in self._files.items()}
        self._stated = {
            name: SequenceInfo.beside(file, problems) if ground_truth else SequenceInfo()
            for name, file in self._files.items()
        }

    @property
    def categories(self) -> dict[int, str]:
        """Return the classes in the files, and those that may be, by category ID; MOT text has one class."""
        if not self._masks:
            return {_PEDESTRIAN: "pedestrian"}
        return {number: _class_name(number) for number in sorted(self._classes() | {*_MOTS_CLASSES})}

    def videos(self, others: TextTracks) -> list[VideoInfo]:
        """Return the videos.

        A video ends with the last frame in seqinfo.ini or, without it, in these files or in `others`; where it is in
        `others`, that is reported.
        """
        videos = []
        for number, name in enumerate(self._files, 1):
            length = self._stated[name].length
            if length is None:
                own, theirs = self._last_frame(name), others._last_frame(name)
                length = max(own, theirs, 1)
                if theirs > own:
                    message = (
                        f"frame is {theirs}, and the ground truth's last object is in frame {own}: it is not known "
                        f"whether the video goes on; state seqLength in {name}/seqinfo.ini beside {name}/gt/gt.txt"
                    )
                    line = others._outlines[name].frames[theirs]
                    others.problems.report(DataProblem(str(others._files[name]), f"line {line}", message))
            videos.append(VideoInfo(number, name, length, *(self._size(name) or ())))
        for name in others._files.keys() - self._files.keys():
            others.problems.report(DataProblem(str(others._files[name]), "file", "is not in the ground truth"))
        return videos

    def match(self, truth: TextTracks) -> None:
        """Compare results with what the ground truth states as a whole.

        Raises:
            DataError: results are of no video of the ground truth, number frames from 0, have a class that the ground
                truth does not have, or a file's masks all have another size than the ground truth's.
        """
        if self._files.keys().isdisjoint(truth._files):
            there, here = (", ".join(sorted(names)[:5]) for names in (truth._files, self._files))
            message = f"hold {here}, and the ground truth {there}; name each file after its video"
            raise DataError(DataProblem(self.path, "files", message))
        for name, file in self._files.items():
            if name not in truth._files:
                continue
            outline = self._outlines[name]
            length = truth._stated[name].length or truth._last_frame(name)
            if 0 in outline.frames and 0 not in truth._outlines[name].frames and outline.last_frame < length:
                message = "frame is 0, and the ground truth's first is 1; add 1 to every frame"
                raise DataError(DataProblem(str(file), f"line {outline.frames[0]}", message))
            size = truth._size(name)
            if self._masks and size is not None and outline.size_lines and size not in outline.size_lines:
                (height, width), line = next(iter(outline.size_lines.items()))
                message = (
                    f"a mask of {width}x{height} pixels, and the ground truth's are of {size[1]}x{size[0]}; write "
                    "masks of this size, or score with the truth of the same frames"
                )
                raise DataError(DataProblem(str(file), f"line {line}", message))
        if self._masks:
            self._match_classes(truth)

    def _match_classes(self, truth: TextTracks) -> None:
        known, there = truth.categories, truth._classes()
        found = self._classes()
        foreign = found - known.keys() or (found if there and found.isdisjoint(there) else set())
        names = ", ".join(f"{number} ({known[number]})" for number in sorted(there or known))
        for name, outline in self._outlines.items():
            for number, line in outline.classes.items():
                where = str(self._files[name]), f"line {line}"
                if number in foreign:
                    message = (
                        f"class {number} is not among the ground truth's, {names}; write these ids, and leave out "
                        "objects of other classes"
                    )
                    raise DataError(DataProblem(*where, message))
                if number == _IGNORE_CLASS:
                    message = "class 10 is the ground truth's for regions to ignore: results of it are left out"
                    self.problems.report(DataProblem(*where, message))

    def _classes(self) -> set[int]:
        """The classes that objects have in the files or may have by what is stated beside them."""
        lines = {number for outline in self._outlines.values() for number in outline.classes}
        return (lines | {number for stated in self._stated.values() for number in stated.classes}) - {_IGNORE_CLASS}

    def _last_frame(self, name: str) -> int:
        return self._outlines[name].last_frame if name in self._outlines else 0

    def _size(self, name: str) -> tuple[int, int] | None:
        """Height and width of a video's masks: that of most masks or, where there is none, of seqinfo.ini."""
        return (self._outlines[name].size or self._stated[name].size) if self._masks else None

    def read(self, video: VideoInfo) -> VideoTracks:
        """Read the tracks of a video; broken lines are reported and left out."""
        file = self._files.get(video.name)
        if file is None:
            self.problems.report(DataProblem(self.path, f"video {video.name}", "has no file: counts as no tracks"))
            return VideoTracks(video)
        return self._read_masks(file, video) if self._masks else self._read_boxes(file, video)

    def _read_boxes(self, file: Path, video: VideoInfo) -> VideoTracks:
        tracks: dict[int, TrackRecord] = {}
        scores: dict[int, list[float]] = defaultdict(list)
        for record, fields in self._lines(file, ","):
            with self.problems.skipping(str(file), record):
                numbers = _numbers(fields)
                if len(numbers) < 7 + self._ground_truth:
                    raise RecordError(f"has {len(numbers)} columns, not {7 + self._ground_truth} or more")
                frame, number = _frame(numbers[0], video), _whole(numbers[1], "id")
                if min(numbers[4:6]) <= 0:
                    raise RecordError(f"a box of {numbers[4]:g}x{numbers[5]:g} pixels; both sides are more than 0")
                if number not in tracks:
                    tracks[number] = TrackRecord(
                        track_id=number,
                        class_id=_PEDESTRIAN,
                        boxes=np.full((video.length, 4), np.nan),
                        roles=np.zeros(video.length, np.int8) if self._ground_truth else None,
                        visibility=np.ones(video.length) if self._ground_truth else None,
                    )
                track = tracks[number]
                assert track.boxes is not None
                if not np.isnan(track.boxes[frame, 0]):
                    raise RecordError(f"id {number} is in frame {frame + 1} already")
                role = self._role(numbers) if self._ground_truth else Role.COUNTED
                track.boxes[frame] = numbers[2:6]
                scores[number].append(numbers[6])
                if track.roles is not None and track.visibility is not None:
                    track.roles[frame] = role
                    track.visibility[frame] = np.clip(numbers[8], 0, 1) if len(numbers) > 8 else 1.0
        found = (replace(track, score=float(np.mean(scores[n]))) for n, track in tracks.items() if scores[n])
        return VideoTracks(video, list(found))

    def _role(self, numbers: list[float]) -> Role:
        """Return the role of a MOT row, as TrackEval prepares the benchmarks."""
        marked = int(numbers[6]) != 0
        if self.benchmark == "MOT15":
            return Role.COUNTED if marked else Role.DROPPED
        class_id = _whole(numbers[7], "class")
        if class_id not in _CLASSES:
            raise RecordError(
                f"class is {class_id}, not 1 to 13 as in {self.benchmark}; --mot-benchmark MOT15 has none"
            )
        if class_id in _DISTRACTORS or (self.benchmark == "MOT20" and class_id == 6):
            return Role.IGNORED
        return Role.COUNTED if marked and class_id == _PEDESTRIAN else Role.DROPPED

    def _read_masks(self, file: Path, video: VideoInfo) -> VideoTracks:
        regions: dict[int, list[Rle]] = defaultdict(list)
        masks: dict[tuple[int, int], list[Rle | None]] = {}
        covered: dict[int, Rle] = {}
        for record, fields in self._lines(file, " "):
            with self.problems.skipping(str(file), record):
                if len(fields) < 6:
                    raise RecordError(f"has {len(fields)} columns, not 6")
                frame_number, number, class_id, height, width = _numbers(fields[:5])
                frame = _frame(frame_number, video)
                rle = _rle(fields[5], _whole(height, "height"), _whole(width, "width"))
                if video.height and rle["size"] != [video.height, video.width]:
                    whose = "the file's other masks" if self._ground_truth else "the ground truth's masks"
                    raise RecordError(f"a mask of size {width:g}x{height:g}; {whose} have {video.width}x{video.height}")
                _claim(covered, frame, rle)
                if self._ground_truth and class_id == _IGNORE_CLASS:
                    regions[frame].append(rle)
                    continue
                track = masks.setdefault((_whole(number, "id"), _whole(class_id, "class")), [None] * video.length)
                if track[frame] is not None:
                    raise RecordError(f"id {int(number)} is in frame {frame + 1} already")
                track[frame] = rle
        ignored = [coco.union(regions[t]) if t in regions else None for t in range(video.length)]
        return VideoTracks(
            video,
            [TrackRecord(track_id=number, class_id=c, visible=track) for (number, c), track in masks.items()],
            ignore_regions=ignored if regions else None,
        )

    def _lines(self, file: Path, separator: str) -> Iterator[tuple[str, list[str]]]:
        """Yield each line of a file as a name for messages and its columns."""
        try:
            text = read_text(file)
        except (OSError, UnicodeDecodeError) as error:
            problem = DataProblem(str(file), "file", f"cannot be read: {error}")
            if self._ground_truth:
                raise DataError(problem) from error
            self.problems.report(problem)
            return
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                fields = line.split(separator) if separator in line else line.split()
                yield f"line {number}", [field.strip() for field in fields if field.strip()]


def write_mot(
    folder: str | Path, video: VideoInfo, tracks: Iterable[TrackRecord], kind: Kind, *, ground_truth: bool
) -> None:
    """Write boxes around masks as `<video>.txt`, or for the ground truth as `<video>/gt/gt.txt` and `seqinfo.ini`.

    Every class is written as 1, the format's one class.
    """
    rows = []
    for track in tracks:
        boxes = track_boxes(track, kind)
        if boxes is None:
            continue
        occlusion = occlusion_of(track) if ground_truth else None
        hidden = np.zeros(len(boxes)) if occlusion is None else np.nan_to_num(occlusion)
        for t in np.flatnonzero(~np.isnan(boxes[:, 0])).tolist():
            box = ",".join(f"{value:g}" for value in boxes[t])
            end = f"{int(not track.crowd)},1,{1 - hidden[t]:.6f}" if ground_truth else f"{track.score:.6f},1,-1,-1,-1"
            rows.append((t, track.track_id, f"{t + 1},{track.track_id},{box},{end}\n"))
    _write(folder, video, "".join(row for _, _, row in sorted(rows)), ground_truth=ground_truth)


def write_mots(
    folder: str | Path,
    video: VideoInfo,
    tracks: Iterable[TrackRecord],
    *,
    ground_truth: bool,
    classes: Iterable[int] = (),
) -> None:
    """Write visible masks as MOTS text, in files named as those of `write_mot`.

    The format has no overlaps: where two masks meet, the pixels go to the track of the higher score. Its class 10 is
    reserved, so that classes from 10 on are written as 11 and so on. `classes` are those that results may have, also
    where the ground truth has no object of them; `seqinfo.ini` states them.
    """
    covered: dict[int, Rle] = {}
    rows = []
    for track in sorted(tracks, key=lambda track: -track.score):
        for t, mask in enumerate(track.visible or ()):
            free = None if mask is None else _without(mask, covered.get(t))
            if mask is None or free is None:
                continue
            covered[t] = coco.union([covered[t], free]) if t in covered else free
            height, width = mask["size"]
            text = f"{t + 1} {track.track_id} {_written(track.class_id)} {height} {width} {free['counts'].decode()}\n"
            rows.append((t, track.track_id, text))
    stated = ",".join(str(_written(number)) for number in classes)
    _write(folder, video, "".join(row for _, _, row in sorted(rows)), ground_truth=ground_truth, classes=stated)


def _written(class_id: int) -> int:
    return class_id + (class_id >= _IGNORE_CLASS)


def _write(folder: str | Path, video: VideoInfo, text: str, *, ground_truth: bool, classes: str = "") -> None:
    root = Path(folder)
    file = root / video.name / "gt" / "gt.txt" if ground_truth else root / f"{video.name}.txt"
    write_text(file, text)
    if ground_truth:
        lines = ["[Sequence]", f"name={video.name}", f"seqLength={video.length}"]
        lines += [f"imWidth={video.width}", f"imHeight={video.height}", *([f"classes={classes}"] if classes else [])]
        write_text(root / video.name / "seqinfo.ini", "\n".join([*lines, ""]))


def _without(mask: Rle, covered: Rle | None) -> Rle | None:
    """Return the part of a mask outside of another; None when nothing is left."""
    if covered is None:
        return mask if mask_areas([mask])[0] else None
    pixels = coco.decode(mask) & ~coco.decode(covered)
    return coco.encode(pixels) if pixels.any() else None


def _find_files(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise DataError(DataProblem(str(path), "folder", "does not exist; name a folder of text files"))
    files = {folder.name: folder / "gt" / "gt.txt" for folder in visible_files(path) if folder.is_dir()}
    found = {name: file for name, file in files.items() if file.is_file()}
    for folder in (path, path / "data"):
        texts = [file for file in visible_files(folder) if file.suffix == ".txt"] if folder.is_dir() else []
        found |= {file.stem: file for file in texts if file.stem not in found}
    if not found:
        raise DataError(DataProblem(str(path), "folder", "holds no <video>.txt and no <video>/gt/gt.txt"))
    return found


def _numbers(fields: list[str]) -> list[float]:
    try:
        numbers = [float(field) for field in fields]
    except ValueError as error:
        raise RecordError(f"holds something that is not a number: {error}") from None
    if not np.isfinite(numbers).all():
        raise RecordError("holds a number that is not finite")
    return numbers


def _class_name(number: int) -> str:
    return _MOTS_CLASSES.get(number, f"class {number}")


def _whole(value: float, name: str) -> int:
    if value != int(value) or abs(value) >= 1 << 53:
        raise RecordError(f"{name} is {value}, not a whole number")
    return int(value)


def _frame(value: float, video: VideoInfo) -> int:
    frame = _whole(value, "frame")
    if not 1 <= frame <= video.length:
        raise RecordError(f"frame is {frame}, not 1 to {video.length}")
    return frame - 1


def _rle(counts: str, height: int, width: int) -> Rle:
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise RecordError(f"a mask of {width}x{height} pixels")
    if not counts.isascii():
        raise RecordError("broken RLE: characters that are not part of one")
    RleMask(height, width, counts.encode()).runs()
    return {"size": [height, width], "counts": counts.encode()}


def _claim(covered: dict[int, Rle], frame: int, rle: Rle) -> None:
    """Note the pixels of a mask; as in TrackEval, the masks of a frame may not overlap."""
    if frame in covered:
        before = covered[frame]
        if before["size"] != rle["size"]:
            raise RecordError(f"size {rle['size']} where other masks of frame {frame + 1} have {before['size']}")
        if coco.areas([coco.intersection([before, rle])])[0]:
            raise RecordError(f"overlaps another mask of frame {frame + 1}")
        rle = coco.union([before, rle])
    covered[frame] = rle
