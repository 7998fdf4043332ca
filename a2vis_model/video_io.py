"""Reading videos and folders of frames, and writing videos."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from .atomic import replacing
from .errors import VideoError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
DEFAULT_RATE = 30.0
"""Frames per second assumed for a folder of images."""


@dataclass(frozen=True)
class VideoInput:
    """A video file or a folder of images, opened far enough to know what it is."""

    path: Path
    height: int
    width: int
    rate: float
    """Frames per second."""
    length: int | None
    """Number of frames; None where the file does not say."""

    @classmethod
    def open(cls, path: str | Path) -> "VideoInput":
        """Look at a video file or a folder of images.

        Raises:
            VideoError: if there is nothing to read.
        """
        path = Path(path)
        if path.is_dir():
            images = _images(path)
            first = _read_image(images[0])
            return cls(path, first.shape[0], first.shape[1], DEFAULT_RATE, len(images))
        if not path.is_file():
            raise VideoError(f"{path}: no such file or folder; give a video file or a folder of images")
        try:
            with av.open(str(path)) as container:
                stream = _video_stream(path, container)
                rate = float(stream.average_rate or DEFAULT_RATE)
                length = stream.frames or None
                return cls(path, stream.height, stream.width, rate, length)
        except av.FFmpegError as error:
            raise VideoError(f"{path}: not a readable video ({error.strerror})") from error

    def frames(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Decode frame after frame: (timestamp in seconds, RGB uint8 [H, W, 3]).

        Raises:
            VideoError: where decoding fails, with the frame's number.
        """
        if self.path.is_dir():
            for index, file in enumerate(_images(self.path)):
                yield index / self.rate, _read_image(file)
            return
        index = 0
        try:
            with av.open(str(self.path)) as container:
                stream = _video_stream(self.path, container)
                stream.thread_type = "AUTO"
                for frame in container.decode(stream):
                    time = frame.time if frame.time is not None else index / self.rate
                    yield float(time), frame.to_ndarray(format="rgb24")
                    index += 1
        except av.FFmpegError as error:
            raise VideoError(f"{self.path}: broken at frame {index} ({error.strerror})") from error
        if not index:
            raise VideoError(f"{self.path}: holds no frame")


class VideoWriter:
    """Writes RGB frames as H.264 in an MP4; use it in a `with` statement.

    Args:
        path: the file to write; it appears when the writer is closed without an error.
        height, width: of the frames in pixels; an odd last row or column is left out, as H.264 asks.
        rate: frames per second.
    """

    def __init__(self, path: str | Path, *, height: int, width: int, rate: float) -> None:
        self._path = Path(path)
        self._open = ExitStack()
        self._size = (height, width)
        self._height, self._width = height // 2 * 2, width // 2 * 2
        self._container = av.open(str(self._open.enter_context(replacing(self._path))), "w", format="mp4")
        self._open.callback(self._container.close)
        self._stream = self._container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        self._stream.height, self._stream.width = self._height, self._width
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "20", "preset": "veryfast"}

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append one RGB frame, uint8 [height, width, 3]."""
        if image.shape[:2] != self._size:
            raise VideoError(
                f"{self._path}: a frame of {image.shape[1]}x{image.shape[0]} in a video of "
                f"{self._size[1]}x{self._size[0]}; all frames of a video have one size"
            )
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[: self._height, : self._width]), format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._container.mux(self._stream.encode(None))
        except BaseException:
            self._open.__exit__(*sys.exc_info())
            raise
        self._open.__exit__(kind, error, trace)


def _video_stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    if not container.streams.video:
        raise VideoError(f"{path}: holds no video stream")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise VideoError(f"{path}: in a codec that cannot be decoded here; convert it to H.264")
    return stream


def _images(folder: Path) -> list[Path]:
    images = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise VideoError(f"{folder}: no images in it; looked for {', '.join(IMAGE_SUFFIXES)}")
    return images


def _read_image(file: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise VideoError(f"{file}: not a readable image")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
