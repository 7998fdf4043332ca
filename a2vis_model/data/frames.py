"""Where the frames of a video come from: a video file, or one image a frame. Nothing is held open."""

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

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from .json_file import MAX_SIDE
from .problems import DataError, DataProblem, RecordError

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class FrameSource(ABC):
    """The frames of one video, read on demand; cheap to pickle."""

    height: int
    width: int
    length: int

    def read(self, indices: Sequence[int]) -> Frames:
        """uint8 [n, H, W, 3] RGB, in the order asked for; an index may be asked for twice.

        Raises DataError when a frame is missing, broken or of another size.
        """
        wanted = np.asarray(indices, np.int64)
        if ((wanted < 0) | (wanted >= self.length)).any():
            raise IndexError(f"frames {list(indices)} of a video of {self.length}")
        frames = np.empty((len(wanted), self.height, self.width, 3), np.uint8)
        for index, frame in self._decode(np.unique(wanted).tolist()):
            frames[wanted == index] = frame
        return frames

    @abstractmethod
    def problems(self) -> Iterator[DataProblem]:
        """Reads every frame and names those that cannot be used."""

    @abstractmethod
    def _decode(self, ascending: Sequence[int]) -> Iterator[tuple[int, Frames]]:
        """Each of these frames with its index: uint8 [H, W, 3] RGB."""


@dataclass(frozen=True)
class ImageFiles(FrameSource):
    """One image file a frame."""

    paths: tuple[str, ...]

    @classmethod
    def probe(cls, paths: Sequence[str]) -> ImageFiles:
        """Takes the size from the first of the images."""
        first = _read_frame(paths[0], 0)
        return cls(height=first.shape[0], width=first.shape[1], length=len(paths), paths=tuple(paths))

    def problems(self) -> Iterator[DataProblem]:
        for index in range(self.length):
            yield from _problems_in(self._decode([index]))

    def _decode(self, ascending: Sequence[int]) -> Iterator[tuple[int, Frames]]:
        for index in ascending:
            frame = _read_frame(self.paths[index], index)
            _check_size(frame.shape[:2], self, self.paths[index], index)
            yield index, frame


@dataclass(frozen=True)
class VideoFile(FrameSource):
    """A video file, of which only the frames asked for, and those they depend on, are decoded."""

    path: str

    @classmethod
    def probe(cls, path: str) -> VideoFile:
        """Takes size and length from the file."""
        timeline = _timeline_of(path)
        return cls(height=timeline.height, width=timeline.width, length=len(timeline.times), path=path)

    def problems(self) -> Iterator[DataProblem]:
        return _problems_in(self._decode(range(self.length)))

    def _decode(self, ascending: Sequence[int]) -> Iterator[tuple[int, Frames]]:
        timeline = _timeline_of(self.path)
        if len(timeline.times) != self.length:
            raise _video_error(self.path, f"has {len(timeline.times)} frames where there were {self.length}")
        wanted = {timeline.times[index] for index in ascending}
        with _opened(self.path) as (container, stream):
            stream.codec_context.thread_count = 1  # the loader processes share the cores already
            pictures: Iterator[av.VideoFrame] = iter(())
            position = -1  # of the last frame decoded
            for index in ascending:
                key = timeline.keyframes[bisect_right(timeline.keyframes, index) - 1]
                if position < 0 or key > position + 1:
                    pictures = _pictures_from(container, stream, timeline.times[key], wanted)
                picture = next((p for p in pictures if p.pts == timeline.times[index]), None)
                if picture is None or picture.is_corrupt:
                    raise DataError(DataProblem(self.path, f"frame {index}", "cannot be decoded"))
                _check_size((picture.height, picture.width), self, self.path, index)
                position = index
                yield index, np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)


def load_image(path: str, flags: int) -> NDArray[np.uint8]:
    """An image by OpenCV's flags, from any path, without OpenCV's own warnings; raises RecordError."""
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), flags)
    except (OSError, ValueError, cv2.error) as error:  # ValueError: no possible name of a file
        reason = error.strerror if isinstance(error, OSError) else "not an image"
        raise RecordError(f"cannot be read: {reason}") from error
    if image is None:
        raise RecordError("cannot be read: not an image, or a broken one")
    return np.asarray(image, np.uint8)


def _problems_in(frames: Iterator[object]) -> Iterator[DataProblem]:
    try:
        deque(frames, maxlen=0)
    except DataError as error:
        yield error.problem


def _read_frame(path: str, index: int) -> Frames:
    try:
        # Masks are drawn on the pixels as stored, whatever the camera noted about its orientation.
        image = load_image(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except RecordError as error:
        raise DataError(DataProblem(path, f"frame {index}", str(error))) from error
    return image[:, :, ::-1]


def _check_size(size: tuple[int, ...], source: FrameSource, path: str, index: int) -> None:
    if size != (source.height, source.width):
        message = f"wrong size: {size[1]}x{size[0]}, not {source.width}x{source.height}"
        raise DataError(DataProblem(path, f"frame {index}", message))


class _Timeline(NamedTuple):
    """What the packets of a video file tell without decoding any."""

    height: int
    width: int
    times: tuple[int, ...]  # presentation time of each frame, in the order shown
    keyframes: tuple[int, ...]  # indices of the frames where decoding can start


def _timeline_of(path: str) -> _Timeline:
    try:
        status = os.stat(path)
    except OSError as error:
        raise _video_error(path, f"cannot be read: {error.strerror}") from error
    return _read_timeline(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _read_timeline(path: str, _changed: int, _size: int) -> _Timeline:
    with _opened(path) as (container, stream):
        packets = {p.pts: p.is_keyframe for p in container.demux(stream) if p.size and not p.is_discard}
        height, width = stream.height, stream.width
    if None in packets:
        raise _video_error(path, "holds frames without a presentation time: convert it to mp4")
    times = sorted(time for time in packets if time is not None)
    keyframes = [index for index, time in enumerate(times) if packets[time]]
    if not times or not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise _video_error(path, f"holds {len(times)} frames of {width}x{height}")
    # A file whose first frame is no keyframe is decoded from its beginning all the same.
    return _Timeline(height, width, tuple(times), tuple(sorted({0, *keyframes})))


@contextmanager
def _opened(path: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        # A file may pose as a playlist of others: only itself is read.
        with av.open(path, options={"protocol_whitelist": "file"}, metadata_errors="ignore") as container:
            if not container.streams.video:
                raise _video_error(path, "holds no video")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise _video_error(path, "is in a codec that cannot be decoded here: convert it to H.264")
            yield container, stream
    except av.FFmpegError as error:
        raise _video_error(path, f"cannot be read: {error.strerror}") from error


def _pictures_from(
    container: InputContainer, stream: VideoStream, time: int, wanted: set[int]
) -> Iterator[av.VideoFrame]:
    """Decoded frames from the keyframe shown at that time on; of the others, some are left out."""
    container.seek(time, stream=stream)
    for packet in container.demux(stream):
        # Frames that no other frame depends on need not be decoded to get at the wanted ones.
        stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        yield from packet.decode()


def _video_error(path: str, message: str) -> DataError:
    return DataError(DataProblem(path, "video", message))
