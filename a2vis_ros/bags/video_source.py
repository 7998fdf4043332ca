"""Sources of bags: a video file, a folder of images, or a FISHBOWL video with its ground truth."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from a2vis_model import FrameResult, RegionMask, TrackedInstance, TrackState
from a2vis_model.data import VideoRecord, open_fishbowl
from a2vis_model.data.fishbowl import found_classes
from a2vis_model.data.problems import DataError, DataProblem
from a2vis_model.files.video_io import DamageLog, VideoInput

from ..stream.image_decoding import Pixels

_FRAMES_AT_ONCE = 16


@dataclass(frozen=True)
class AnnotatedFrame:
    """One frame of a source."""

    seconds: float
    """Seconds since the first frame."""
    image: Pixels
    """Image, RGB uint8 [H, W, 3]."""
    truth: FrameResult | None
    """Ground truth of the frame; None where there is none."""


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video that can be written to a bag."""

    classes: tuple[str, ...]
    """Classes of the ground truth; empty where there is none."""
    length: int | None
    _clip: VideoRecord | None
    _video: VideoInput | None
    _rate: float

    @classmethod
    def open(cls, path: str | Path, rate: float | None = None) -> "AnnotatedVideo":
        """Open a video, a folder of images or a FISHBOWL video (a folder with objects.json).

        Args:
            path: the file or folder.
            rate: frames per second; by default the video's own, and 30 for images and FISHBOWL videos.

        Raises:
            A2VISError: there is nothing to read.
        """
        path = Path(os.path.expanduser(path))
        if (path / "objects.json").is_file():
            folder = path.resolve().parent
            dataset = open_fishbowl(folder, found_classes(folder))
            name = path.resolve().name
            if name not in dataset.names:
                raise DataError(DataProblem(str(path), "clip", f"is not among those of {folder}"))
            clip = dataset[list(dataset.names).index(name)]
            return cls(clip.classes, clip.length, clip, None, rate or 30.0)
        video = VideoInput.open(path)
        return cls((), video.length, None, video, rate or 0.0)

    def frames(self, damage: DamageLog | None = None) -> Iterator[AnnotatedFrame]:
        """Yield frame after frame; damaged ones of a video or a folder are noted, or raise where there is no log."""
        if self._clip is not None:
            yield from self._of_clip(self._clip)
        elif self._video is not None:
            for index, (seconds, image) in enumerate(self._video.frames(damage)):
                yield AnnotatedFrame(index / self._rate if self._rate else seconds, image, None)

    def _of_clip(self, clip: VideoRecord) -> Iterator[AnnotatedFrame]:
        for start in range(0, clip.length, _FRAMES_AT_ONCE):
            indices = range(start, min(start + _FRAMES_AT_ONCE, clip.length))
            for index, image in zip(indices, clip.frames(indices), strict=True):
                yield AnnotatedFrame(index / self._rate, image, _truth(clip, index))


def _truth(clip: VideoRecord, index: int) -> FrameResult:
    """Return what a perfect tracker would report of a frame: objects from their first visible frame on (paper 3.1)."""
    instances = []
    for track in clip.tracks:
        first = clip.first_visible(track)
        if index < first:
            continue
        masks = [track.visible_mask(index), track.amodal_mask(index)]
        visible, amodal = (
            None if mask is None else RegionMask.crop(mask, x=0, y=0, image_height=clip.height, image_width=clip.width)
            for mask in masks
        )
        seen = next((t for t in range(index, first - 1, -1) if track.visible.area(t)), first)
        hidden = TrackState.OCCLUDED if amodal is not None and amodal.area else TrackState.LOST
        instances.append(
            TrackedInstance(
                track_id=track.object_id + 1,
                slot=0,
                state=TrackState.VISIBLE if visible is not None and visible.area else hidden,
                class_id=track.class_id,
                class_name=clip.classes[track.class_id],
                score=1.0,
                existence=1.0,
                age=index - first,
                frames_since_visible=index - seen,
                visible=visible,
                amodal=amodal,
            )
        )
    return FrameResult(index, 0.0, 0, clip.height, clip.width, tuple(instances))
