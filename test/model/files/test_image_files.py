"""Folders and files of images: their order, how they are turned, damage, and what is refused before it costs memory."""

import contextlib
import io
import os
import struct
import tracemalloc

import cv2
import numpy as np
import pytest
from image_files import huge_png
from PIL import Image

from a2vis_model import VideoError
from a2vis_model.data import DataError
from a2vis_model.data.frames import ImageFiles
from a2vis_model.files.images import ImageFileError, frame_files, read_image, turn_upright
from a2vis_model.files.video_io import DamageLog, VideoInput

HEIGHT, WIDTH = 20, 32


def picture() -> np.ndarray:
    """Different in every corner, smooth enough for JPEG."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[: HEIGHT // 2, : WIDTH // 2] = (250, 40, 40)
    image[: HEIGHT // 2, WIDTH // 2 :] = (40, 250, 40)
    image[HEIGHT // 2 :, : WIDTH // 2] = (40, 40, 250)
    return image


def save(path, image, orientation=None, **options):
    """Write an RGB image with a note of how the camera was held."""
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(image).save(path, exif=exif, **options)
    return path


def jpeg(height=64, width=64) -> bytes:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8), (3, 3), 0)
    return cv2.imencode(".jpg", image)[1].tobytes()


def test_frames_come_in_the_order_of_their_numbers_without_hidden_files(tmp_path):
    for name in ("10.png", "2.png", "1.png", "._1.png", ".hidden.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in frame_files(tmp_path)] == ["1.png", "2.png", "10.png"]
    other = tmp_path / "other"
    other.mkdir()
    for name in ("b2_10.jpg", "b2_9.JPG", "b10_1.jpg", "a.png", "b2_09.jpg"):
        (other / name).write_bytes(b"")
    names = [file.name for file in frame_files(other)]
    assert names == ["a.png", "b2_09.jpg", "b2_9.JPG", "b2_10.jpg", "b10_1.jpg"]


def test_a_folder_is_tracked_in_the_order_of_numbers(tmp_path):
    for number in (1, 2, 10):
        save(tmp_path / f"{number}.png", np.full((8, 8, 3), number, np.uint8))
    (tmp_path / "._1.png").write_bytes(b"a resource fork of macOS")
    assert [int(image[0, 0, 0]) for _, image in VideoInput.open(tmp_path).frames()] == [1, 2, 10]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_read_upright(tmp_path, orientation, suffix):
    """The stored pixels are such that the upright picture is always the same."""
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    options = {"quality": 100} if suffix in (".jpg", ".webp") else {}
    stored = turn_upright(picture(), undo)
    file = save(tmp_path / f"0{suffix}", stored, orientation, **options)
    ((_, image),) = VideoInput.open(tmp_path).frames()
    assert image.shape == picture().shape
    assert np.abs(image.astype(int) - picture()).mean() < 12
    assert np.abs(ImageFiles.probe([str(file)]).read([0])[0].astype(int) - picture()).mean() < 12
    # Annotations that declare the size of the stored pixels were made on these.
    source = ImageFiles(height=stored.shape[0], width=stored.shape[1], length=1, paths=(str(file),))
    expected = stored if stored.shape != picture().shape else picture()
    assert np.abs(source.read([0])[0].astype(int) - expected).mean() < 12
    assert not list(source.problems())


def test_half_a_jpeg_is_named_and_stops_where_asked(tmp_path):
    whole = jpeg()
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(whole if number != 1 else whole[: len(whole) // 2])
    damage = DamageLog(str(tmp_path))
    frames = list(VideoInput.open(tmp_path).frames(damage))
    assert len(frames) == 3
    assert "1 of 3 frames are damaged (frame 1 1.jpg is cut short" in damage.summary()
    with pytest.raises(VideoError, match=r"frame 1 1\.jpg is cut short"):
        list(VideoInput.open(tmp_path).frames(DamageLog(str(tmp_path), strict=True)))
    source = ImageFiles(height=64, width=64, length=3, paths=tuple(str(tmp_path / f"{n}.jpg") for n in range(3)))
    assert [problem.record for problem in source.problems()] == ["frame 1"]
    with pytest.raises(DataError, match="frame 1: is cut short"):
        source.read([1])


def test_a_thumbnail_does_not_hide_that_a_jpeg_is_cut_short(tmp_path):
    thumbnail, content = jpeg(16, 16), jpeg()
    note = b"Exif\0\0" + thumbnail  # which ends as a whole JPEG does
    content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + content[2:]
    (tmp_path / "0.jpg").write_bytes(content)
    assert not read_image(tmp_path / "0.jpg").damage
    (tmp_path / "0.jpg").write_bytes(content[:-400])
    assert read_image(tmp_path / "0.jpg").damage


def test_an_image_that_cannot_be_decoded_is_left_out_by_name(tmp_path):
    for number in range(3):
        save(tmp_path / f"{number}.png", np.full((8, 8, 3), number, np.uint8))
    content = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(content[: len(content) // 2])
    damage = DamageLog(str(tmp_path))
    assert [int(image[0, 0, 0]) for _, image in VideoInput.open(tmp_path).frames(damage)] == [1, 2]
    assert "left out: 0.png" in damage.summary()
    with pytest.raises(VideoError, match=r"0\.png"):
        list(VideoInput.open(tmp_path).frames())


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "0.png"
    for side, size, message in ((24576, None, "too large"), (12000, (480, 640), "wrong size: 12000x12000")):
        path.write_bytes(huge_png(side))
        tracemalloc.start()
        with pytest.raises(ImageFileError, match=message):
            read_image(path, size=size)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
        tracemalloc.stop()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "0.png")
    with pytest.raises(ImageFileError, match="not a regular file"):
        read_image(tmp_path / "0.png")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM" + bytes(60), b"II*\0" + bytes(30)])
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "0.png").write_bytes(content)
    with pytest.raises(ImageFileError, match="cannot be read: not an image"):
        read_image(tmp_path / "0.png")


def test_an_impossible_orientation_is_ignored(tmp_path):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 99
    Image.fromarray(picture()).save(buffer, "PNG", exif=exif)
    (tmp_path / "0.png").write_bytes(buffer.getvalue())
    assert np.array_equal(read_image(tmp_path / "0.png").pixels[:, :, ::-1], picture())


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_a_broken_file_is_read_or_refused_and_never_crashes(tmp_path, suffix):
    rng = np.random.default_rng(0)
    whole = save(tmp_path / f"whole{suffix}", picture(), *([6] if suffix != ".bmp" else [])).read_bytes()
    path = tmp_path / f"0{suffix}"
    for _ in range(60):
        content = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for place in rng.integers(0, len(content), 4):
            content[place] = rng.integers(0, 256)
        path.write_bytes(content)
        with contextlib.suppress(ImageFileError):
            assert read_image(path).pixels.size


@pytest.mark.parametrize(("compression", "noticed"), [(5, 30), (8, 30), (1, 0)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_that_libtiff_calls_broken_is_damaged(tmp_path, compression, noticed, depth):
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8), (5, 5), 0).astype(depth)
    whole = cv2.imencode(".tiff", image, [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1].tobytes()
    path = tmp_path / "0.tif"
    path.write_bytes(whole)
    assert not read_image(path).damage
    damaged = 0
    for _ in range(30):
        content = bytearray(whole)
        for place in rng.integers(8, len(whole) * 3 // 4, 16):
            content[place] ^= 0xFF
        path.write_bytes(content)
        damaged += bool(read_image(path).damage)
    assert damaged >= 0.9 * noticed
    assert bool(damaged) == bool(noticed)


def test_a_damaged_tiff_is_named_by_who_reads_folders_and_data_sets(tmp_path):
    content = bytearray(cv2.imencode(".tiff", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))[1])
    content[4000:4100] = bytes(100)
    (tmp_path / "0.tif").write_bytes(content)
    damage = DamageLog(str(tmp_path))
    assert len(list(VideoInput.open(tmp_path).frames(damage))) == 1
    assert "frame 0 0.tif is damaged: libtiff" in damage.summary()
    source = ImageFiles(height=64, width=64, length=1, paths=(str(tmp_path / "0.tif"),))
    with pytest.raises(DataError, match="frame 0: is damaged: libtiff cannot decode all of it"):
        source.read([0])
