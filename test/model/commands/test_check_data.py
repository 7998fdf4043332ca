"""`a2vis check-data`: statistics and faults."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from dataset_files import (
    LENGTH,
    Truth,
    write_coco,
    write_fishbowl,
    write_sailvos,
    write_ytvis,
)
from paths import SHARED
from small_datasets import clip, edit, first, messages, truth

from a2vis_model.commands import check_data as check_data
from a2vis_model.data import (
    open_dataset,
    open_fishbowl,
    survey,
)
from a2vis_model.data.fishbowl import FISHBOWL_CLASSES, found_classes
from a2vis_model.data.frames import ImageFiles
from a2vis_model.errors import A2VISError

__all__ = ["truth"]


FISHBOWL = SHARED / "data" / "fishbowl"


def test_statistics_of_a_known_clip(tmp_path: Path, truth: Truth) -> None:
    summary = survey(open_fishbowl(write_fishbowl(tmp_path / "a", truth)).videos()).summary()
    assert summary["videos"] == 1
    assert summary["frames"] == LENGTH
    assert summary["frame_sizes"] == {"32x24": LENGTH}
    assert summary["objects_by_class"] == {"SmallFishA": 1, "BigFishB": 1}
    crowding = summary["objects_per_frame"]
    assert crowding["frames_by_number"] == {"1": 2, "2": 4}
    assert crowding["mean"] == pytest.approx(10 / 6)
    assert summary["visible_frames_per_object"] == {"mean": 5, "median": 5, "min": 4, "max": 6}
    # Object 7 is 6 pixels wide, and 4, 2, 0, 0 of them are hidden once it has been seen; object 3 is whole.
    occlusion = summary["occlusion"]
    assert occlusion["object_frames"] == 10
    assert occlusion["hidden_object_frames"] == 0
    assert occlusion["mean"] == pytest.approx(0.1)
    assert occlusion["histogram"] == [8, 0, 0, 1, 0, 0, 1, 0, 0, 0]
    shares = {"object_frames": 0.2, "mean_over_objects": 0.25, "mean_over_objects_while_seen": 0.25}
    assert occlusion["above"]["0.1"] == pytest.approx(shares)
    assert occlusion["split"] == {"at": 0.5, "object_frames": [9, 1], "objects_by_mean": [2, 0]}

    # The other way round in time, it disappears: two more frames, in which it is hidden.
    backwards = Truth(truth.visible[:, ::-1], truth.amodal[:, ::-1])
    occlusion = survey(open_fishbowl(write_fishbowl(tmp_path / "b", backwards)).videos()).summary()["occlusion"]
    assert occlusion["object_frames"] == 12
    assert occlusion["hidden_object_frames"] == 2
    shares = {"object_frames": 3 / 12, "mean_over_objects": 3 / 12, "mean_over_objects_while_seen": 1 / 8}
    assert occlusion["above"]["0.5"] == pytest.approx(shares)


def check(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    check_data.add_arguments(parser)
    return check_data.run(parser.parse_args([str(argument) for argument in arguments]))


def test_command_on_sound_data(
    tmp_path: Path, truth: Truth, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_fishbowl(tmp_path / "train", truth)
    assert check(tmp_path / "train", "--json", tmp_path / "report.json") == 0
    printed = capsys.readouterr().out
    assert "fishbowl: 1 videos, 6 frames of 32x24" in printed
    assert "objects: 2 (SmallFishA 1, MediumFishA 0, MediumFishB 0, BigFishA 0, BigFishB 1)" in printed
    assert "> 0.5" in printed
    assert "0 problems" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["problems"] == []
    assert report["objects"] == 2
    assert not caplog.records
    for write, name in ((write_sailvos, "sailvos"), (write_ytvis, "ytvis"), (write_coco, "coco")):
        assert check(write(tmp_path / name, truth), "--format", name) == 0
    with pytest.raises(A2VISError, match="cannot be written"):
        check(tmp_path / "train", "--json", tmp_path / "report.json" / "report.json")
    # A link in the place of the output is replaced and not followed.
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "link.json").symlink_to(tmp_path / "victim")
    assert check(tmp_path / "train", "--json", tmp_path / "link.json") == 0
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "link.json").read_bytes() == (tmp_path / "report.json").read_bytes()


def test_command_on_broken_data(tmp_path: Path, truth: Truth, capsys: pytest.CaptureFixture[str]) -> None:
    write_fishbowl(tmp_path, truth)
    edit(clip(tmp_path), first("type_name", "Vehicle"))
    assert check(tmp_path, "--json", tmp_path / "report.json") == 1
    printed = capsys.readouterr().out
    assert f"problem: {clip(tmp_path)}: object 7: unknown class 'Vehicle'" in printed
    assert "1 problem in" in printed
    problem = json.loads((tmp_path / "report.json").read_text())["problems"][0]
    assert (problem["file"], problem["record"]) == (str(clip(tmp_path)), "object 7")
    (tmp_path / "report.json").unlink()
    assert check(tmp_path, "--classes", "all") == 0
    assert check(tmp_path, "--classes", "Vehicle,BigFishB") == 0
    (tmp_path / "00012" / "video.mp4").write_bytes(b"")
    assert check(tmp_path) == 1
    assert check(tmp_path / "absent") == 1
    assert "absent: data set: does not exist" in capsys.readouterr().out


def test_a_clip_that_is_being_rendered_lends_no_class(tmp_path: Path, truth: Truth) -> None:
    write_fishbowl(tmp_path, truth)
    (tmp_path / ".00013.123.partial").mkdir()
    (tmp_path / ".00013.123.partial" / "objects.json").write_text('[{"type_name": "Ghost"}]')
    assert found_classes(tmp_path) == FISHBOWL_CLASSES


@pytest.mark.skipif(not FISHBOWL.is_dir(), reason=f"{FISHBOWL} is not there: clips rendered with FISHBOWL's own scene")
def test_clips_of_the_fishbowl_scene() -> None:
    dataset = open_dataset(FISHBOWL / "val")
    assert len(dataset) == 6
    video = dataset[0]
    assert (video.height, video.width, video.length) == (320, 480, 128)
    statistics = survey([video])
    sample = video.load([0, 60, 127])
    assert not messages(dataset)
    assert sum(statistics.objects.values()) == len(sample.object_ids)
    assert sample.amodal is not None
    assert not (sample.visible & ~sample.amodal).any()
    images = sorted((FISHBOWL / "train" / "00103" / "frames").glob("*.png"))
    clip_with_images = open_dataset(FISHBOWL / "train")
    frames = clip_with_images[clip_with_images.names.index("00103")].frames([100])
    stored = ImageFiles.probe([str(path) for path in images]).read([100])
    assert np.abs(frames.astype(int) - stored).mean() < 4  # the same picture, but for H.264; a frame away it is 7
