"""Scoring of tracks against ground truth in bags: our messages are converted to YouTube-VIS files for `a2vis score`."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from a2vis_model import A2VISError
from a2vis_model.data import ProblemLog
from a2vis_model.evaluation import ScoreSettings, open_comparison, results_of, score_videos
from a2vis_model.evaluation.report import markdown
from a2vis_model.files.atomic import replacing, write_text
from a2vis_model.masks.coco import encode_runs
from a2vis_model.tracking.results import track_score

from ..msg import Mask, TrackedInstance, TrackedInstanceArray
from ..planner.mask_codec import MaskError
from ..planner.mask_messages import mask_from_message

_Key = tuple[int, int, int, int]
"""Key of a frame: stamp in seconds and nanoseconds, number of jumps back in time, number of equal stamps since.

Time jumps back where a bag is played in a loop.
"""
METRICS = "metrics.json"
_TRUTH, _RESULTS = "ground_truth.json", "results.json"
_MOST_TRACKS = 1_000_000
"""More than the tracks of any bag."""


class _TrackTable:
    """The tracks of a sequence of messages, masks by frame."""

    def __init__(self, arrays: Iterable[TrackedInstanceArray], frames: dict[_Key, int]) -> None:
        self.entries: dict[tuple[int, int, int], dict[str, Any]] = {}
        self.messages = 0
        self.frames: set[int] = set()
        """Frames for which there is a message, even one without tracks."""
        for frame, array in _keyed(arrays):
            self.messages += 1
            time = frames.get(frame)
            if time is None:
                continue
            self.frames.add(time)
            for instance in array.instances:
                # IDs of different sessions or epochs are different tracks.
                key = (array.session, array.epoch, instance.track_id)
                blank: list[Any] = [None] * len(frames)
                entry = self.entries.setdefault(
                    key, {"votes": {}, "scores": [], "visible": list(blank), "amodal": list(blank), "confirmed": False}
                )
                votes = entry["votes"]
                votes[instance.class_name] = votes.get(instance.class_name, 0.0) + instance.score
                entry["confirmed"] |= instance.state == TrackedInstance.VISIBLE
                if instance.state == TrackedInstance.ENDED:
                    continue
                if instance.state != TrackedInstance.LOST:
                    entry["scores"].append(instance.score)
                for kind in ("visible", "amodal"):
                    mask = getattr(instance, kind)
                    if mask.area:
                        entry[kind][time] = _coco(mask, array)

    def records(self, categories: dict[str, int]) -> list[dict[str, Any]]:
        """Return one YouTube-VIS record per track that was ever confirmed, as `a2vis evaluate` makes it."""
        records = []
        for number, entry in enumerate((e for e in self.entries.values() if e["confirmed"]), 1):
            votes = entry["votes"]
            records.append(
                {
                    "id": number,
                    "track_id": number,
                    "video_id": 1,
                    "category_id": categories[max(votes, key=votes.__getitem__)],
                    "score": track_score(entry["scores"], len(entry["visible"])),
                    "iscrowd": 0,
                    "segmentations": entry["visible"],
                    "amodal_segmentations": entry["amodal"],
                }
            )
        return records

    @property
    def class_names(self) -> set[str]:
        """Names of all classes that occur."""
        return {name for entry in self.entries.values() for name in entry["votes"]}


def score(
    tracks: Iterable[TrackedInstanceArray],
    truth: Iterable[TrackedInstanceArray],
    classes: Sequence[str],
    folder: Path,
) -> tuple[dict[str, Any], str]:
    """Compare tracks with ground truth by the stamps of their images.

    Args:
        tracks: results of the node. A frame without a message counts as one without objects.
        truth: ground truth; its frames are the video.
        classes: classes of the model, in its order; further classes that occur follow them.
        folder: receives ground_truth.json and results.json, which `a2vis score` takes too, and metrics.json.

    Returns:
        The metrics of `a2vis evaluate` by their keys and `frames_without_result`, and tables of them in Markdown.

    Raises:
        A2VISError: no track is of an image that the ground truth contains.
    """
    truth = list(truth)
    frames = {frame: index for index, (frame, _) in enumerate(_keyed(truth))}
    expected, found = _TrackTable(truth, frames), _TrackTable(tracks, frames)
    if found.messages and not found.frames:
        raise A2VISError(
            f"none of {found.messages} results has the stamp of an image in the ground truth; they are of another run, "
            "or the images were stamped anew"
        )
    names = [*classes, *sorted((expected.class_names | found.class_names) - set(classes))]
    categories = {name: number for number, name in enumerate(names, 1)}
    video = {"id": 1, "length": len(frames), "height": truth[0].height, "width": truth[0].width}
    document = {
        "videos": [video],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": expected.records(categories),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / _TRUTH, folder / _RESULTS
    for path, content in zip(paths, (document, found.records(categories)), strict=True):
        write_text(path, json.dumps(content))
    return _score_files(folder, "bag", len(frames) - len(found.frames), jobs=1)


def score_together(bags: Sequence[Path], folder: Path, *, jobs: int) -> tuple[dict[str, Any], str]:
    """Score bags that `score` has scored as the videos of one data set.

    Args:
        bags: folders into which `score` has written.
        folder: receives the same files for all of them.
        jobs: number of processes that score.

    Returns:
        What `score` returns, for all bags together.
    """
    categories: dict[str, int] = {}
    without_result = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context(replacing(folder / name)).open("w") for name in (_TRUTH, _RESULTS)}
        for file in files.values():
            stack.enter_context(file)
        videos = []
        # One bag is in memory at a time: a fleet's truth is larger than it.
        lines = {name: _Lines(file) for name, file in files.items()}
        files[_TRUTH].write('{"annotations": ')
        for number, bag in enumerate(bags, 1):
            truth, results = (json.loads((bag / name).read_bytes()) for name in (_TRUTH, _RESULTS))
            own = {entry["id"]: entry["name"] for entry in truth["categories"]}
            videos += [{**video, "id": number} for video in truth["videos"]]
            for name, records in ((_TRUTH, truth["annotations"]), (_RESULTS, results)):
                for record in records:
                    ids = {"id": number * _MOST_TRACKS + record["id"], "video_id": number}
                    category = own[record["category_id"]]
                    ids["category_id"] = categories.setdefault(category, len(categories) + 1)
                    lines[name].add({**record, **ids})
            without_result += json.loads((bag / METRICS).read_bytes())["frames_without_result"]
        for found in lines.values():
            found.end()
        names = [{"id": number, "name": name} for name, number in categories.items()]
        files[_TRUTH].write(f', "videos": {json.dumps(videos)}, "categories": {json.dumps(names)}}}')
    return _score_files(folder, f"{len(bags)} bags", without_result, jobs=jobs)


class _Lines:
    """A JSON list that is written entry by entry."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._separator = "["

    def add(self, entry: object) -> None:
        self._file.write(self._separator + json.dumps(entry))
        self._separator = ",\n"

    def end(self) -> None:
        self._file.write("[]" if self._separator == "[" else "]")


def _score_files(folder: Path, name: str, without_result: int, *, jobs: int) -> tuple[dict[str, Any], str]:
    settings, problems = ScoreSettings(), ProblemLog(strict=True)
    comparison = open_comparison(folder / _TRUTH, folder / _RESULTS, None, settings, problems)
    scores = score_videos(comparison, settings, problems, jobs=jobs, quiet=True)
    results: dict[str, Any] = {"name": name, "frames_without_result": without_result}
    results |= results_of(scores, comparison.scope, settings, comparison.categories)
    write_text(folder / METRICS, json.dumps(results, indent=1) + "\n")
    return results, markdown([results])


def _coco(mask: Mask, array: TrackedInstanceArray) -> dict[str, Any]:
    """Return the mask as COCO's run lengths.

    Raises:
        A2VISError: the message was damaged.
    """
    try:
        return encode_runs(mask_from_message(mask, array.height, array.width), array.height, array.width)
    except MaskError as error:
        stamp = array.header.stamp
        raise A2VISError(f"the message of {stamp.sec}.{stamp.nanosec:09d} s is damaged: {error}") from error


def _keyed(arrays: Iterable[TrackedInstanceArray]) -> Iterator[tuple[_Key, TrackedInstanceArray]]:
    seen: Counter[tuple[int, int]] = Counter()
    jumps, last = 0, (0, 0)
    for array in arrays:
        stamp = array.header.stamp.sec, array.header.stamp.nanosec
        if stamp < last:
            # Equal stamps are counted anew after each jump: a frame without a result must not take one of another loop.
            jumps += 1
            seen.clear()
        yield (*stamp, jumps, seen[stamp]), array
        seen[stamp] += 1
        last = stamp
