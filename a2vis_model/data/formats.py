"""Opening a data set of any format; the format can be detected."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import printable
from ..files.deep_images import unused_bits
from .amodal_coco import open_amodal_coco
from .annotation_file import find_annotations
from .dataset import Dataset
from .fishbowl import folders_beside, holds_splits, open_fishbowl
from .json_file import read_json
from .problems import DataError, DataProblem, ProblemLog
from .sailvos import open_sailvos, scene_folders
from .ytvis import open_ytvis

logger = logging.getLogger(__name__)
_LOOKED_AT: set[str] = set()
"""Paths of data sets whose pictures were looked at in this process."""


@dataclass(frozen=True)
class DataFormat:
    """A layout of data sets on disk."""

    open: Callable[..., Dataset]
    """Opens one, see `open_ytvis` for its arguments; where there is no `lists`, `open_fishbowl`."""
    folder: Callable[[Path], bool] | None = None
    """Recognises a folder; None where there is always a JSON file."""
    lists: tuple[str, ...] = ()
    """The lists that its JSON file has of "images" and "videos"; none where there is no such file."""
    beside: Callable[[Path], Sequence[Path]] = lambda path: ()
    """Further folders that are read with the one that is named."""


DATA_FORMATS = {
    "fishbowl": DataFormat(open_fishbowl, folder=holds_splits, beside=folders_beside),
    "sailvos": DataFormat(open_sailvos, folder=lambda path: bool(scene_folders(path)), lists=("images", "videos")),
    "ytvis": DataFormat(open_ytvis, lists=("videos",)),
    "coco": DataFormat(open_amodal_coco, lists=("images",)),
}
"""Formats by name. "ytvis" is OVIS too, "coco" amodal COCO. A new format is a line here and its module."""
FORMATS = ("auto", *DATA_FORMATS)
"""What may be named."""


def open_dataset(
    path: str | Path,
    format: str = "auto",
    classes: Sequence[str] | None = None,
    *,
    images: str | Path | None = None,
    labels: str | Path | None = None,
    problems: ProblemLog | None = None,
) -> Dataset:
    """Open the data set in a folder or a JSON file.

    Args:
        path: the folder or the JSON file.
        format: its format; "auto" detects it.
        classes: classes to load, in this order; objects of others are left out. Without it, all that the data set
            declares.
        images: folder of a JSON file's images, if it is not in the usual place.
        labels: labels file that replaces the one beside a JSON file (see `labels`). FISHBOWL's layout and SAIL-VOS's
            folders label everything.
        problems: log of what is wrong with the data; a strict one turns any problem into a DataError.
    """
    document: object = None
    if format == "auto":
        format, document = _recognise(Path(path))
    found = DATA_FORMATS.get(format)
    if found is None:
        raise DataError(
            DataProblem(str(path), "data set", f"unknown format {format!r}; known are {', '.join(FORMATS)}")
        )
    if not found.lists:
        dataset = found.open(path, classes, problems=problems)
    else:
        dataset = found.open(path, classes, images=images, problems=problems, document=document, labels=labels)
    _say_of_unused_bits(dataset)
    return dataset


def _say_of_unused_bits(dataset: Dataset) -> None:
    """Say once of a data set that its pictures are nearly black, by the first picture of a few videos.

    Loader processes read the same pictures; there it would be said many times.
    """
    if not len(dataset) or dataset.path in _LOOKED_AT or multiprocessing.parent_process() is not None:
        return
    _LOOKED_AT.add(dataset.path)
    deep: list[tuple[str, bool]] = []
    for index in sorted({0, len(dataset) // 2, len(dataset) - 1}):
        with contextlib.suppress(DataError):
            name, unused = dataset[index].source.unused_bits()
            if unused is None:
                return
            deep.append((name, unused))
    if deep and all(unused for _, unused in deep):
        logger.warning("%s", unused_bits(printable(deep[0][0])))


def paths_beside(path: Path, format: str) -> list[Path]:
    """Folders outside the one that is named which a data set of this format, or of any for "auto", also reads."""
    candidates = DATA_FORMATS.values() if format == "auto" else [DATA_FORMATS[format]]
    return [folder for candidate in candidates for folder in candidate.beside(path)]


def _recognise(path: Path) -> tuple[str, object]:
    """The format and, if it had to be read, the document of a JSON file."""
    if not path.exists():
        raise DataError(DataProblem(str(path), "data set", "does not exist"))
    for name, candidate in DATA_FORMATS.items():
        if candidate.folder is not None and candidate.folder(path):
            return name, None
    file = find_annotations(path)
    document = read_json(file)
    lists = tuple(key for key in ("images", "videos") if isinstance(document, dict) and document.get(key))
    for name, candidate in DATA_FORMATS.items():
        if lists and candidate.lists == lists:
            return name, document
    raise DataError(DataProblem(str(file), "file", "lists neither videos nor images"))
