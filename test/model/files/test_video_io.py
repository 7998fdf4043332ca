"""Reading and writing videos and folders of frames."""

import cv2
import numpy as np
import pytest
from paths import ROOT

from a2vis_model import VideoError
from a2vis_model.files.video_io import VideoInput, VideoWriter


def gradient(index, height=48, width=64):
    """A smooth picture, whose brightness is its number, so that compression cannot hide the order."""
    return np.full((height, width, 3), 20 * (index % 12), np.uint8)


def write_video(path, count=8, **size):
    with VideoWriter(path, height=size.get("height", 48), width=size.get("width", 64), rate=25) as writer:
        for index in range(count):
            writer.write(gradient(index, **size))


def test_a_video_comes_back_in_order(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path)
    video = VideoInput.open(path)
    assert (video.height, video.width, video.rate, video.length) == (48, 64, 25.0, 8)
    frames = list(video.frames())
    assert [round(time, 3) for time, _ in frames] == [round(i / 25, 3) for i in range(8)]
    for index, (_, image) in enumerate(frames):
        assert abs(image.mean() - 20 * index) < 4


def test_an_odd_size_loses_its_last_row_and_column(tmp_path):
    write_video(tmp_path / "v.mp4", height=49, width=63)
    video = VideoInput.open(tmp_path / "v.mp4")
    assert (video.height, video.width) == (48, 62)


@pytest.mark.parametrize("name", ["12:30/v.mp4", "http:x/overlay.mp4", "concat:a|b.mp4", "file:v.mp4", "%03d.mp4"])
def test_a_name_is_no_protocol_to_a_writer(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video(name)
    assert (tmp_path / name).is_file()
    assert VideoInput.open(name).length == 8


def test_ffmpeg_is_given_names_in_one_place():
    """That of a local file, for which `files/videos.py` sees."""
    found = {file.name for file in (ROOT / "a2vis_model").rglob("*.py") if "av.open(" in file.read_text("utf-8")}
    assert found == {"videos.py"}
    for package in ("a2vis_ros", "tools", "benchmark", "science", "examples"):
        assert not [file for file in (ROOT / package).rglob("*.py") if "av.open(" in file.read_text("utf-8")]


def test_a_folder_is_read_by_name(tmp_path):
    for index in (2, 0, 1):
        cv2.imwrite(str(tmp_path / f"{index:05d}.png"), gradient(index)[:, :, ::-1])
    (tmp_path / "notes.txt").write_text("not an image")
    video = VideoInput.open(tmp_path)
    assert video.length == 3
    frames = [image for _, image in video.frames()]
    for index, image in enumerate(frames):
        assert (image == gradient(index)).all()


def test_colours_are_rgb(tmp_path):
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR.
    cv2.imwrite(str(tmp_path / "0.png"), red)
    ((_, image),) = VideoInput.open(tmp_path).frames()
    assert image[0, 0].tolist() == [255, 0, 0]


def test_a_failed_video_leaves_nothing_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"old")

    def write_two_sizes():
        with VideoWriter(path, height=48, width=64, rate=25) as writer:
            writer.write(gradient(0))
            writer.write(gradient(0, 32, 32))

    with pytest.raises(VideoError, match="32x32"):
        write_two_sizes()
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
    assert path.read_bytes() == b"old"


def test_unreadable_inputs_are_named(tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        VideoInput.open(tmp_path / "none.mp4")
    with pytest.raises(VideoError, match="no images"):
        VideoInput.open(tmp_path)
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    with pytest.raises(VideoError, match="not a readable video"):
        VideoInput.open(text)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "0.png").write_bytes(b"broken")
    with pytest.raises(VideoError, match=r"0\.png: not a readable image"):
        VideoInput.open(tmp_path / "folder")


def test_an_unknown_codec_is_named(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xxxx"))
    with pytest.raises(VideoError, match=r"v\.mp4: in a codec that cannot be decoded here; convert it"):
        VideoInput.open(path)


def test_a_truncated_video_says_so(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, count=40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(VideoError, match=r"v\.mp4"):
        list(VideoInput.open(path).frames())
