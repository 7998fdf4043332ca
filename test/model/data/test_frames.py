"""Frames of video files and folders, in any order and any process."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dataset_files import (
    HEIGHT,
    LENGTH,
    WIDTH,
    Truth,
    level,
    write_fishbowl,
    write_video,
)
from small_datasets import assert_shows, truth

from a2vis_model.commands import check_data as check_data
from a2vis_model.data import (
    DataError,
    Sample,
    open_fishbowl,
)
from a2vis_model.data import frames as frames_module
from a2vis_model.data.frames import ImageFiles, VideoFile

__all__ = ["truth"]


# Frames


@pytest.mark.parametrize("gop", [1, 7, 250])
def test_any_frames_of_a_video_file_in_any_order(tmp_path: Path, gop: int) -> None:
    length = 40
    source = VideoFile.probe(str(write_video(tmp_path / "video.mp4", length, gop)))
    assert (source.height, source.width, source.length) == (HEIGHT, WIDTH, length)
    for indices in ([39], [0], [30, 3, 3, 17, 0], list(range(length)), list(range(39, 0, -5)), []):
        frames = source.read(indices)
        assert frames.shape == (len(indices), HEIGHT, WIDTH, 3)
        expected = np.array([level(t, length) for t in indices])
        np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)) if indices else [], expected, atol=2.4)
    with pytest.raises(IndexError):
        source.read([length])


def test_decoding_starts_at_the_nearest_keyframe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    decode = frames_module._pictures_from

    def noted(container: Any, stream: Any, time: int, wanted: set[int]) -> Any:
        starts.append(round(float(time * stream.time_base * 30)))
        return decode(container, stream, time, wanted)

    monkeypatch.setattr(frames_module, "_pictures_from", noted)
    source = VideoFile.probe(str(write_video(tmp_path / "video.mp4", 40, gop=10)))
    source.read([38, 12, 14, 39])
    assert starts == [10, 30]
    starts.clear()
    source.read(range(40))
    assert starts == [0]


def test_images_come_in_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red é.png"), np.full((4, 6, 3), (0, 0, 200), np.uint8))
    source = ImageFiles.probe([str(tmp_path / "red é.png")])
    assert source.read([0])[0, 0, 0].tolist() == [200, 0, 0]


def test_broken_video_files_are_named(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "video.mp4")
    source = VideoFile.probe(str(whole))
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:-200])
    (tmp_path / "text.mp4").write_text("#EXTM3U\n#EXTINF:1,\nvideo.mp4\n")
    (tmp_path / "codec.mp4").write_bytes(whole.read_bytes().replace(b"avc1", b"xxxx"))
    for name in ("cut.mp4", "text.mp4", "missing.mp4", "codec.mp4"):
        with pytest.raises(DataError, match=rf"{name}: video: "):
            VideoFile.probe(str(tmp_path / name))
    write_video(whole, LENGTH - 1)
    with pytest.raises(DataError, match=r"video.mp4: video: has 5 frames where there were 6"):
        source.read([0])
    write_video(whole, size=(48, 32))
    with pytest.raises(DataError, match=r"video.mp4: frame 0: wrong size: 48x32, not 32x24"):
        source.read([0])


# Worker processes, statistics, the command


def test_loader_processes_read(tmp_path: Path, truth: Truth) -> None:
    data = pytest.importorskip("torch.utils.data")
    write_fishbowl(tmp_path, truth, "00001")
    dataset = open_fishbowl(write_fishbowl(tmp_path, truth, "00002"))

    class Clips(data.Dataset):  # type: ignore[name-defined]
        def __len__(self) -> int:
            return len(dataset)

        def __getitem__(self, index: int) -> Sample:
            return dataset[index].load(range(LENGTH))

    # A process that deletes a video decoder made before it was forked crashes, and other tests leave some behind.
    gc.collect()
    gc.freeze()
    try:
        for sample in data.DataLoader(Clips(), batch_size=None, num_workers=2):
            assert_shows(sample, truth)
    finally:
        gc.unfreeze()

    # What goes wrong there comes here as an exception, pickled or rebuilt from its text.
    (tmp_path / "00002" / "video.mp4").unlink()
    with pytest.raises(DataError, match=r"00002/video.mp4: video: cannot be read") as raised:
        Clips()[1]
    assert pickle.loads(pickle.dumps(raised.value)).problem == raised.value.problem
    assert DataError(str(raised.value)).problem.message == str(raised.value)
