"""Video files: the one place where they are opened, turned upright and looked over for damage."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ..errors import VideoError

_FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,h264,hevc,av1,obu,ivf,m4v,flv,asf,ogg,mxf,mjpeg,gif,apng,dv,nut,"
    "yuv4mpegpipe,rm,wtv"
)
"""Demuxers that read one file and no other: playlists (hls, concat, dash) and patterns of names are left out."""
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
_SIZE_MAY_CHANGE = ("mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v", "obu")
"""Demuxers of broadcasts and of bare streams, where another picture size may begin with any key frame."""
_FORBIDDEN = (b"\0\0\0", b"\0\0\1", b"\0\0\2")
"""What no NAL unit holds: encoders put a 3 after two zeros (H.264 7.4.1, H.265 7.4.2)."""


@contextmanager
def open_video(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a local video file and choose its film.

    Whatever the file's name, it is looked for on this machine alone ("12:30.mp4" is no protocol), and whatever it
    holds, no other file is read. Metadata that are no UTF-8 are ignored.

    Raises:
        VideoError: there is nothing to read; also for errors of FFmpeg inside the block.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: no possible name of a file
        raise VideoError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{path}: cannot be read: it is not a regular file")
    try:
        with av.open(f"file:{path}", options=_OPTIONS, metadata_errors="ignore") as container:
            stream = _film(container)
            if stream is None:
                raise VideoError(f"{path}: holds no video")
            if stream.codec_context is None:
                raise VideoError(f"{path}: in a codec that cannot be decoded here; convert it to H.264")
            yield container, stream
    except av.FFmpegError as error:
        raise VideoError(f"{path}: cannot be read: not a readable video ({error.strerror}); convert to mp4") from error


class Decoded(NamedTuple):
    """A packet, and the frames that came out of the decoder when it went in."""

    packet: Packet
    frames: list[av.VideoFrame]
    failed: bool
    """The packet could not be decoded; its frame is missing."""


def decode_packets(container: InputContainer, stream: VideoStream) -> Iterator[Decoded]:
    """Decode packet after packet, to the end of the file.

    Where another picture size begins, the frames that the decoder still holds are taken out of it first; by itself it
    drops them.
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
            frame.time_base = stream.time_base  # which PyAV forgets for those that were held
        yield Decoded(packet, held, failed)


def upright_pixels(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """A frame as players show it, RGB uint8 [H, W, 3]: turned and mirrored by its display matrix, if it has one."""
    pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return pixels
    # A point (x, y) is shown at (a x + c y, b x + d y): FFmpeg's libavutil/display.h. Players know quarter turns.
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
    """Whether the bytes of a packet cannot be what an encoder wrote, although a decoder may step over them."""
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
    """The width and height that begin with a key frame, seen by a decoder of its own; None where it cannot tell."""
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
    """The stream to be tracked: the one that players choose, and never the picture of a cover."""
    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    best = container.streams.best("video")
    return next((stream for stream in films if stream is best), films[0] if films else None)
