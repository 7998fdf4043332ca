"""What MOT and MOTS text states as a whole, learned from the first columns before a line is read for good."""

from __future__ import annotations

import configparser
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..data.problems import DataProblem, ProblemLog
from ..files.images import MAX_SIDE
from ..files.regular import read_regular
from .youtube_vis import MAX_LENGTH

_EXACT = 1 << 53
"""Whole numbers below it are exact as floats."""


@dataclass
class TextOutline:
    """Frames, classes and sizes of masks of a text file; what is no number is left to who reads the line."""

    frames: dict[int, int] = field(default_factory=dict)
    """The first and the last frame number, each with the line that names it first; empty where there is none."""
    classes: dict[int, int] = field(default_factory=dict)
    """First line of each class of MOTS text, in the order of lines."""
    size_lines: dict[tuple[int, int], int] = field(default_factory=dict)
    """First line of each size (height, width) of masks in MOTS text, in the order of lines."""
    size: tuple[int, int] | None = None
    """The most frequent of these sizes."""

    @property
    def last_frame(self) -> int:
        """The last frame number, from 0 to the largest that is read."""
        return min(max([0, *self.frames]), MAX_LENGTH)

    @classmethod
    def of(cls, file: Path, *, masks: bool) -> TextOutline:
        """Read a file; one that cannot be read is empty here, and reported by who reads its lines."""
        outline = cls()
        try:
            lines = read_text(file).splitlines()
        except (OSError, UnicodeDecodeError):
            return outline
        frames: dict[int, int] = {}
        sizes: Counter[tuple[int, int]] = Counter()
        count = 5 if masks else 1
        for number, line in enumerate(lines, 1):
            columns = line.replace(",", " ").split(maxsplit=count)[:count]
            values = [_whole(column) for column in columns]
            if values and (frame := values[0]) is not None:
                frames.setdefault(frame, number)
            if not masks or len(values) < count:
                continue
            _, _, class_id, height, width = values
            if class_id is not None:
                outline.classes.setdefault(class_id, number)
            if height is not None and width is not None and 1 <= min(height, width) <= max(height, width) <= MAX_SIDE:
                sizes[height, width] += 1
                outline.size_lines.setdefault((height, width), number)
        if frames:
            outline.frames = {frame: frames[frame] for frame in (min(frames), max(frames))}
        if sizes:
            outline.size = sizes.most_common(1)[0][0]
        return outline


@dataclass
class SequenceInfo:
    """What a `seqinfo.ini` states; None and empty where it does not, or there is none."""

    length: int | None = None
    size: tuple[int, int] | None = None
    """Height and width of frames."""
    classes: frozenset[int] = frozenset()
    """Classes that may occur, which `evaluate --export mots` writes."""

    @classmethod
    def beside(cls, truth: Path, problems: ProblemLog) -> SequenceInfo:
        """Read the file that belongs to a `<video>/gt/gt.txt`; what is broken in it is reported."""
        ini = truth.parent.parent / "seqinfo.ini"
        if truth.name != "gt.txt" or not ini.is_file():
            return cls()
        parser = configparser.ConfigParser()
        try:
            parser.read_string(read_text(ini))
            length = parser.getint("Sequence", "seqLength")
            if not 1 <= length <= MAX_LENGTH:
                problems.report(DataProblem(str(ini), "Sequence", f"seqLength is {length}, not 1 to {MAX_LENGTH}"))
                return cls()
        except (OSError, ValueError, configparser.Error) as error:
            message = f"seqLength cannot be read: {' '.join(str(error).split())}"
            problems.report(DataProblem(str(ini), "Sequence", message))
            return cls()
        height, width = (_whole(parser.get("Sequence", key, raw=True, fallback="")) for key in ("imHeight", "imWidth"))
        named = map(_whole, parser.get("Sequence", "classes", raw=True, fallback="").split(","))
        return cls(
            length,
            (height, width) if height and width else None,
            frozenset(number for number in named if number is not None),
        )


def read_text(file: Path) -> str:
    """Read UTF-8 text, with or without a byte order mark."""
    return read_regular(file).decode("utf-8-sig")


def _whole(text: str) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if abs(value) < _EXACT and value == int(value) else None
