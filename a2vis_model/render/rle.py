"""COCO run lengths of masks that are known inside a box, without building the full image."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as _coco

# The type stubs of pycocotools expect their own private dictionary type.
coco: Any = _coco

Rle = dict[str, Any]
"""Mask `{"size": [height, width], "counts": str}`, the compressed form that COCO tools and JSON files use."""


def encode_box(mask: NDArray[np.bool_], *, top: int, left: int, height: int, width: int) -> Rle:
    """Encode a `height x width` mask that equals `mask` [h, w] at `(top, left)` and is empty elsewhere."""
    rows, columns = mask.shape
    # One empty cell below every column keeps the runs of neighbouring columns apart inside the box.
    padded = np.zeros((columns, rows + 1), np.int8)
    padded[:, :rows] = mask.T
    column, row = np.divmod(np.flatnonzero(np.diff(padded.ravel(), prepend=np.int8(0))), rows + 1)
    edges = (left + column) * height + top + row
    # A box as high as the image has runs that touch: the end of one is the start of the next.
    touching = np.flatnonzero(edges[1:-1:2] == edges[2::2])
    edges = np.delete(edges, np.concatenate((2 * touching + 1, 2 * touching + 2)))
    total = height * width
    if edges.size == 0 or edges[-1] != total:
        edges = np.append(edges, total)
    counts = np.diff(edges, prepend=0).tolist()
    return _as_text(coco.frPyObjects({"size": [height, width], "counts": counts}, height, width))


@lru_cache(maxsize=16)
def _empty_counts(height: int, width: int) -> str:
    return str(encode_box(np.zeros((1, 1), np.bool_), top=0, left=0, height=height, width=width)["counts"])


def empty(height: int, width: int) -> Rle:
    """Return the mask without any pixel, which FISHBOWL files hold instead of null."""
    return {"size": [height, width], "counts": _empty_counts(height, width)}


def decode(rle: Rle) -> NDArray[np.bool_]:
    """Decode a mask as [height, width]."""
    return np.asarray(coco.decode(rle), np.bool_)


def area(rle: Rle) -> int:
    """Count the pixels of a mask."""
    return int(coco.area(rle))


def _as_text(rle: Rle) -> Rle:
    counts = rle["counts"]
    return {"size": rle["size"], "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}
