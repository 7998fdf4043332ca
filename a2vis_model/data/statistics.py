"""Reading a whole data set: statistics of its content, and everything that is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .problems import DataError, DataProblem
from .video import ObjectTrack, VideoRecord

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)  # Occlusion thresholds, as published for FISHBOWL.
SPLIT = 0.5  # Occlusion at which the paper's Table 9 splits the objects.


@dataclass
class Statistics:
    """Counts over videos.

    Occlusion is 1 - visible/amodal area, in the frames from an object's first visible one on in which its amodal mask
    is not empty.
    """

    videos: int = 0
    frames: int = 0
    sizes: Counter[str] = field(default_factory=Counter)  # Number of frames by "WxH".
    objects: Counter[str] = field(default_factory=Counter)  # Number of objects by class.
    labelled: Counter[tuple[str, ...]] = field(default_factory=Counter)  # Number of videos by the classes they label.
    amodal_unknown: int = 0  # Number of videos without amodal masks.
    crowding: Counter[int] = field(default_factory=Counter)  # Number of frames by number of visible objects.
    visible_frames: list[int] = field(default_factory=list)  # Number of visible frames of each object.
    occlusion: list[NDArray[np.float64]] = field(default_factory=list)  # Occlusion of each object by frame.

    def add(self, video: VideoRecord, *, read_frames: bool = True) -> None:
        """Count a video and report its problems: every mask is read and, if `read_frames`, every frame."""
        if read_frames:
            for problem in video.source.problems():
                video.problems.report(problem)
        self.videos += 1
        self.frames += video.length
        self.sizes[f"{video.width}x{video.height}"] += video.length
        self.labelled[video.labelled_classes] += 1
        self.amodal_unknown += not video.has_amodal
        tracks, visible, amodal = _sound_areas(video)
        self.crowding.update((visible > 0).sum(axis=0).tolist())
        for n, track in enumerate(tracks):
            self.objects[video.classes[track.class_id]] += 1
            self.visible_frames.append(int((visible[n] > 0).sum()))
            if track.amodal is not None:
                smaller = np.flatnonzero(amodal[n] < visible[n])
                if len(smaller):
                    t = smaller[0]
                    message = f"amodal mask smaller than the visible one in {len(smaller)} of {video.length} frames"
                    example = f"{amodal[n, t]} and {visible[n, t]} pixels in frame {t}"
                    video.problems.report(DataProblem(track.amodal.file, track.amodal.record, f"{message}: {example}"))
                present = np.logical_or.accumulate(visible[n] > 0) & (amodal[n] > 0)
                self.occlusion.append(1 - np.minimum(visible[n, present] / amodal[n, present], 1))

    def summary(self) -> dict[str, Any]:
        """Return the counts as plain numbers."""
        counts = sorted(self.crowding.items())
        return {
            "videos": self.videos,
            "frames": self.frames,
            "frame_sizes": dict(self.sizes),
            "objects": sum(self.objects.values()),
            "objects_by_class": dict(self.objects),
            "labelled": [{"videos": n, "classes": list(classes)} for classes, n in self.labelled.most_common()],
            "amodal_unknown": self.amodal_unknown,
            "objects_per_frame": {
                **_spread(np.repeat([number for number, _ in counts], [frames for _, frames in counts])),
                "frames_by_number": {str(number): frames for number, frames in counts},
            },
            "visible_frames_per_object": _spread(self.visible_frames),
            "occlusion": self._occlusion_summary(),
        }

    def _occlusion_summary(self) -> dict[str, Any] | None:
        """Summarise occlusion; None where no visible object has amodal masks."""
        objects = [values for values in self.occlusion if len(values)]
        if not objects:
            return None
        pooled = np.concatenate(objects)
        seen = [values[values < 1] for values in objects]
        means = np.array([values.mean() for values in objects])
        histogram = np.histogram(pooled, bins=10, range=(0, 1))[0]
        return {
            "object_frames": len(pooled),
            "hidden_object_frames": int((pooled == 1).sum()),
            "mean": float(pooled.mean()),
            "histogram": histogram.tolist(),
            "above": {
                str(threshold): {
                    "object_frames": float((pooled > threshold).mean()),
                    "mean_over_objects": _mean_share(objects, threshold),
                    "mean_over_objects_while_seen": _mean_share(seen, threshold),
                }
                for threshold in THRESHOLDS
            },
            "split": {
                "at": SPLIT,
                "object_frames": [int((pooled <= SPLIT).sum()), int((pooled > SPLIT).sum())],
                "objects_by_mean": [int((means <= SPLIT).sum()), int((means > SPLIT).sum())],
            },
        }


def survey(videos: Iterable[VideoRecord], *, read_frames: bool = True) -> Statistics:
    """Compute the statistics of these videos; their problem log then holds what is wrong with them."""
    statistics = Statistics()
    for video in videos:
        statistics.add(video, read_frames=read_frames)
    return statistics


def _sound_areas(video: VideoRecord) -> tuple[list[ObjectTrack], NDArray[np.int64], NDArray[np.int64]]:
    """Return the objects whose masks can all be read, and their visible and amodal areas, [N, T] each."""
    areas: dict[int, list[tuple[int, int]]] = {n: [] for n in range(len(video.tracks))}
    # Frames are the outer loop: in SAIL-VOS all visible masks of a frame come from one file.
    for t in range(video.length):
        for n in tuple(areas):
            pair = _areas(video, video.tracks[n], t)
            if pair is None:
                del areas[n]
            else:
                areas[n].append(pair)
    pairs = np.array(list(areas.values()), np.int64).reshape(len(areas), video.length, 2)
    return [video.tracks[n] for n in areas], pairs[..., 0], pairs[..., 1]


def _areas(video: VideoRecord, track: ObjectTrack, t: int) -> tuple[int, int] | None:
    try:
        return track.visible.area(t), 0 if track.amodal is None else track.amodal.area(t)
    except DataError as error:
        video.problems.report(error.problem)
        return None


def _mean_share(objects: Sequence[NDArray[np.float64]], threshold: float) -> float:
    """Return the mean over objects of the share of their frames whose occlusion exceeds a threshold."""
    shares = [(values > threshold).mean() for values in objects if len(values)]
    return float(np.mean(shares)) if shares else 0.0


def _spread(numbers: Sequence[int] | NDArray[np.int64]) -> dict[str, float]:
    if not len(numbers):
        return {}
    low, high = int(np.min(numbers)), int(np.max(numbers))
    return {"mean": float(np.mean(numbers)), "median": float(np.median(numbers)), "min": low, "max": high}
