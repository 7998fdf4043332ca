"""Sources of a video's frames: a video file, or one image per frame. No file is kept open."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..extras import optional_packages
from ..files.images import MAX_SIDE, ImageFileError, read_image
from ..files.videos import is_packet_damaged, open_video, upright_pixels
from .problems import DataError, DataProblem, RecordError

with optional_packages():
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class FrameSource(ABC):
    """The frames of one video, read on demand; cheap to pickle."""

    height: int
    width: int
    length: int

    def read(self, indices: Sequence[int]) -> Frames:
        """Read frames as uint8 [n, H, W, 3] RGB, in the order of `indices`; an index may occur twice.

        Raises:
            DataError: a frame is missing, broken or of another size.
        """
        wanted = np.asarray(indices, np.int64)
        if ((wanted < 0) | (wanted >= self.length)).any():
            raise IndexError(f"frames {list(indices)} of a video of {self.length}")
        frames = np.empty((len(wanted), self.height, self.width, 3), np.uint8)
        for index, frame in self._decode(np.unique(wanted).tolist()):
            frames[wanted == index] = frame
        return frames

    def unused_bits(self) -> tuple[str, bool | None]:
        """A picture's name, and whether it leaves its upper bits unused (see `deep_images`); None for 8 bits."""
        return "", None

    @abstractmethod
    def problems(self) -> Iterator[DataProblem]:
        """Read every frame and yield a problem for each that cannot be used."""

    @abstractmethod
    def _decode(self, ascending: Sequence[int]) -> Iterator[tuple[int, Frames]]:
        """Yield each of these frames with its index: uint8 [H, W, 3] RGB."""


@dataclass(frozen=True)
class ImageFiles(FrameSource):
    """One image file per frame, rotated as a viewer shows it.

    If the annotations declare the size of the stored pixels of an image that a viewer rotates by 90 degrees, they were
    made on the stored pixels, and these are read, unless `stored` says otherwise.
    """

    paths: tuple[str, ...]
    stored: bool | None = None
    """Whether the pixels are read as stored, whatever a viewer does with them; None where the size decides."""

    @classmethod
    def probe(cls, paths: Sequence[str]) -> ImageFiles:
        """Open image files; the size is that of the first."""
        first = _read_frame(paths[0], 0, None)
        return cls(height=first.shape[0], width=first.shape[1], length=len(paths), paths=tuple(paths))

    def unused_bits(self) -> tuple[str, bool | None]:
        """Look at the first picture; one that cannot be read is reported by who reads it."""
        path = self.paths[0]
        try:
            return path, read_image(path, size=(self.height, self.width), stored=self.stored).unused_bits
        except ImageFileError:
            return path, None

    def problems(self) -> Iterator[DataProblem]:
        """Decode every image and yield a problem for each that cannot be used."""
        for index in range(self.length):
            yield from _problems_in(self._decode([index]))

    def _decode(self, ascending: Sequence[int]) -> Iterator[tuple[int, Frames]]:
        for index in ascending:
            yield index, _read_frame(self.paths[index], index, (self.height, self.width), self.stored)


@dataclass(frozen=True)
class VideoFile(FrameSource):
    """A video file; only the requested frames and those they depend on are decoded."""

    path: str

    @classmethod
    def probe(cls, path: str) -> VideoFile:
        """Open a video file; size and length are read from it."""
        timeline = _timeline_of(path)
        return cls(height=timeline.height, width=timeline.width, length=len(timeline.times), path=path)

    def problems(self) -> Iterator[DataProblem]:
        """Decode every frame and yield a problem for each that cannot be used."""
        damaged: dict[int, str] = {}
        yield from _problems_in(self._undamaged(damaged))
        if damaged:
            first, what = next(iter(damaged.items()))
            message = f"{len(damaged)} of {self.length} frames are damaged, first frame {first}, which {what}"
            yield DataProblem(self.path, "video", message)

    def _undamaged(self, damaged: dict[int, str]) -> Iterator[int]:
        """Yield the numbers of the usable frames, and note in `damaged` what is wrong with the others."""
        for index, picture, damage in self._pictures(range(self.length)):
            if picture is None or damage:
                damaged[index] = damage
            else:
                _check_size(picture.shape[:2], self, self.path, index)
                yield index

    def _decode(self, ascending: Sequence[int]) -> Iterator[tuple[int, Frames]]:
        for index, picture, damage in self._pictures(ascending):
            if picture is None or damage:
                raise DataError(DataProblem(self.path, f"frame {index}", damage))
            _check_size(picture.shape[:2], self, self.path, index)
            yield index, picture

    def _pictures(self, ascending: Sequence[int]) -> Iterator[tuple[int, Frames | None, str]]:
        """Yield index, frame (None where it is missing) and what is wrong with it ("" for nothing) of each frame."""
        timeline = _timeline_of(self.path)
        if len(timeline.times) != self.length:
            raise _video_error(self.path, f"has {len(timeline.times)} frames where there were {self.length}")
        wanted = {timeline.times[index] for index in ascending}
        with _opened(self.path) as (container, stream):
            stream.codec_context.thread_count = 1  # The loader processes already share the cores.
            pictures: Iterator[av.VideoFrame] = iter(())
            position = -1  # Index of the last decoded frame.
            following: av.VideoFrame | None = None  # A frame that was decoded already, after a missing one.
            for index in ascending:
                key = timeline.keyframes[bisect_right(timeline.keyframes, index) - 1]
                if position < 0 or key > position + 1:
                    pictures, following = _pictures_from(container, stream, timeline.times[key], wanted), None
                time = timeline.times[index]
                while following is None or following.pts is None or following.pts < time:
                    following = next(pictures, None)
                    if following is None:
                        break
                position = index
                if following is None or following.pts != time:
                    yield index, None, "cannot be decoded"
                    continue
                damage = "is damaged" if following.is_corrupt or time in timeline.damaged else ""
                yield index, upright_pixels(following), damage


def load_image(
    path: str, flags: int, size: tuple[int, int] | None = None, *, stored: bool | None = None
) -> NDArray[np.uint8]:
    """Read an image with OpenCV's flags; see `read_image` for the arguments.

    Raises:
        RecordError: the image cannot be read or has another height and width than `size`.
    """
    try:
        image = read_image(path, flags, size=size, stored=stored)
    except ImageFileError as error:
        raise RecordError(str(error)) from error
    if image.damage:
        raise RecordError(image.damage)
    return image.pixels


def _problems_in(frames: Iterator[object]) -> Iterator[DataProblem]:
    try:
        deque(frames, maxlen=0)
    except DataError as error:
        yield error.problem


def _read_frame(path: str, index: int, size: tuple[int, int] | None, stored: bool | None = None) -> Frames:
    try:
        image = load_image(path, cv2.IMREAD_COLOR, size, stored=stored)
    except RecordError as error:
        raise DataError(DataProblem(path, f"frame {index}", str(error))) from error
    return image[:, :, ::-1]


def _check_size(size: tuple[int, ...], source: FrameSource, path: str, index: int) -> None:
    if size != (source.height, source.width):
        message = f"wrong size: {size[1]}x{size[0]}, not {source.width}x{source.height}"
        raise DataError(DataProblem(path, f"frame {index}", message))


class _Timeline(NamedTuple):
    """Facts about a video file that its packets give without decoding."""

    height: int
    width: int
    times: tuple[int, ...]  # Presentation time of each frame, in display order.
    keyframes: tuple[int, ...]  # Indices of the frames at which decoding can start.
    damaged: frozenset[int]  # Presentation times of frames whose data are damaged.


def _timeline_of(path: str) -> _Timeline:
    try:
        status = os.stat(path)
    except OSError as error:
        raise _video_error(path, f"cannot be read: {error.strerror}") from error
    return _read_timeline(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _read_timeline(path: str, _changed: int, _size: int) -> _Timeline:
    with _opened(path) as (container, stream):
        context = stream.codec_context
        found: dict[int | None, bool] = {}
        damaged, twice = set(), False
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                twice |= packet.pts in found
                found[packet.pts] = packet.is_keyframe
                if is_packet_damaged(packet, context.name, context.extradata):
                    damaged.add(packet.pts)
        height, width = _shown_size(container, stream)
    if twice or None in found:
        raise _video_error(path, "holds frames without a presentation time of their own: convert it to mp4")
    times = sorted(time for time in found if time is not None)
    keyframes = [index for index, time in enumerate(times) if found[time]]
    if not times or not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise _video_error(path, f"holds {len(times)} frames of {width}x{height}")
    # A file whose first frame is no keyframe is still decoded from its beginning.
    starts = tuple(sorted({0, *keyframes}))
    return _Timeline(height, width, tuple(times), starts, frozenset(time for time in damaged if time is not None))


def _shown_size(container: InputContainer, stream: VideoStream) -> tuple[int, int]:
    """Return height and width of the first frame as players show it.

    Those in the header where no frame can be decoded.
    """
    container.seek(0)
    try:
        for frame in container.decode(stream):
            return upright_pixels(frame).shape[:2]
    except av.InvalidDataError:
        pass  # The error of each frame is reported when it is read.
    return stream.height, stream.width


@contextmanager
def _opened(path: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        with open_video(path) as opened:
            yield opened
    except VideoError as error:
        raise _video_error(path, str(error).removeprefix(f"{path}: ")) from error


def _pictures_from(
    container: InputContainer, stream: VideoStream, time: int, wanted: set[int]
) -> Iterator[av.VideoFrame]:
    """Yield decoded frames from the keyframe at `time` on; frames not in `wanted` may be skipped."""
    container.seek(time, stream=stream)
    for packet in container.demux(stream):
        # Frames that no other frame depends on need not be decoded to reach the wanted ones.
        stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        try:
            yield from packet.decode()
        except av.InvalidDataError:
            continue  # A broken packet's frame is missing, which the times of the other frames show.


def _video_error(path: str, message: str) -> DataError:
    return DataError(DataProblem(path, "video", message))
