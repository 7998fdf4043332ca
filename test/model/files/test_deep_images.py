"""16-bit pictures of cameras with fewer bits: nearly black, and said to be, once and by everyone who reads them."""

import logging

import cv2
import numpy as np
import pytest
from dataset_files import two_objects, write_ytvis
from evaluation_data import run_command

from a2vis_model.commands import check_data
from a2vis_model.data import open_dataset
from a2vis_model.data.problems import ProblemLog
from a2vis_model.files.deep_images import DeepImages
from a2vis_model.files.images import frame_files, read_image
from a2vis_model.files.video_io import VideoInput
from a2vis_model.render.cutouts import load_pictures

WORDS = "no pixel of this 16-bit picture passes 4095"


def write(path, brightest, channels=3):
    """A 16-bit picture from black to `brightest`."""
    ramp = np.linspace(0, brightest, 40 * 60).reshape(40, 60)
    picture = np.repeat(ramp[..., None], channels, axis=2).round().astype(np.uint16).squeeze()
    cv2.imwrite(str(path), picture)
    return path


def said(caplog):
    return [record.getMessage() for record in caplog.records if WORDS in record.getMessage()]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_picture_that_leaves_its_upper_bits_unused_is_known(tmp_path, suffix, channels):
    for brightest, unused in ((1023, True), (4095, True), (4500, False), (65535, False)):
        assert read_image(write(tmp_path / f"0{suffix}", brightest, channels)).unused_bits is unused
    eight = tmp_path / f"8{suffix}"
    cv2.imwrite(str(eight), np.zeros((8, 8, 3), np.uint8))
    assert read_image(eight).unused_bits is None


def test_it_is_said_once_of_a_folder_of_pictures(tmp_path, caplog):
    for number in range(3):
        write(tmp_path / f"{number}.png", 4095)
    assert len(list(VideoInput.open(tmp_path).frames())) == 3
    assert len(said(caplog)) == 1
    assert "0.png" in said(caplog)[0]
    assert "multiply the pixels of its pictures by 16" in said(caplog)[0]


def test_nothing_is_said_where_an_earlier_picture_uses_its_bits(tmp_path, caplog):
    for number, brightest in enumerate((60000, 100, 4095)):
        write(tmp_path / f"{number}.png", brightest)
    assert len(list(VideoInput.open(tmp_path).frames())) == 3
    assert not said(caplog)


@pytest.mark.parametrize(("brightest", "times"), [(4095, 1), (30000, 0)])
def test_it_is_said_once_of_a_data_set(tmp_path, brightest, times, caplog):
    file = write_ytvis(tmp_path, two_objects())
    for picture in frame_files(next(tmp_path.rglob("JPEGImages/*"))):
        height, width = cv2.imread(str(picture)).shape[:2]
        deep = np.linspace(0, brightest, height * width * 3).reshape(height, width, 3).astype(np.uint16)
        picture.write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    caplog.set_level(logging.WARNING)
    assert run_command(check_data, str(file)) == 0
    assert len(said(caplog)) == times
    open_dataset(file, problems=ProblemLog())
    assert len(said(caplog)) == times


def test_it_is_said_of_cutouts_and_backgrounds(tmp_path, caplog):
    (tmp_path / "cutouts" / "cone").mkdir(parents=True)
    (tmp_path / "backgrounds").mkdir()
    for number in range(2):
        file = write(tmp_path / "cutouts" / "cone" / f"{number}.png", 4095, 4)
        picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        picture[..., 3] = 65535
        picture[:, :5, 3] = 0
        cv2.imwrite(str(file), picture)
        write(tmp_path / "backgrounds" / f"{number}.png", 1000)
    load_pictures(tmp_path / "cutouts", tmp_path / "backgrounds", ProblemLog())
    assert ["/backgrounds/" in text for text in said(caplog)] == [False, True]


def test_a_stream_is_judged_by_many_images():
    deep = DeepImages(3)
    assert [deep.see(unused=unused) for unused in (True, None, True, True, True)] == [False, False, False, True, False]
    deep = DeepImages(3)
    assert not any(deep.see(unused=unused) for unused in (True, True, False, True, True, True))
    assert not deep.is_open
