"""Collecting frame results into whole tracks, in the YouTube-VIS results layout."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .tracks import FrameResult, TrackState


def track_score(scores: Iterable[float], frames: int) -> float:
    """Compute the score of a whole track: the sum of its scores over the number of frames of its video.

    Average precision ranks tracks by it. A mean over the track's own frames would rank a track of three frames before
    one that followed its object through the whole video.

    Args:
        scores: scores in [0, 1] of the frames in which the track had masks.
        frames: number of frames of the video.
    """
    return sum(scores) / frames


@dataclass
class _TrackRecord:
    scores: list[float] = field(default_factory=list)
    class_votes: dict[int, float] = field(default_factory=dict)
    visible: dict[int, dict[str, Any]] = field(default_factory=dict)
    amodal: dict[int, dict[str, Any]] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)


class TrackCollector:
    """Collects the results of one video.

    Args:
        classes: the network's class names.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.frames = 0
        self._classes = tuple(classes)
        self._tracks: dict[int, _TrackRecord] = {}

    @property
    def track_count(self) -> int:
        """Number of confirmed tracks."""
        return len(self._confirmed())

    def add(self, result: FrameResult) -> None:
        """Take the next frame's result."""
        frame = self.frames
        self.frames += 1
        for instance in result.instances:
            record = self._tracks.setdefault(instance.track_id, _TrackRecord())
            record.states[frame] = instance.state.name.lower()
            votes = record.class_votes
            votes[instance.class_id] = votes.get(instance.class_id, 0.0) + instance.score
            if instance.state is TrackState.ENDED:
                continue
            # Where a lost track is, is a guess that no frame speaks for: it adds nothing to the score.
            if instance.state is not TrackState.LOST:
                record.scores.append(instance.score)
            if instance.visible is not None and instance.visible.area:
                record.visible[frame] = instance.visible.coco_rle()
            if instance.amodal is not None and instance.amodal.area:
                record.amodal[frame] = instance.amodal.coco_rle()

    def youtube_vis(self, video_id: int = 1) -> list[dict[str, Any]]:
        """Return one entry per confirmed track, as YouTube-VIS results are submitted.

        `segmentations[T]` are the visible masks (compressed RLE or null), `score` is that of the whole track (see
        `track_score`). Further keys: `track_id`, `amodal_segmentations[T]`, `states[T]` (null where the track did not
        exist) and `category_name`. Category IDs start at 1 in the order of the network's classes.
        """
        entries = []
        for track_id, record in self._confirmed().items():
            class_id = max(record.class_votes, key=lambda c: record.class_votes[c])
            entries.append(
                {
                    "video_id": video_id,
                    "track_id": track_id,
                    "score": track_score(record.scores, self.frames),
                    "category_id": class_id + 1,
                    "category_name": self._classes[class_id],
                    "segmentations": [record.visible.get(t) for t in range(self.frames)],
                    "amodal_segmentations": [record.amodal.get(t) for t in range(self.frames)],
                    "states": [record.states.get(t) for t in range(self.frames)],
                }
            )
        return entries

    def _confirmed(self) -> dict[int, _TrackRecord]:
        name = TrackState.VISIBLE.name.lower()
        return {i: record for i, record in sorted(self._tracks.items()) if name in record.states.values()}
