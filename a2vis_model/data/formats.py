"""Opening a data set of any format, which may be left to be found out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .amodal_coco import open_amodal_coco
from .annotation_file import find_annotations
from .dataset import Dataset
from .fishbowl import find_layout, open_fishbowl
from .json_file import read_json
from .problems import DataError, DataProblem, ProblemLog
from .sailvos import open_sailvos, scene_folders
from .ytvis import open_ytvis

FORMATS = ("auto", "fishbowl", "sailvos", "ytvis", "coco")  # ytvis: OVIS too; coco: amodal COCO


def open_dataset(
    path: str | Path,
    format: str = "auto",
    classes: Sequence[str] | None = None,
    *,
    images: str | Path | None = None,
    labels: str | Path | None = None,
    problems: ProblemLog | None = None,
) -> Dataset:
    """The data set in a folder or JSON file; `images` is the folder of a JSON file's images, if not where usual.

    `classes` gives the order of the classes, and leaves out the objects of others; without it, all that the data set
    declares are there.
    `labels` is a file that says what is labelled in the pictures of a JSON file, instead of the one beside it (see
    `labels`); FISHBOWL's layout and SAIL-VOS's folders label everything.
    `problems` collects what is wrong with it; a strict one makes any problem a DataError.
    """
    document: object = None
    if format == "auto":
        format, document = _sniff(Path(path))
    if format == "fishbowl":
        return open_fishbowl(path, classes, problems=problems)
    open_file = {"sailvos": open_sailvos, "ytvis": open_ytvis, "coco": open_amodal_coco}.get(format)
    if open_file is None:
        raise DataError(
            DataProblem(str(path), "data set", f"unknown format {format!r}; there are {', '.join(FORMATS)}")
        )
    return open_file(path, classes, images=images, problems=problems, document=document, labels=labels)


def _sniff(path: Path) -> tuple[str, object]:
    """The format and, if it had to be read, the document of a JSON file."""
    if not path.exists():
        raise DataError(DataProblem(str(path), "data set", "does not exist"))
    # A folder of FISHBOWL splits is left to the loader, which says what to name instead.
    if path.is_dir() and (find_layout(path) or any(find_layout(child) for child in path.iterdir())):
        return "fishbowl", None
    if scene_folders(path):
        return "sailvos", None
    file = find_annotations(path)
    document = read_json(file)
    found = {key for key in ("videos", "images") if isinstance(document, dict) and document.get(key)}
    formats = {("images",): "coco", ("videos",): "ytvis", ("images", "videos"): "sailvos"}
    if tuple(sorted(found)) not in formats:
        raise DataError(DataProblem(str(file), "file", "lists neither videos nor images"))
    return formats[tuple(sorted(found))], document
