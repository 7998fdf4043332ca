"""Scores tracks against ground truth when both are in bags: our messages as YouTube-VIS files, and `a2vis score`."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from a2vis_model.data import ProblemLog
from a2vis_model.evaluation import ScoreSettings, open_comparison, results_of, score_videos
from a2vis_model.evaluation.report import markdown

from .coco_masks import to_coco
from .mask_messages import mask_from_message
from .msg import TrackedInstance, TrackedInstanceArray

_Key = tuple[int, int, int]
"""Stamp of a frame in seconds and nanoseconds, and how often it came before: a bag may loop."""
_GONE = (TrackedInstance.LOST, TrackedInstance.ENDED)


class _TrackTable:
    """The tracks of a sequence of messages, masks by frame."""

    def __init__(self, arrays: Iterable[TrackedInstanceArray], frames: dict[_Key, int]) -> None:
        self.entries: dict[tuple[int, int], dict[str, Any]] = {}
        for frame, array in _keyed(arrays):
            time = frames.get(frame)
            if time is None:
                continue
            for instance in array.instances:
                # IDs of different epochs are different tracks.
                key = (array.epoch, instance.track_id)
                blank: list[Any] = [None] * len(frames)
                entry = self.entries.setdefault(
                    key, {"classes": [], "scores": [], "visible": list(blank), "amodal": list(blank), "believed": False}
                )
                entry["classes"].append(instance.class_name)
                entry["scores"].append(instance.score)
                entry["believed"] |= instance.state == TrackedInstance.VISIBLE
                if instance.state in _GONE:
                    continue
                for kind in ("visible", "amodal"):
                    mask = getattr(instance, kind)
                    if mask.area:
                        entry[kind][time] = to_coco(mask_from_message(mask), array.height, array.width)

    def records(self, categories: dict[str, int]) -> list[dict[str, Any]]:
        """One a track that was believed at least once, in the YouTube-VIS layout."""
        records = []
        for number, entry in enumerate((e for e in self.entries.values() if e["believed"]), 1):
            names = entry["classes"]
            records.append(
                {
                    "id": number,
                    "track_id": number,
                    "video_id": 1,
                    "category_id": categories[max(set(names), key=lambda name: (names.count(name), name))],
                    "score": sum(entry["scores"]) / len(entry["scores"]),
                    "iscrowd": 0,
                    "segmentations": entry["visible"],
                    "amodal_segmentations": entry["amodal"],
                }
            )
        return records

    @property
    def class_names(self) -> set[str]:
        """All that were said."""
        return {name for entry in self.entries.values() for name in entry["classes"]}


def score(
    tracks: Iterable[TrackedInstanceArray], truth: Iterable[TrackedInstanceArray], folder: Path
) -> tuple[dict[str, Any], str]:
    """Compare tracks with ground truth by the stamps of their images.

    Args:
        tracks: what the node said.
        truth: what is so; its frames are the video.
        folder: receives ground_truth.json and results.json, which `a2vis score` takes too, and metrics.json.

    Returns:
        the metrics by their keys, and tables of them in Markdown.
    """
    truth = list(truth)
    frames = {frame: index for index, (frame, _) in enumerate(_keyed(truth))}
    expected, found = _TrackTable(truth, frames), _TrackTable(tracks, frames)
    names = sorted(expected.class_names | found.class_names)
    categories = {name: number for number, name in enumerate(names, 1)}
    video = {"id": 1, "length": len(frames), "height": truth[0].height, "width": truth[0].width}
    document = {
        "videos": [video],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": expected.records(categories),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "ground_truth.json", folder / "results.json"
    for path, content in zip(paths, (document, found.records(categories)), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    settings, problems = ScoreSettings(), ProblemLog(strict=True)
    comparison = open_comparison(*paths, None, settings, problems)
    scores = score_videos(comparison, settings, problems, quiet=True)
    results = {"name": "bag", **results_of(scores, comparison.scope, settings, comparison.categories)}
    (folder / "metrics.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results, markdown([results])


def _keyed(arrays: Iterable[TrackedInstanceArray]) -> Iterator[tuple[_Key, TrackedInstanceArray]]:
    seen: Counter[tuple[int, int]] = Counter()
    for array in arrays:
        stamp = array.header.stamp.sec, array.header.stamp.nanosec
        yield (*stamp, seen[stamp]), array
        seen[stamp] += 1
