"""JPEG pictures with damage in their midst: named in every reader; what is only unusual is left in peace."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from jpeg_files import HEIGHT, WIDTH, cut_out, doubled, jpeg, picture

from a2vis_model import VideoError
from a2vis_model.data.frames import VideoFile
from a2vis_model.files.images import read_image
from a2vis_model.files.jpeg import JpegError, decode_jpeg, jpeg_damage
from a2vis_model.files.video_io import DamageLog, VideoInput

FLAGS = (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE, cv2.IMREAD_UNCHANGED, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)


def unusual_sampling() -> bytes:
    """Return a JPEG whose colours are sampled in a way that libjpeg decodes and its newer interface refuses."""
    content = bytearray(jpeg(subsampling="4:2:0"))
    frame = content.index(b"\xff\xc0")
    content[frame + 11], content[frame + 14], content[frame + 17] = 0x21, 0x12, 0x12
    return bytes(content)


WHOLE = {
    "4:4:4": jpeg(subsampling="4:4:4"),
    "4:2:2": jpeg(subsampling="4:2:2"),
    "4:2:0": jpeg(subsampling="4:2:0"),
    "odd size": jpeg(picture(93, 121)),
    "grey": jpeg(mode="L"),
    "CMYK": jpeg(mode="CMYK"),
    "RGB": jpeg(keep_rgb=True),
    "progressive": jpeg(progressive=True),
    "restart markers": jpeg(restart_marker_blocks=4),
    "filled up": jpeg()[:-2] + bytes(40) + b"\xff\xd9",
    "something behind it": jpeg() + b"a video, as some phones store it",
    "unusual sampling": unusual_sampling(),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_only_unusual_is_whole_and_decoded_as_ever(name: str) -> None:
    content = WHOLE[name]
    size = (93, 121) if name == "odd size" else (HEIGHT, WIDTH)
    for flags in FLAGS:
        decoded = decode_jpeg(content, size, flags)
        expected = cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
        assert np.array_equal(decoded.pixels, expected)
        assert not decoded.damage
    assert not jpeg_damage(content)


@pytest.mark.parametrize("damage", [cut_out, doubled])
@pytest.mark.parametrize("name", ["4:4:4", "4:2:0", "grey", "RGB", "restart markers"])
def test_damage_in_the_middle_is_noticed(name: str, damage: Callable[[bytes], bytes]) -> None:
    content = damage(WHOLE[name])
    decoded = decode_jpeg(content, (HEIGHT, WIDTH), cv2.IMREAD_COLOR)
    assert decoded.pixels.shape == (HEIGHT, WIDTH, 3)
    assert decoded.damage.startswith("is damaged (")
    assert jpeg_damage(content) == decoded.damage


def test_a_header_of_another_size_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(JpegError, match="says 16x16 pixels and holds 128x96"):
        decode_jpeg(jpeg(), (16, 16), cv2.IMREAD_COLOR)


def sampled(factors: int) -> bytes:
    """Return a JPEG whose header gives these factors, across (high 4 bits) and down, for the samples of brightness."""
    content = bytearray(jpeg(subsampling="4:2:0"))
    content[content.index(b"\xff\xc0") + 11] = factors
    return bytes(content)


def test_a_sampling_that_the_header_reader_does_not_know_hides_no_other_size(monkeypatch: pytest.MonkeyPatch) -> None:
    content = sampled(0x42)
    assert decode_jpeg(content, (HEIGHT, WIDTH), cv2.IMREAD_COLOR).pixels.shape == (HEIGHT, WIDTH, 3)
    # libjpeg passes over what stands between two segments, and over a thumbnail.
    behind = content[:2] + b"\xff\xe1\0\x0b\xff\xc0\0\x11\x08\0\x10\0\x10" + b"\0\0" + content[2:]
    assert decode_jpeg(behind, (HEIGHT, WIDTH), cv2.IMREAD_COLOR).pixels.shape == (HEIGHT, WIDTH, 3)
    no_scan = content[: content.index(b"\xff\xc0")] + content[content.index(b"\xff\xda") :]
    monkeypatch.setattr(cv2, "imdecode", lambda *given: pytest.fail("memory was taken"))
    for picture_, held in ((content, "128x96"), (behind, "128x96"), (no_scan, "no size")):
        with pytest.raises(JpegError, match=f"says 16x16 pixels and holds {held}"):
            decode_jpeg(picture_, (16, 16), cv2.IMREAD_COLOR)


def test_what_opencv_decodes_is_of_the_announced_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *given: np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(JpegError, match="says 128x96 pixels and holds 8x8"):
        decode_jpeg(sampled(0x42), (HEIGHT, WIDTH), cv2.IMREAD_COLOR)


def test_damage_is_noticed_where_a_sampling_has_no_name() -> None:
    content = cut_out(sampled(0x14))
    decoded = decode_jpeg(content, (HEIGHT, WIDTH), cv2.IMREAD_COLOR)
    assert decoded.damage.startswith("is damaged (")
    assert decoded.damage == jpeg_damage(content)


def folder_with_damage(folder: Path) -> Path:
    for number in range(3):
        content = jpeg()
        (folder / f"{number}.jpg").write_bytes(cut_out(content) if number == 1 else content)
    return folder


def test_a_damaged_frame_of_a_folder_is_counted_and_stops_where_asked(tmp_path: Path) -> None:
    folder = folder_with_damage(tmp_path)
    damage = DamageLog(str(folder))
    assert len(list(VideoInput.open(folder).frames(damage))) == 3
    assert "1 of 3 frames are damaged (frame 1 1.jpg is damaged (premature end of data segment)" in damage.summary()
    with pytest.raises(VideoError, match=r"frame 1 1\.jpg is damaged"):
        list(VideoInput.open(folder).frames(DamageLog(str(folder), strict=True)))
    assert not read_image(folder / "0.jpg").damage


def motion_jpeg(path: Path) -> Path:
    """A film of which the second of three frames is damaged."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        stream.time_base = Fraction(1, 10)
        for number in range(3):
            content = jpeg(subsampling="4:2:0")
            packet = av.Packet(cut_out(content) if number == 1 else content)
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base, packet.is_keyframe = Fraction(1, 10), True
            container.mux(packet)
    return path


def test_a_damaged_frame_of_motion_jpeg_is_counted(tmp_path: Path) -> None:
    path = motion_jpeg(tmp_path / "film.mkv")
    damage = DamageLog(str(path))
    assert len(list(VideoInput.open(path).frames(damage))) == 3
    assert list(damage.frames) == [1]
    source = VideoFile.probe(str(path))
    assert [problem.message for problem in source.problems()] == [
        "1 of 3 frames are damaged, first frame 1, which is damaged"
    ]
