"""`a2vis render` and `train` of composed clips."""

import argparse
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from composed_clips import SIZE, clips, folder, pictures
from paths import SHARED
from pictures import cut_out, save

from a2vis_model import cli
from a2vis_model.commands import render as render_command
from a2vis_model.data.problems import ProblemLog
from a2vis_model.errors import A2VISError
from a2vis_model.render.composed_world import ComposedClip
from a2vis_model.render.cutouts import load_pictures
from a2vis_model.training.augmentation import Augmentation
from a2vis_model.training.sequences import SequenceDataset
from a2vis_model.training.sources import open_source

__all__ = ["clips", "folder", "pictures"]


ROBOT = SHARED / "data" / "robot"


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


# The command


def arguments(folder: Path, output: Path, **changes) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    render_command.add_arguments(parser)
    options = {
        "--output": output, "--clips": 1, "--world": "composed", "--frames": 3, "--size": "96x64", "--workers": 1,
        "--cutouts": folder / "cutouts", "--backgrounds": folder / "backgrounds",
    } | changes  # fmt: skip
    return parser.parse_args([str(text) for item in options.items() if item[1] is not None for text in item])


def test_the_command_writes_clips_that_check_data_reads(folder, tmp_path, capsys):
    seed = next(s for s in range(20) if _shows_something(folder, s))
    assert render_command.run(arguments(folder, tmp_path / "clips", **{"--seed": seed})) == 0
    assert cli.main(["check-data", str(tmp_path / "clips")]) == 0
    assert set(json.loads((tmp_path / "clips" / "classes.json").read_text())) == {
        path.name for path in (folder / "cutouts").iterdir()
    }
    assert "3 frames of 96x64" in capsys.readouterr().out
    recording = json.loads((tmp_path / "clips" / "00000" / "recording.json").read_text())
    assert recording["world"] == "composed"
    assert render_command.run(arguments(folder, tmp_path / "clips", **{"--seed": seed})) == 0  # it is there already
    fewer = tmp_path / "fewer"
    save(fewer / "car" / "0.png", cut_out(20, 40, (1, 2, 3)))
    assert "made again" not in capsys.readouterr().err
    with pytest.raises(A2VISError, match="of other pictures; choose another --output"):
        render_command.run(arguments(folder, tmp_path / "clips", **{"--seed": seed, "--cutouts": fewer}))


def _shows_something(folder: Path, seed: int) -> bool:
    pictures = load_pictures(folder / "cutouts", folder / "backgrounds", ProblemLog())
    clip = ComposedClip.sample(pictures, seed=render_command.clip_seed(seed, 0), frames=3, **SIZE)
    return bool(clip.render().objects)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--cutouts": None}, "--world composed needs pictures; give --cutouts DIR"),
        ({"--backgrounds": None}, "--world composed needs pictures; give --backgrounds DIR"),
        ({"--world": "robot"}, "is for --world composed alone; --world is robot"),
        ({"--size": "95x64"}, "width is 95; use an even number"),
        ({"--cutouts": "/nowhere"}, "/nowhere: there is no such folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder, tmp_path, changes, message):
    with pytest.raises(A2VISError) as error:
        render_command.run(arguments(folder, tmp_path / "clips", **changes))
    assert message in str(error.value)
    assert not (tmp_path / "clips").exists()


# Training


def test_composed_clips_are_a_training_source(folder):
    classes = ["truck", "person", "cat"]
    source = open_source(f"composed:{folder}", classes, frames=9, seed=0, gigabytes=0)
    assert source.has_amodal
    data = SequenceDataset([source], [1.0], 4, 4, 64, 96, Augmentation(), 0)
    samples = [data[i] for i in range(3)]
    for sample in samples:
        assert sample.images.shape == (4, 64, 96, 3)
        assert sample.visible.shape == sample.amodal.shape == (4, len(sample.classes), 64, 96)
        assert len(sample.classes)
        assert set(sample.classes.tolist()) <= {0, 1}
        assert not (sample.visible & ~sample.amodal).any()
    assert np.array_equal(data[1].images, samples[1].images)
    video = source[3]
    loaded = video.load([2, 2, 5])
    assert loaded.indices.tolist() == [2, 2, 5]
    assert np.array_equal(loaded.frames[0], loaded.frames[1])
    assert np.array_equal(loaded.frames[2], video.load([5]).frames[0])
    assert set(loaded.first_visible.tolist()) <= {2, 5}


def test_the_split_of_composed_pictures_is_train_unless_named(folder, tmp_path):
    for split, name in (("train", "person"), ("val", "car")):
        shutil.copytree(folder / "cutouts" / name, tmp_path / "cutouts" / split / name)
        shutil.copytree(folder / "backgrounds", tmp_path / "backgrounds" / split)

    def load(text: str, classes: list[str]):
        return open_source(text, classes, frames=1, seed=0, gigabytes=0)

    assert len(load(f"composed:{tmp_path}", ["person"]))
    assert len(load(f"composed:{tmp_path}@val", ["car"]))
    with pytest.raises(A2VISError, match="holds none of the classes car"):
        load(f"composed:{tmp_path}", ["car"])
    with pytest.raises(A2VISError, match="test: there is no such folder"):
        load(f"composed:{tmp_path}@test", ["car"])
    railway = tmp_path / "railway@home"
    shutil.copytree(folder / "cutouts" / "car", railway / "cutouts" / "train")
    shutil.copytree(folder / "backgrounds", railway / "backgrounds")
    assert len(load(f"composed:{railway}", ["train"]))  # a class of that name, and no split


@pytest.mark.skipif(not ROBOT.is_dir(), reason="the robot's pictures are not beside the checkout")
def test_the_robots_pictures_can_all_be_used():
    found = load_pictures(ROBOT / "cutouts" / "val", ROBOT / "backgrounds" / "val", ProblemLog(strict=True))
    assert sum(len(cutouts) for cutouts in found.cutouts.values()) == 143
    clip = ComposedClip.sample(found, seed=3, frames=2, height=128, width=192)
    assert clip.render().frames.shape == (2, 128, 192, 3)
