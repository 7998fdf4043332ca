"""Opening video files, the only place that does so, to read and to write: demuxers, orientation and damage."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..extras import optional_packages
from .jpeg import jpeg_damage

with optional_packages():
    import av
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.sidedata.sidedata import SideData
    from av.stream import Disposition
    from av.video.stream import VideoStream

_FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,h264,hevc,av1,obu,ivf,m4v,flv,asf,ogg,mxf,mjpeg,gif,apng,dv,nut,"
    "yuv4mpegpipe,rm,wtv"
)
"""Demuxers that read one file only: playlists (hls, concat, dash) and name patterns are excluded."""
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
_SIZE_MAY_CHANGE = ("mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v", "obu")
"""Demuxers of broadcasts and raw streams, in which the picture size may change at any key frame."""
_FORBIDDEN = (b"\0\0\0", b"\0\0\1", b"\0\0\2")
"""Byte sequences that a NAL unit cannot hold: encoders put a 3 after two zeros (H.264 7.4.1, H.265 7.4.2)."""


@contextmanager
def open_video(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a local video file and choose its main video stream.

    The name is always read as that of a local file ("12:30.mp4" is no protocol), and no other file is opened, whatever
    the file holds. Metadata that are not UTF-8 are ignored.

    Raises:
        VideoError: there is nothing to read, or FFmpeg reports an error inside the block.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name.
        raise VideoError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{path}: cannot be read: it is not a regular file")
    try:
        with av.open(_local(path), options=_OPTIONS, metadata_errors="ignore") as container:
            stream = _film(container)
            if stream is None:
                raise VideoError(f"{path}: holds no video")
            if stream.codec_context is None:
                raise VideoError(f"{path}: in a codec that cannot be decoded here; convert it to H.264")
            yield container, stream
    except av.FFmpegError as error:
        raise VideoError(f"{path}: cannot be read: not a readable video ({error.strerror}); convert to mp4") from error


def create_mp4(path: str | Path) -> OutputContainer:
    """Open a new MP4 file to write to; the name is always that of a local file, whatever stands before a colon."""
    return av.open(_local(path), "w", format="mp4")


def _local(path: str | Path) -> str:
    """Return the name of a local file as FFmpeg takes it; it would read "12:30.mp4" as a protocol."""
    return f"file:{path}"


class Decoded(NamedTuple):
    """A packet, and the frames that the decoder returned for it."""

    packet: Packet
    frames: list[av.VideoFrame]
    failed: bool
    """Whether the packet could not be decoded, so that its frame is missing."""


def decode_packets(container: InputContainer, stream: VideoStream) -> Iterator[Decoded]:
    """Decode packet after packet, to the end of the file.

    Where the picture size changes, the frames that the decoder still holds are taken out first; otherwise it would drop
    them.
    """
    context = stream.codec_context
    changes = not set(container.format.name.split(",")).isdisjoint(_SIZE_MAY_CHANGE)
    size: tuple[int, int] | None = None
    for packet in container.demux(stream):
        held: list[av.VideoFrame] = []
        if changes and packet.is_keyframe and packet.size:
            before, size = size, _size_of(packet, stream) or size
            if before not in (None, size):
                held = context.decode(None)
                context.flush_buffers()
        failed = False
        try:
            held += context.decode(packet if packet.size else None)
        except av.InvalidDataError:
            failed = True
        for frame in held:
            frame.time_base = stream.time_base  # PyAV does not set it for frames that the decoder held back.
        yield Decoded(packet, held, failed)


def upright_pixels(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Return a frame as players show it, with its display matrix applied: RGB uint8 [H, W, 3]."""
    pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return pixels
    # A point (x, y) is shown at (a x + c y, b x + d y): FFmpeg's libavutil/display.h. Players support quarter turns.
    a, b, _, c, d = np.frombuffer(bytes(matrix)[:20], np.int32).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels = pixels.swapaxes(0, 1)
        a, d = c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def is_packet_damaged(packet: Packet, codec: str, extradata: bytes | None) -> bool:
    """Return whether an encoder cannot have written the bytes of a packet, although a decoder may accept them."""
    if codec == "mjpeg":
        return bool(jpeg_damage(bytes(packet)))
    # In mp4 and Matroska the parameter sets begin with a version, and NAL units with their length in 4 bytes.
    length_size = {"h264": 4, "hevc": 21}.get(codec)
    if length_size is None or not extradata or len(extradata) <= length_size or extradata[0] != 1:
        return False
    size = (extradata[length_size] & 3) + 1
    data, position = bytes(packet), 0
    while position + size <= len(data):
        end = position + size + int.from_bytes(data[position : position + size], "big")
        unit = data[position + size : end].rstrip(b"\0")
        if end > len(data) or any(sequence in unit for sequence in _FORBIDDEN) or (not unit and end > position + size):
            return True
        position = end
    return position != len(data)


def _size_of(key: Packet, stream: VideoStream) -> tuple[int, int] | None:
    """Decode the width and height that begin with a key frame, in a separate decoder; None where it cannot tell."""
    probe = av.CodecContext.create(stream.codec_context.codec.name, "r")
    assert isinstance(probe, av.VideoCodecContext)
    probe.extradata = stream.codec_context.extradata
    probe.thread_count = 1
    try:
        frames = probe.decode(key) or probe.decode(None)
    except av.FFmpegError:
        return None
    return (frames[0].width, frames[0].height) if frames else None


def _film(container: InputContainer) -> VideoStream | None:
    """Return the stream to be tracked: the one that players choose, and never a cover picture."""
    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    best = container.streams.best("video")
    return next((stream for stream in films if stream is best), films[0] if films else None)
