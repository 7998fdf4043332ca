"""Reading videos and folders of frames, and writing videos."""

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError, printable
from ..extras import optional_packages
from .atomic import replacing
from .deep_images import DeepImages, unused_bits
from .home import at_home
from .images import IMAGE_SUFFIXES, ImageFileError, frame_files, read_image
from .videos import create_mp4, decode_packets, is_packet_damaged, open_video, upright_pixels

with optional_packages():
    import av

logger = logging.getLogger(__name__)

DEFAULT_RATE = 30.0
"""Frames per second assumed for a folder of images."""
_TICKS = 90_000
"""Ticks per second of written videos: MPEG's clock, in which frame times at all usual rates are whole numbers."""
_NAMED = 8
"""Number of damaged frames that a summary names; further ones are counted."""
_LONGEST_NAMED = 300
"""Most characters that a summary says of each; names of files have at most 255 bytes."""


@dataclass
class DamageLog:
    """Damaged frames of an input: broken in the file, or partly made up by the decoder.

    Args:
        source: file or folder, for messages.
        strict: raise an error at the first damaged frame.
    """

    source: str
    strict: bool = False
    frames: dict[int, str] = field(default_factory=dict)
    """What is wrong, by frame number."""
    lost: list[str] = field(default_factory=list)
    """What could not be decoded at all and is left out."""
    read: int = 0
    """Number of frames that were read, damaged ones included."""

    def __bool__(self) -> bool:
        return bool(self.frames or self.lost)

    def add(self, frame: int, what: str) -> None:
        """Note a damaged frame.

        Raises:
            VideoError: the log is strict.
        """
        self.frames[frame] = what
        if self.strict:
            raise VideoError(f"{self.source}: frame {frame} {what}: it is damaged; remove --strict to continue")

    def lose(self, what: str) -> None:
        """Note something that is left out.

        Raises:
            VideoError: the log is strict.
        """
        self.lost.append(what)
        if self.strict:
            raise VideoError(f"{self.source}: {what}; remove --strict to continue without it")

    @contextmanager
    def told(self, program: str) -> Iterator[None]:
        """Tell on standard error at the end of the block what is damaged, also where an error ends it.

        Args:
            program: name of the program, for the line.
        """
        try:
            yield
        finally:
            # A strict log has raised what it holds.
            if self and not self.strict:
                print(f"{program}: {self.summary()}", file=sys.stderr)

    def summary(self) -> str:
        """Return one line, safe for a log, that tells how many of the frames read are damaged, and which."""
        parts = []
        if self.frames:
            first = list(self.frames.items())[:_NAMED]
            named = ", ".join(f"{frame} {printable(what, _LONGEST_NAMED)}" for frame, what in first)
            more = f", and {len(self.frames) - _NAMED} more" if len(self.frames) > _NAMED else ""
            parts.append(f"{len(self.frames)} of {self.read} frames are damaged (frame {named}{more})")
        if self.lost:
            more = f", and {len(self.lost) - _NAMED} more" if len(self.lost) > _NAMED else ""
            named = ", ".join(printable(what, _LONGEST_NAMED) for what in self.lost[:_NAMED])
            parts.append(f"left out: {named}{more}")
        source = printable(self.source)
        return f"{source}: {'; '.join(parts)}; tracks there may be wrong; --strict stops at the first"


@dataclass(frozen=True)
class VideoInput:
    """A video file or a folder of images whose size, rate and length have been read."""

    path: Path
    height: int
    """Height of the first frame in pixels, upright; later frames may have other sizes."""
    width: int
    rate: float
    """Average number of frames per second."""
    length: int | None
    """Number of frames; None where the file does not state it."""

    @classmethod
    def open(cls, path: str | Path) -> "VideoInput":
        """Open a video file or a folder of images.

        Raises:
            VideoError: there is nothing to read.
        """
        path = at_home(path)
        if path.is_dir():
            images = _images(path)
            first = _first_image(images)
            return cls(path, first.shape[0], first.shape[1], DEFAULT_RATE, len(images))
        if not path.exists():
            raise VideoError(f"{path}: no such file or folder; give a video file or a folder of images")
        with open_video(path) as (container, stream):
            rate, length = float(stream.average_rate or DEFAULT_RATE), stream.frames or None
            for decoded in decode_packets(container, stream):
                if decoded.frames:
                    first = upright_pixels(decoded.frames[0])
                    return cls(path, first.shape[0], first.shape[1], rate, length)
        raise VideoError(f"{path}: holds no frame that can be decoded")

    def frames(self, damage: DamageLog | None = None) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Decode frame after frame, upright: (seconds since the first frame, RGB uint8 [H, W, 3]).

        Times are those of the file and always increase: where the file's clock jumps back, the next frame is one frame
        later.

        Args:
            damage: log for damaged frames; without it the first one raises.

        Raises:
            VideoError: a frame is damaged and the log is strict, or there is no frame.
        """
        damage = DamageLog(str(self.path), strict=True) if damage is None else damage
        if self.path.is_dir():
            yield from self._image_frames(damage)
            return
        index, clock = 0, _Clock(1 / self.rate)
        broken: set[int | None] = set()
        with open_video(self.path) as (container, stream):
            context = stream.codec_context
            context.thread_type = "AUTO"
            try:
                for packet, frames, failed in decode_packets(container, stream):
                    if failed:
                        damage.lose(f"a frame behind frame {index - 1}, which cannot be decoded")
                    elif is_packet_damaged(packet, context.name, context.extradata):
                        broken.add(packet.pts)
                    for frame in frames:
                        seconds = clock.step(frame.time)
                        if frame.is_corrupt or (frame.pts is not None and frame.pts in broken):
                            damage.add(index, f"at {seconds:.2f} s")
                        damage.read += 1
                        yield seconds, upright_pixels(frame)
                        index += 1
            except av.FFmpegError as error:
                if not index:
                    raise
                damage.lose(f"everything after frame {index - 1} ({error.strerror})")
        if not index:
            raise VideoError(f"{self.path}: holds no frame that can be decoded")

    def _image_frames(self, damage: DamageLog) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        index = 0
        deep = DeepImages()
        for file in _images(self.path):
            try:
                image = read_image(file)
            except ImageFileError as error:
                damage.lose(f"{file.name}, {error}")
                continue
            if image.damage:
                damage.add(index, f"{file.name} {image.damage}")
            if deep.see(unused=image.unused_bits):
                logger.warning("%s", unused_bits(printable(str(file))))
            damage.read += 1
            yield index / self.rate, _rgb(image.pixels)
            index += 1


class VideoWriter:
    """Writes RGB frames as H.264 in an MP4; use it in a `with` statement.

    Args:
        path: the file to write; it appears when the writer is closed without an error.
        height: height of the frames in pixels; an odd last row is left out, as H.264 requires an even size, and a
            single row is written twice.
        width: width of the frames in pixels; treated like the height.
        rate: frames per second, for frames that are written without a time.
    """

    def __init__(self, path: str | Path, *, height: int, width: int, rate: float) -> None:
        self._path = Path(path)
        self._open = ExitStack()
        self._size = (height, width)
        self._height, self._width = max(height // 2 * 2, 2), max(width // 2 * 2, 2)
        self._ticks_a_frame = max(round(_TICKS / rate), 1)
        self._last, self._next = -1, 0
        self._container = create_mp4(self._open.enter_context(replacing(self._path)))
        self._open.callback(self._container.close)
        self._stream = self._container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        self._stream.height, self._stream.width = self._height, self._width
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "20", "preset": "veryfast"}
        self._stream.codec_context.time_base = Fraction(1, _TICKS)

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, image: NDArray[np.uint8], seconds: float | None = None) -> None:
        """Append one RGB frame, uint8 [height, width, 3], shown from `seconds` on.

        None for the next time at the rate.
        """
        if image.shape[:2] != self._size:
            raise VideoError(
                f"{self._path}: a frame of {image.shape[1]}x{image.shape[0]} in a video of "
                f"{self._size[1]}x{self._size[0]}; all frames of a video have one size"
            )
        rows, columns = max(self._height - image.shape[0], 0), max(self._width - image.shape[1], 0)
        padded = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge") if rows or columns else image
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded[: self._height, : self._width]), format="rgb24")
        # Two frames at one tick would be an error, and so would a frame earlier than the one before it.
        frame.pts = self._next if seconds is None else max(round(seconds * _TICKS), self._last + 1)
        frame.time_base, frame.duration = Fraction(1, _TICKS), self._ticks_a_frame
        self._last, self._next = frame.pts, frame.pts + self._ticks_a_frame
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


class _Clock:
    """Converts the times of a file to increasing seconds since its first frame.

    Args:
        gap_s: seconds between two frames where the file does not state them.
    """

    def __init__(self, gap_s: float) -> None:
        self._gap = gap_s
        self._start: float | None = None
        self._last = -gap_s

    def step(self, time: float | None) -> float:
        """Return the time of the next frame."""
        if self._start is None:
            self._start = time or 0.0
        seconds = self._last + self._gap if time is None else time - self._start
        if seconds <= self._last:
            seconds = self._last + self._gap
            self._start = self._start if time is None else time - seconds
        self._last = seconds
        return seconds


def _images(folder: Path) -> list[Path]:
    images = frame_files(folder)
    if not images:
        raise VideoError(f"{folder}: no images in it; looked for {', '.join(IMAGE_SUFFIXES)}")
    return images


def _first_image(files: list[Path]) -> NDArray[np.uint8]:
    """Read the first image that can be read."""
    for file in files:
        with suppress(ImageFileError):
            return _rgb(read_image(file).pixels)
    try:
        return _rgb(read_image(files[0]).pixels)
    except ImageFileError as error:
        raise VideoError(f"{files[0]}: not a readable image ({error})") from error


def _rgb(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
