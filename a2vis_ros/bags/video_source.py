"""Sources of bags: a video file, a folder of images, or a FISHBOWL video with its ground truth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from a2vis_model import A2VISError, FrameResult, RegionMask, TrackedInstance, TrackState
from a2vis_model.data import VideoRecord, open_fishbowl
from a2vis_model.data.fishbowl import found_classes
from a2vis_model.data.problems import DataError, DataProblem
from a2vis_model.data.space_truth import SPACE_FILE, SpaceTruth, read_space
from a2vis_model.files.home import at_home
from a2vis_model.files.video_io import DamageLog, VideoInput

from ..stream.image_decoding import Pixels
from ..stream.image_motion import ImageMotion, true_motions

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
    index: int
    """Index of the frame, from 0."""
    motions: Mapping[int, ImageMotion] = field(default_factory=dict)
    """True motions of the instances in the image, by track ID."""


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video that can be written to a bag."""

    classes: tuple[str, ...]
    """Classes of the ground truth; empty where there is none."""
    length: int | None
    _clip: VideoRecord | None
    _video: VideoInput | None
    _rate: float
    space: SpaceTruth | None = None
    """Camera, times and poses of the video; None where they are unknown."""
    directory: Path | None = None
    """Folder of an annotated video."""

    @classmethod
    def open(cls, path: str | Path, rate: float | None = None) -> "AnnotatedVideo":
        """Open a video, a folder of images or a FISHBOWL video (a folder with objects.json).

        Args:
            path: the file or folder.
            rate: frames per second; by default the video's own, and 30 for images and FISHBOWL videos. A video with
                `space.json` has the times given there, for which alone its velocities hold.

        Raises:
            A2VISError: there is nothing to read, or a rate is given for a video that has times of its own.
        """
        path = at_home(path)
        if (path / "objects.json").is_file():
            folder = path.resolve().parent
            dataset = open_fishbowl(folder, found_classes(folder))
            name = path.resolve().name
            if name not in dataset.names:
                raise DataError(DataProblem(str(path), "clip", f"is not among those of {folder}"))
            clip = dataset[list(dataset.names).index(name)]
            space = read_space(path)
            if space is not None and len(space.stamps) != clip.length:
                what = f"is of {len(space.stamps)} frames, and the clip has {clip.length}; render it again"
                raise DataError(DataProblem(str(path / SPACE_FILE), "stamps", what))
            if space is not None and rate:
                raise A2VISError(
                    f"rate is {rate:g}, but {path / SPACE_FILE} says when each frame was taken; leave it out"
                )
            return cls(clip.classes, clip.length, clip, None, rate or 30.0, space, path)
        video = VideoInput.open(path)
        return cls((), video.length, None, video, rate or 0.0)

    def frames(self, damage: DamageLog | None = None) -> Iterator[AnnotatedFrame]:
        """Yield frame after frame; damaged ones of a video or a folder are noted, or raise where there is no log."""
        if self._clip is not None:
            yield from self._of_clip(self._clip)
        elif self._video is not None:
            for index, (seconds, image) in enumerate(self._video.frames(damage)):
                yield AnnotatedFrame(index / self._rate if self._rate else seconds, image, None, index)

    def _of_clip(self, clip: VideoRecord) -> Iterator[AnnotatedFrame]:
        before, now = None, _truth(clip, 0, self._seconds(0))
        for start in range(0, clip.length, _FRAMES_AT_ONCE):
            indices = range(start, min(start + _FRAMES_AT_ONCE, clip.length))
            for index, image in zip(indices, clip.frames(indices), strict=True):
                after = _truth(clip, index + 1, self._seconds(index + 1)) if index + 1 < clip.length else None
                yield AnnotatedFrame(now.timestamp, image, now, index, true_motions(before, now, after))
                if after is not None:
                    before, now = now, after

    def _seconds(self, index: int) -> float:
        return index / self._rate if self.space is None else float(self.space.stamps[index])


def _truth(clip: VideoRecord, index: int, seconds: float) -> FrameResult:
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
    return FrameResult(index, seconds, 0, clip.height, clip.width, tuple(instances))
