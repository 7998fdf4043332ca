"""Sources of training videos: data sets on disk, partly cached in memory, and videos rendered on demand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..data.dataset import Dataset
from ..data.formats import open_dataset
from ..data.frames import Frames, FrameSource
from ..data.problems import DataError, DataProblem, ProblemLog
from ..data.video import Sample, VideoRecord
from ..errors import A2VISError
from ..machine import cores
from ..masks import coco
from ..render import WORLD_CLASSES, RenderedClip, SyntheticClips, World, clip_seed
from ..render.composed_world import ComposedClip
from ..render.cutouts import Pictures, load_pictures

RENDER_PREFIX = "render:"
COMPOSED_PREFIX = "composed:"
_COMPOSED_SIZE = (288, 432)
"""Height and width in pixels of composed videos: the scale of most photographs they are made of."""
_COMPOSED_LEAST = 24
"""Smallest number of visible pixels in a sequence with which a thing counts as an object."""


class Video(Protocol):
    """Interface of a training video; `a2vis_model.data.video.VideoRecord` implements it."""

    @property
    def length(self) -> int:
        """Number of frames."""

    def load(self, indices: Sequence[int], *, seen_only: bool = False) -> Sample:
        """Decode frames, and the masks of all objects or of those visible in one of them."""

    def hidden_area(self, t: int) -> int:
        """Count the hidden pixels of all objects in a frame; 0 where they are unknown."""


class VideoSource(Protocol):
    """Interface of a collection of videos; `a2vis_model.data.dataset.Dataset` implements it."""

    has_amodal: bool

    def __len__(self) -> int:
        """Return the number of videos."""

    def __getitem__(self, index: int) -> Video:
        """Return one video.

        Raises:
            DataError: nothing of the video can be used.
        """


class ClassifiedVideo(Video, Protocol):
    """A video that knows in which frames its classes occur."""

    def frames_with(self, class_id: int) -> NDArray[np.int64]:
        """Return the frames in which objects of a class may be visible."""


@runtime_checkable
class ClassifiedSource(VideoSource, Protocol):
    """A collection that knows which classes its videos hold, so that classes can be drawn evenly."""

    def __getitem__(self, index: int) -> ClassifiedVideo:
        """Return one video (see `VideoSource`)."""

    def video_classes(self) -> Iterable[Mapping[int, float]]:
        """Yield the classes and sizes of each video's objects (see `a2vis_model.data.dataset.Dataset`)."""


def open_source(
    text: str,
    classes: Sequence[str],
    *,
    frames: int,
    seed: int,
    gigabytes: float,
    labels: str | Path | None = None,
) -> VideoSource:
    """Open a data set on disk, or `render:WORLD` or `composed:DIR` for videos that are rendered anew for every sample.

    Args:
        text: path, `render:` with "aquarium", "robot" or "mixed", or `composed:` with a folder (see `open_composed`).
        classes: the network's classes; objects of others are left out.
        frames: length of rendered videos.
        seed: seed of the series of rendered videos.
        gigabytes: memory for decoded videos of a data set.
        labels: file that says what is labelled in pictures (see `a2vis_model.data.labels`).

    Raises:
        A2VISError: it cannot be read, or holds none of the classes.
    """
    if text.startswith(COMPOSED_PREFIX):
        return open_composed(text, classes, frames=frames, seed=seed)
    if not text.startswith(RENDER_PREFIX):
        dataset = open_dataset(text, classes=classes, labels=labels)
        if not any(name in classes for name in dataset.class_names()):
            raise _strange_classes(text, classes, sorted(set(dataset.class_names())))
        return CachedSource(dataset, gigabytes)
    world = text.removeprefix(RENDER_PREFIX)
    if world not in get_args(World):
        raise A2VISError(f"--data {text}: choose one of {', '.join(RENDER_PREFIX + w for w in get_args(World))}")
    if set(classes).isdisjoint(WORLD_CLASSES[world]):
        raise _strange_classes(text, classes, WORLD_CLASSES[world])
    return RenderedSource(cast(World, world), classes, frames=frames, seed=seed)


def open_composed(text: str, classes: Sequence[str], *, frames: int, seed: int) -> ComposedSource:
    """Open the source of videos composed of the pictures in `DIR/cutouts` and `DIR/backgrounds`.

    Where these are split into folders `train` and `val`, `composed:DIR` reads `train` and `composed:DIR@val` the other.
    A folder `train` of cut-outs without subfolders is a class of that name.

    Raises:
        A2VISError: the pictures cannot be used, or show none of the classes.
    """
    folder, split = text.removeprefix(COMPOSED_PREFIX), ""
    if not Path(folder).is_dir() and "@" in folder:
        folder, _, split = folder.rpartition("@")
    folders = [Path(folder) / name for name in ("cutouts", "backgrounds")]
    cutouts, backgrounds = (whole / (split or "train") for whole in folders)
    if not split and not any(path.is_dir() for path in cutouts.glob("*")):
        cutouts = folders[0]
    if not split and not backgrounds.is_dir():
        backgrounds = folders[1]
    return ComposedSource(load_pictures(cutouts, backgrounds, ProblemLog(), classes), classes, frames=frames, seed=seed)


def _strange_classes(text: str, wanted: Sequence[str], found: Sequence[str]) -> A2VISError:
    return A2VISError(
        f"{text}: holds none of the network's classes {', '.join(wanted)}; give --classes some of its own: "
        f"{', '.join(found) or 'it has none'}"
    )


class RenderedSource:
    """An unlimited supply of rendered videos, of the size of FISHBOWL's."""

    has_amodal = True

    def __init__(self, world: World, classes: Sequence[str], *, frames: int, seed: int) -> None:
        self._classes = tuple(classes)
        self._clips = SyntheticClips(world, seed=seed, frames=frames, length=2**31)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Video:
        return RenderedVideo(self._clips[index], self._classes)


class ComposedSource:
    """An unlimited supply of videos composed of pictures; loader processes that are forked later share the pictures."""

    has_amodal = True

    def __init__(self, pictures: Pictures, classes: Sequence[str], *, frames: int, seed: int) -> None:
        self._pictures, self._classes = pictures, tuple(classes)
        self._frames, self._seed = frames, seed

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> Video:
        height, width = _COMPOSED_SIZE
        clip = ComposedClip.sample(
            self._pictures, seed=clip_seed(self._seed, index), frames=self._frames, height=height, width=width
        )
        return ComposedVideo(clip, self._classes)


@dataclass(frozen=True)
class ComposedVideo:
    """A composed video in the form of a data set's; its frames are rendered when they are loaded."""

    clip: ComposedClip
    classes: tuple[str, ...]
    """The network's classes."""

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self.clip.times)

    def load(self, indices: Sequence[int], *, seen_only: bool = False) -> Sample:
        """Render frames and masks (see `Video`); objects are first visible where they are in the loaded frames."""
        rendered, places = np.unique(np.asarray(indices, np.int64), return_inverse=True)
        clip = self.clip.render(rendered.tolist(), _COMPOSED_LEAST)
        sample = RenderedVideo(clip, self.classes).load(places.tolist(), seen_only=seen_only)
        return replace(sample, indices=np.asarray(indices, np.int64), first_visible=rendered[sample.first_visible])

    def hidden_area(self, t: int) -> int:
        """Return 0: what is hidden in a frame is unknown before it is rendered."""
        return 0


@dataclass(frozen=True)
class RenderedVideo:
    """A rendered video in the form of a data set's."""

    clip: RenderedClip
    classes: tuple[str, ...]
    """The network's classes."""

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self.clip.frames)

    def load(self, indices: Sequence[int], *, seen_only: bool = False) -> Sample:
        """Return frames and masks (see `Video`)."""
        objects = [
            o
            for o in self.clip.objects
            if o.class_name in self.classes and (not seen_only or o.visible_areas[list(indices)].any())
        ]
        masks = np.zeros((2, len(objects), len(indices), *self.clip.frames.shape[1:3]), np.bool_)
        for n, rendered in enumerate(objects):
            for row, t in enumerate(indices):
                masks[0, n, row] = coco.decode(rendered.visible_rles[t])
                masks[1, n, row] = coco.decode(rendered.amodal_rles[t])
        return Sample(
            name=f"{self.clip.world} {self.clip.seed}",
            indices=np.asarray(indices, np.int64),
            frames=self.clip.frames[list(indices)],
            visible=masks[0],
            amodal=masks[1],
            class_ids=np.array([self.classes.index(o.class_name) for o in objects], np.int64),
            object_ids=np.array([o.id for o in objects], np.int64),
            first_visible=np.array([np.flatnonzero(o.visible_areas)[0] for o in objects], np.int64),
        )

    def hidden_area(self, t: int) -> int:
        """Count the hidden pixels of all objects in a frame (see `Video`)."""
        known = (o for o in self.clip.objects if o.class_name in self.classes)
        return sum(coco.area(o.amodal_rles[t]) - coco.area(o.visible_rles[t]) for o in known)


@dataclass(frozen=True)
class MemoryFrames(FrameSource):
    """The decoded frames of a video, in memory."""

    pixels: Frames

    def read(self, indices: Sequence[int]) -> Frames:
        """Return frames as uint8 [n, H, W, 3] RGB, in the order of `indices`."""
        return self.pixels[np.asarray(indices, np.int64)]

    def problems(self) -> Iterator[DataProblem]:
        """Yield nothing: the frames are decoded."""
        return iter(())

    def _decode(self, ascending: Sequence[int]) -> Iterator[tuple[int, Frames]]:
        return ((index, self.pixels[index]) for index in ascending)


class CachedSource:
    """A data set whose first videos, as many as `gigabytes` hold, are kept in memory with their frames decoded.

    Reading frames of a video file is expensive: all frames since the last key frame have to be decoded. Loader
    processes that are forked later share the memory.
    """

    def __init__(self, dataset: Dataset, gigabytes: float) -> None:
        self.has_amodal = dataset.has_amodal
        self._dataset = dataset
        self._videos: dict[int, VideoRecord] = {}
        budget = gigabytes * 1e9
        at_once = cores()
        with (
            ThreadPoolExecutor(at_once) as threads,
            tqdm(total=len(dataset), desc="reading videos", unit="video", leave=False, disable=None) as bar,
        ):
            for start in range(0, len(dataset), at_once):
                if budget <= 0:
                    break
                numbers = range(start, min(start + at_once, len(dataset)))
                for number, (video, size) in zip(numbers, threads.map(self._decode, numbers), strict=True):
                    bar.update()
                    budget -= size
                    if video is not None and budget >= 0:
                        self._videos[number] = video

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> VideoRecord:
        return self._videos.get(index) or self._dataset[index]

    def video_classes(self) -> Iterable[Mapping[int, float]]:
        """Yield the classes and sizes of each video's objects (see `ClassifiedSource`)."""
        return self._dataset.video_classes()

    def _decode(self, index: int) -> tuple[VideoRecord | None, int]:
        try:
            video = self._dataset[index]
            pixels = video.frames(range(video.length))
        except DataError:
            return None, 0  # A broken video is reported, and skipped when it is drawn.
        source = MemoryFrames(height=video.height, width=video.width, length=video.length, pixels=pixels)
        return replace(video, source=source), pixels.nbytes
