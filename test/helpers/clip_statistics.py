"""How crowded and how occluded clips are: the numbers by which rendered and given clips are compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2vis_model.masks import coco as rle
from a2vis_model.render import RenderedClip

Areas = Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Numbers of visible and of amodal pixels in each frame ``[T]``, of every object of a clip."""

OCCLUSION_STEPS = (0.1, 0.3, 0.5, 0.7, 0.9)
HIDDEN_STEPS = (1, 10, 20, 30)


@dataclass(frozen=True)
class ClipStatistics:
    """Means over clips, frames and objects. An object-frame is an object inside the frame, seen or hidden."""

    objects_per_clip: float
    objects_per_frame: float
    frames_per_object: float
    median_area: float
    occlusion_above: dict[float, float]  # share of object-frames hidden by more than so much
    fully_hidden: float  # share of object-frames inside the frame with nothing to see
    hidden_for: dict[int, float]  # share of objects hidden that many frames on end after they were first seen


def measure(clips: Iterable[Areas]) -> ClipStatistics:
    """Statistics of at least one clip with at least one object."""
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    objects: list[int] = []
    seen: list[NDArray[np.int64]] = []
    for clip in clips:
        pairs += clip
        objects.append(len(clip))
        seen.append(np.sum([visible > 0 for visible, _ in clip], axis=0) if clip else np.zeros(1, np.int64))
    visible, amodal = (np.concatenate(areas) for areas in zip(*pairs, strict=True))
    present = amodal > 0
    occlusion = 1 - visible[present] / amodal[present]
    longest = np.array([longest_hidden(v, a) for v, a in pairs])
    return ClipStatistics(
        objects_per_clip=float(np.mean(objects)),
        objects_per_frame=float(np.mean(np.concatenate(seen))),
        frames_per_object=float(np.mean([(v > 0).sum() for v, _ in pairs])),
        median_area=float(np.median(amodal[present])),
        occlusion_above={step: float((occlusion > step).mean()) for step in OCCLUSION_STEPS},
        fully_hidden=float((visible[present] == 0).mean()),
        hidden_for={step: float((longest >= step).mean()) for step in HIDDEN_STEPS},
    )


def longest_hidden(visible: NDArray[np.int64], amodal: NDArray[np.int64]) -> int:
    """Frames on end that an object spends inside the frame, wholly hidden, after it was first seen."""
    hidden = ((amodal > 0) & (visible == 0))[int(np.argmax(visible > 0)) :]
    ends = np.flatnonzero(np.concatenate(([True], ~hidden, [True])))
    return int(np.diff(ends).max()) - 1


def areas_of_clip(clip: RenderedClip) -> Areas:
    return [(o.visible_areas, o.amodal_areas) for o in clip.objects]


def areas_of_folder(folder: Path) -> Areas:
    """Return the areas of a clip on disk in FISHBOWL's merged layout."""

    def areas(entry: dict[str, list[rle.Rle]]) -> NDArray[np.int64]:
        return np.array([rle.area(r) for r in entry["masks"]], np.int64)

    entries = json.loads((folder / "objects.json").read_text(encoding="utf-8"))
    alone = [json.loads((folder / f"object{k:03d}" / "objects.json").read_text()) for k in range(len(entries))]
    return [(areas(entry), areas(amodal[0])) for entry, amodal in zip(entries, alone, strict=True)]
