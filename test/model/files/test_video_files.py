"""Video files that are odd or damaged, in every reader: what is read, what is said, and what is refused."""

import os
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from paths import SHARED

from a2vis_model import VideoError
from a2vis_model.data import DataError
from a2vis_model.data.frames import VideoFile
from a2vis_model.files.video_io import DamageLog, VideoInput, VideoWriter

CASES = SHARED / "cases"
HEIGHT, WIDTH, RATE = 48, 64, 25


def picture(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Bright at the top left, so that a turn is seen; the rest is as bright as its number says."""
    image = np.full((height, width, 3), 20 * (index % 6), np.uint8)
    image[: height // 2, : width // 2] = 250
    return image


def encode(stream, images, *, times=None):
    """The packets of these images, shown at these seconds."""
    for index, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        seconds = index / RATE if times is None else times[index]
        frame.pts, frame.time_base = round(seconds * 90_000), Fraction(1, 90_000)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def write(path, *, codec="libx264", count=6, size=(HEIGHT, WIDTH), times=None, rotation=None, **options):
    """A video of `picture`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options={"crf": "10", **options} if codec == "libx264" else {})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90_000 if codec == "libx264" else RATE)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for packet in encode(stream, [picture(index, *size) for index in range(count)], times=times):
            container.mux(packet)
    return path


def read(path):
    """Seconds and images of a video, which must be whole."""
    times, images = zip(*VideoInput.open(path).frames(), strict=True)
    return [round(time, 3) for time in times], images


def case(name):
    path = CASES / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


def break_key_frame(path, *, at, length=40, fill=None):
    """Overwrite bytes in the middle of the first key frame."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        key = bytes(next(container.demux(stream)))
    data = bytearray(path.read_bytes())
    start = data.find(key) + round(at * len(key))
    data[start : start + length] = np.random.default_rng(0).bytes(length) if fill is None else fill * length
    path.write_bytes(data)


def noisy_video(path, count=8):
    """A video whose key frame is large enough to be damaged in the middle."""
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18", "g": "250", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90_000)
        still = cv2.GaussianBlur(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8), (5, 5), 0)
        for packet in encode(stream, [still] * count):
            container.mux(packet)
    return path


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_is_read_as_players_show_it(tmp_path, degrees):
    path = write(tmp_path / "v.mp4", rotation=degrees)
    # Degrees are counter-clockwise, as numpy's are.
    expected = np.rot90(picture(1), degrees // 90)
    video = VideoInput.open(path)
    assert (video.height, video.width) == expected.shape[:2]
    _, images = read(path)
    assert images[1].shape == expected.shape
    assert np.abs(images[1].astype(int) - expected).mean() < 5
    source = VideoFile.probe(str(path))
    assert (source.height, source.width) == expected.shape[:2]
    assert np.abs(source.read([1])[0].astype(int) - expected).mean() < 5


def test_the_turned_case_is_upright():
    _, images = read(case("rotated.mp4"))
    assert {image.shape for image in images} == {(480, 320, 3)}


@pytest.mark.parametrize("flagged", [False, True])
def test_the_film_is_read_and_not_the_cover(tmp_path, flagged):
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=RATE)
        cover.height, cover.width, cover.pix_fmt = 32, 32, "yuvj420p"
        film = container.add_stream("libx264", rate=RATE)
        film.height, film.width, film.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        film.codec_context.time_base = Fraction(1, 90_000)
        if flagged:
            cover.disposition = av.stream.Disposition.attached_pic
        art = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24").reformat(format="yuvj420p")
        for packet in [*cover.encode(art), *cover.encode(None)]:
            container.mux(packet)
        for packet in encode(film, [picture(index) for index in range(6)]):
            container.mux(packet)
    _, images = read(path)
    assert [image.shape for image in images] == [(HEIGHT, WIDTH, 3)] * 6


def test_the_film_of_the_case_with_a_cover_is_read():
    _, images = read(case("cover_art.mkv"))
    assert [image.shape for image in images] == [(320, 480, 3)] * 8


def test_times_are_kept_and_count_from_the_first_frame(tmp_path):
    times = [3600.0, 3600.04, 3601.0, 3601.04, 3603.5]
    path = write(tmp_path / "v.mkv", count=5, times=times)
    found, images = read(path)
    assert found == [0.0, 0.04, 1.0, 1.04, 3.5]
    with VideoWriter(tmp_path / "copy.mp4", height=HEIGHT, width=WIDTH, rate=RATE) as writer:
        for seconds, image in zip(found, images, strict=True):
            writer.write(image, seconds)
    assert read(tmp_path / "copy.mp4")[0] == found


def test_times_of_the_cases_are_kept():
    assert read(case("starts_at_3600s.mkv"))[0] == [0.0, 0.04, 0.08, 0.12, 0.16, 0.2]
    assert read(case("changing_rate.mp4"))[0] == [0.0, 0.04, 0.08, 1.0, 1.04, 1.08, 1.12, 3.0, 3.04, 3.08]


def test_another_size_within_a_video_loses_no_frame(tmp_path):
    parts = [
        write(tmp_path / "a.ts", codec="mpeg2video", count=4),
        write(tmp_path / "b.ts", codec="mpeg2video", count=4, size=(32, 32)),
    ]
    path = tmp_path / "v.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    times, images = read(path)
    assert [image.shape[:2] for image in images] == [(HEIGHT, WIDTH)] * 4 + [(32, 32)] * 4
    assert times == [0.0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.24, 0.28]  # although the clock of the second part is as before


def test_damage_within_a_key_frame_is_named(tmp_path):
    path = noisy_video(tmp_path / "v.mp4")
    break_key_frame(path, at=0.5)
    damage = DamageLog(str(path))
    frames = list(VideoInput.open(path).frames(damage))
    assert len(frames) == 8
    assert list(damage.frames) == [0]
    assert f"{path}: 1 of 8 frames are damaged (frame 0 at 0.00 s)" in damage.summary()
    with pytest.raises(VideoError, match=r"v\.mp4: frame 0 at 0\.00 s"):
        list(VideoInput.open(path).frames(DamageLog(str(path), strict=True)))
    with pytest.raises(VideoError, match="frame 0"):
        list(VideoInput.open(path).frames())
    source = VideoFile.probe(str(path))
    assert [str(problem) for problem in source.problems()] == [
        f"{path}: video: 1 of 8 frames are damaged, first frame 0, which is damaged"
    ]
    with pytest.raises(DataError, match="frame 0: is damaged"):
        source.read([0])


def test_bytes_that_no_encoder_writes_are_damage_even_where_the_decoder_steps_over_them(tmp_path):
    path = noisy_video(tmp_path / "v.mp4")
    break_key_frame(path, at=0.05, length=12, fill=b"\0")  # inside x264's note of its own settings
    damage = DamageLog(str(path))
    list(VideoInput.open(path).frames(damage))
    assert list(damage.frames) == [0]
    assert [problem.record for problem in VideoFile.probe(str(path)).problems()] == ["video"]


def test_the_damaged_case_is_named():
    path = case("damaged_h264.mp4")
    damage = DamageLog(str(path))
    assert len(list(VideoInput.open(path).frames(damage))) == 24
    assert list(damage.frames) == [0]


@pytest.mark.parametrize("options", [{}, {"bf": "3", "g": "4"}])
def test_a_whole_video_is_not_called_damaged(tmp_path, options):
    path = write(tmp_path / "v.mp4", count=12, **options)
    assert len(list(VideoInput.open(path).frames())) == 12
    assert not list(VideoFile.probe(str(path)).problems())


def test_metadata_that_are_no_utf8_are_ignored(tmp_path):
    path = tmp_path / "v.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "AAAAAAAA"
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for index in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    assert content.count(b"AAAAAAAA") == 1
    path.write_bytes(content.replace(b"AAAAAAAA", "Blöße äöü".encode("latin-1")[:8]))
    assert len(read(path)[1]) == 3


@pytest.mark.parametrize("name", ["12:30:05.mp4", "http:x.mp4", "concat:a.mp4", "a|b.mp4", "%05d.mp4"])
def test_a_name_is_a_file_and_no_protocol(tmp_path, monkeypatch, name):
    write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read(name)[1]) == 6
    assert VideoFile.probe(name).length == 6


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{film}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {film}\n",
    ],
)
def test_a_playlist_of_other_files_is_no_video(tmp_path, content):
    film = write(tmp_path / "film.mp4")
    playlist = tmp_path / "list.mp4"
    playlist.write_text(content.format(film=film.name))
    with pytest.raises(VideoError, match=r"list\.mp4: cannot be read: not a readable video"):
        VideoInput.open(playlist)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "v.mp4")
    with pytest.raises(VideoError, match="not a regular file"):
        VideoInput.open(tmp_path / "v.mp4")


@pytest.mark.parametrize("size", [(1, 64), (48, 1), (1, 1), (49, 63)])
def test_a_video_of_any_size_is_written(tmp_path, size):
    path = tmp_path / "v.mp4"
    with VideoWriter(path, height=size[0], width=size[1], rate=RATE) as writer:
        for index in range(3):
            writer.write(np.full((*size, 3), 80 * index, np.uint8))
    _, images = read(path)
    assert {image.shape[:2] for image in images} == {(max(size[0] // 2 * 2, 2), max(size[1] // 2 * 2, 2))}
    assert [abs(int(image.mean()) - 80 * index) < 4 for index, image in enumerate(images)] == [True] * 3


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "v.mp4")
    assert VideoInput.open("~/v.mp4").length == 6
