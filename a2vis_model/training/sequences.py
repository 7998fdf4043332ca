"""Training sequences and their order: a function of seed and step alone, so that no state needs to be saved."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from ..compat import end_workers
from ..data.problems import DataError
from ..errors import A2VISError
from .augmentation import Augmentation, TrainingSample, augment
from .batch import Batch
from .copy_paste import copy_paste
from .draws import SMALL_SIDE, EvenDraws, Focus
from .sources import ClassifiedSource, Video, VideoSource

_ATTEMPTS = 20
_CANDIDATES = 8


@dataclass(frozen=True)
class SequenceDataset(Dataset[TrainingSample]):
    """Random sequences; number `index` is always the same.

    A video is drawn, then a frame of it, then the other frames at most `reach` away, in the order of the video and
    possibly more than once (GenVIS). The first frame is drawn where much is hidden, since in most frames little is.
    Still images become sequences by the moving crop of the augmentation.

    With even draws a class is drawn first, then a video that holds it and a frame in which it may be visible, from
    sources that know their classes (`ClassifiedSource`).
    """

    sources: Sequence[VideoSource]
    weights: Sequence[float]
    """Relative frequency with which each source is drawn."""
    frames: int
    """Number of frames of a sequence."""
    reach: int
    height: int
    """Height of the network's input in pixels."""
    width: int
    augmentation: Augmentation
    seed: int
    even_draws: bool = True
    draws: Sequence[EvenDraws | None] = field(init=False, repr=False)
    """Even draws of each source; None where any video is drawn."""

    def __post_init__(self) -> None:
        # The videos are sorted once, before loader processes are started.
        object.__setattr__(self, "draws", [self._draws(source) for source in self.sources])

    def _draws(self, source: VideoSource) -> EvenDraws | None:
        if not self.even_draws or not isinstance(source, ClassifiedSource):
            return None
        return EvenDraws.of(source.video_classes(), small_share=SMALL_SIDE**2 / (self.height * self.width))

    def __getitem__(self, index: int) -> TrainingSample:
        # Broken videos and frames without objects are drawn again, with other random numbers.
        error: DataError | None = None
        sample: TrainingSample | None = None
        for attempt in range(_ATTEMPTS):
            try:
                sample = self._draw(np.random.default_rng((self.seed, index, attempt)))
            except DataError as problem:
                error = problem
                continue
            if len(sample.classes):
                return sample
        if sample is None:
            raise A2VISError(f"{_ATTEMPTS} videos in a row cannot be used; the last: {error}; run 'a2vis check-data'")
        return sample

    def _draw(self, rng: np.random.Generator) -> TrainingSample:
        share = np.asarray(self.weights) / np.sum(self.weights)
        number = int(rng.choice(len(self.sources), p=share))
        sample, still = self._draw_from(number, rng)
        if still and rng.random() < self.augmentation.copy_paste:
            other, still = self._draw_from(number, rng)
            if still:
                sample = copy_paste(sample, other, rng)
        return sample

    def _draw_from(self, number: int, rng: np.random.Generator) -> tuple[TrainingSample, bool]:
        """Draw a sequence from one of the sources; also return whether it is made of a still picture."""
        source, draws = self.sources[number], self.draws[number]
        focus: Focus | None = None
        holding: NDArray[np.int64] | None = None
        if draws is None or not isinstance(source, ClassifiedSource):
            video = source[int(rng.integers(len(source)))]
        else:
            video_number, focus = draws.draw(self.augmentation.resized, rng)
            classified = source[video_number]
            video, holding = classified, classified.frames_with(focus.class_id)
        frames = np.arange(video.length) if holding is None or not len(holding) else holding
        still = video.length == 1
        reference = int(rng.choice(frames)) if self.frames == 1 else draw_reference(video, frames, rng)
        indices = draw_frames(reference, video.length, self.frames, self.reach, rng)
        sample = video.load(indices.tolist(), seen_only=True)
        # Objects of a video move: the object in focus may have left by the next frame.
        changed = augment(
            sample,
            self.augmentation,
            height=self.height,
            width=self.width,
            rng=rng,
            focus=focus if still else None,
        )
        return changed, still


def draw_reference(video: Video, frames: NDArray[np.int64], rng: np.random.Generator) -> int:
    """Draw one of some frames: among a few random ones, in proportion to the hidden area in it."""
    candidates = rng.choice(frames, size=_CANDIDATES)
    areas = np.array([1 + video.hidden_area(t) for t in candidates.tolist()])
    return int(rng.choice(candidates, p=areas / areas.sum()))


def draw_frames(reference: int, length: int, count: int, reach: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a frame of `length` and count - 1 others at most `reach` frames away, with replacement, ascending."""
    low, high = max(reference - reach, 0), min(reference + reach, length - 1)
    if low == high:
        return np.full(count, reference, np.int64)
    others = rng.integers(low, high, count - 1)
    return np.sort(np.append(others + (others >= reference), reference))


@contextmanager
def load_batches(
    dataset: SequenceDataset,
    steps: range,
    *,
    batch: int,
    rank: int,
    world_size: int,
    workers: int,
    device: torch.device,
) -> Iterator[Iterator[Batch]]:
    """Yield the batches of these steps, read ahead by `workers` processes, which end with the block.

    Each batch has `batch` sequences for every process.

    Raises:
        A2VISError: an error of `dataset`, raised when its batch is reached.
    """
    first = [(step * world_size + rank) * batch for step in steps]
    loader = DataLoader(
        _Attempts(dataset),
        batch_sampler=[list(range(start, start + batch)) for start in first],
        collate_fn=_collate,
        num_workers=workers,
        worker_init_fn=_start_worker,
        pin_memory=device.type == "cuda",
    )
    with _without_garbage():
        loaded = iter(loader)
    try:
        yield map(_batch, loaded)
    finally:
        # The traceback of an error keeps the loader alive, and at its end Python would wait for ever for workers that
        # ignore SIGTERM.
        end_workers(loaded)


@contextmanager
def _without_garbage() -> Iterator[None]:
    """Fork without objects that the garbage collector of a new process could delete.

    A video decoder has threads, which a fork does not copy: a process that deletes one made before the fork crashes.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@dataclass(frozen=True)
class _Attempts(Dataset[TrainingSample | A2VISError]):
    """Sequences, with errors as values: an exception in a worker would arrive as the text of its traceback."""

    sequences: SequenceDataset

    def __getitem__(self, index: int) -> TrainingSample | A2VISError:
        try:
            return self.sequences[index]
        except A2VISError as error:
            return error


def _collate(attempts: Sequence[TrainingSample | A2VISError]) -> Batch | A2VISError:
    samples = []
    for attempt in attempts:
        if isinstance(attempt, A2VISError):
            return attempt
        samples.append(attempt)
    return Batch.collate(samples)


def _batch(loaded: Batch | A2VISError) -> Batch:
    if isinstance(loaded, A2VISError):
        raise loaded
    return loaded


def _start_worker(_number: int) -> None:
    # Signals often go to all processes, but the main process decides when to stop, and then ends the workers. Each
    # uses one thread, because they are many.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
