"""What the annotations of a picture leave out: unlabelled classes, and the hidden shape of objects; and its pixels.

Three keys state it: `labelled` (a list of class names: every object of these classes is annotated), `amodal` ("known"
or "unknown": masks cover visible parts only), and `pixels` ("upright" or "stored": whether masks lie on the picture as
a viewer shows it, or on the pixels before EXIF's orientation turns or mirrors them). They stand in a video or image of
an annotation file, at its top level for all of them, or, where the file is not to be changed, in the rules of a labels
file in YAML:

    - files: cocoperson_*       # a shell pattern of the name of a picture's, or a video's first, file
      labelled: [person]
    - files: "*"
      amodal: unknown
      pixels: stored

The first rule whose pattern fits takes precedence over the picture's record in the annotation file, which takes
precedence over the file's top level.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from ..config import config_directory
from ..files.regular import read_regular
from .problems import DataError, DataProblem, RecordError

LABELS_FILE = "labels.yaml"
"""Name of the labels file that is read beside an annotation file."""
LABELS_HELP = "YAML file, or the name of one that comes with the package"
"""Description of what `--labels` takes."""
_AMODAL = {"known": True, "unknown": False}
_STORED = {"upright": False, "stored": True}
_KEYS = ("labelled", "amodal", "pixels")
_ANY_KEY = "'labelled', 'amodal' or 'pixels'"


@dataclass(frozen=True)
class Labels:
    """What is annotated in one picture or video; None where nothing is stated."""

    labelled: tuple[str, ...] | None = None
    """Names of the classes of which every object is annotated."""
    amodal: bool | None = None
    """Whether there are amodal masks."""
    stored: bool | None = None
    """Whether masks lie on the stored pixels and not on the upright ones; None where the declared size decides."""

    @classmethod
    def parse(cls, record: Mapping[str, Any], classes: Sequence[str]) -> Labels:
        """Read the three keys of a record.

        Args:
            record: the record, which may hold other keys too.
            classes: names of the classes that can be labelled.

        Raises:
            RecordError: a value is none of the possible ones.
        """
        labelled = record.get("labelled")
        if labelled is not None:
            if not isinstance(labelled, list) or not all(isinstance(name, str) for name in labelled):
                raise RecordError(f"labelled is {reprlib.repr(labelled)}, not a list of class names")
            if unknown := [name for name in labelled if name not in classes]:
                raise RecordError(f"labelled: unknown class {unknown[0]!r}; the classes are {', '.join(classes)}")
        amodal = record.get("amodal")
        if amodal is not None and (not isinstance(amodal, str) or amodal not in _AMODAL):
            raise RecordError(f"amodal is {reprlib.repr(amodal)}; choose {' or '.join(_AMODAL)}")
        pixels = record.get("pixels")
        if pixels is not None and (not isinstance(pixels, str) or pixels not in _STORED):
            raise RecordError(f"pixels is {reprlib.repr(pixels)}; choose {' or '.join(_STORED)}")
        return cls(
            None if labelled is None else tuple(labelled),
            None if amodal is None else _AMODAL[amodal],
            None if pixels is None else _STORED[pixels],
        )

    def over(self, other: Labels) -> Labels:
        """Return these labels, completed by those of another where nothing is stated here."""
        return Labels(
            other.labelled if self.labelled is None else self.labelled,
            other.amodal if self.amodal is None else self.amodal,
            other.stored if self.stored is None else self.stored,
        )


def labels_file(labels: str | Path) -> Path:
    """Return a YAML file, or the one of that name from `config/labels`.

    Raises:
        DataError: there is no such file or name.
    """
    path = Path(labels)
    if path.suffix in (".yaml", ".yml"):
        return path
    named = {file.stem: file for file in config_directory("labels").glob("*.yaml")}
    if str(labels) not in named:
        choice = f"choose {', '.join(sorted(named))}, or a YAML file"
        raise DataError(DataProblem(str(labels), "labels", f"is unknown; {choice}"))
    return named[str(labels)]


@dataclass(frozen=True)
class LabelRules:
    """The rules of a labels file."""

    path: str = ""
    rules: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Pairs of a file name pattern and the labels of the pictures it matches."""

    @classmethod
    def read(cls, labels: str | Path) -> LabelRules:
        """Read a labels file (see `labels_file`).

        Raises:
            DataError: the file cannot be read or is not a list of rules.
        """
        path = labels_file(labels)

        def error(record: str, message: str) -> DataError:
            return DataError(DataProblem(str(path), record, message))

        try:
            document = yaml.safe_load(read_regular(path))
        except Exception as problem:  # The parser of a number, date or tag can fail with any error.
            reason = " ".join(str(problem).split())
            raise error("file", f"cannot be read as YAML: {reason}") from problem
        if not isinstance(document, list):
            raise error("file", f"is not a list of rules, each with 'files' and {_ANY_KEY}")
        rules = []
        for number, rule in enumerate(document, 1):
            if not isinstance(rule, dict) or not isinstance(rule.get("files"), str):
                raise error(f"rule {number}", "has no 'files', the pattern of file names that it is about")
            if strange := sorted(map(str, rule.keys() - {"files", *_KEYS})):
                raise error(f"rule {number}", f"unknown key {strange[0]!r}; known are files, {', '.join(_KEYS)}")
            if len(rule) == 1:
                raise error(f"rule {number}", f"states nothing: give {_ANY_KEY}")
            rules.append((rule["files"], rule))
        return cls(str(path), tuple(rules))

    @classmethod
    def find(cls, annotations: Path) -> LabelRules:
        """Return the rules in the file `labels.yaml` beside an annotation file; none without such a file."""
        beside = annotations.parent / LABELS_FILE
        return cls.read(beside) if beside.is_file() else cls()

    def of(self, file: str, classes: Sequence[str]) -> Labels:
        """Return what the first fitting rule states about a picture.

        Raises:
            DataError: the rule names a class that does not exist.
        """
        for number, (pattern, rule) in enumerate(self.rules, 1):
            if fnmatchcase(file, pattern):
                try:
                    return Labels.parse(rule, classes)
                except RecordError as error:
                    raise DataError(DataProblem(self.path, f"rule {number}", str(error))) from error
        return Labels()
