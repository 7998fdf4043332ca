"""Opening a data set of any format; the format can be detected."""

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

FORMATS = ("auto", "fishbowl", "sailvos", "ytvis", "coco")  # "ytvis" includes OVIS; "coco" means amodal COCO.


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
        format, document = _sniff(Path(path))
    if format == "fishbowl":
        return open_fishbowl(path, classes, problems=problems)
    open_file = {"sailvos": open_sailvos, "ytvis": open_ytvis, "coco": open_amodal_coco}.get(format)
    if open_file is None:
        raise DataError(
            DataProblem(str(path), "data set", f"unknown format {format!r}; known are {', '.join(FORMATS)}")
        )
    return open_file(path, classes, images=images, problems=problems, document=document, labels=labels)


def _sniff(path: Path) -> tuple[str, object]:
    """Detect the format; also return the document of a JSON file if it had to be read."""
    if not path.exists():
        raise DataError(DataProblem(str(path), "data set", "does not exist"))
    # A folder of FISHBOWL splits is left to the loader, whose error says which folder to name.
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
