"""`a2vis train`, as a user would call it."""

import shutil
from pathlib import Path

import pytest
import torch
from training_runs import HEIGHT, WIDTH, command, files

from a2vis_model import (
    A2VISError,
    load_weights,
)
from a2vis_model.render import render_clip, write_clip
from a2vis_model.training.loop import BEST, CHECKPOINT, LAST
from a2vis_model.training.sources import open_source

__all__ = ["files"]


def test_command_trains_both_stages(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame, video = tmp_path / "frame", tmp_path / "video"
    validation = ["--validation", str(files / "clips"), "--validation-frames", "6", "--validate-every", "2"]
    assert command(files, frame, "--stage", "frame", "--steps", "2", *validation) == 0
    start = ["--init", str(frame / LAST), "--warm-start"]
    assert command(files, video, "--stage", "video", "--steps", "2", *start, "--max-minutes", "0") == 3
    assert "continue with the same command with --resume" in capsys.readouterr().out
    again = ["--stage", "video", "--steps", "2", *start, "--resume"]
    assert command(files, video, *again, *validation) == 2
    assert "another validation, validation_frames" in capsys.readouterr().err
    shutil.rmtree(video)
    assert command(files, video, *again, *validation, "--max-minutes", "0") == 3
    elsewhere = shutil.copytree(files, tmp_path / "elsewhere")
    assert command(elsewhere, video, *again, *validation) == 0
    model, config = load_weights(video / LAST)
    assert config.name == "tiny"
    trained = load_weights(frame / LAST)[0].detector.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in model.detector.state_dict().items())
    assert (video / BEST).is_file()


@pytest.mark.parametrize(
    ("flags", "precision", "slow"),
    [
        ({"flags": "sse2 avx2"}, "bf16", True),
        ({"flags": "sse2 avx2"}, "fp32", False),
        ({"flags": "avx2 avx512_bf16"}, "bf16", False),
        ({"flags": "avx2 amx_bf16 amx_tile"}, "bf16", False),
        ({"Features": "asimd i8mm"}, "bf16", True),
        ({"Features": "asimd bf16"}, "bf16", False),
        ({}, "bf16", False),
    ],
    ids=lambda value: str(value),
)
def test_a_processor_without_bf16_is_warned_of(
    files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: dict[str, str],
    precision: str,
    slow: bool,
) -> None:
    monkeypatch.setattr("a2vis_model.machine._processor", lambda field: flags.get(field, ""))
    options = ["--stage", "frame", "--steps", "1", "--precision", precision]
    assert command(files, tmp_path / "run", *options) == 0
    said = "--precision bf16: this processor has no instructions for it" in capsys.readouterr().err
    assert said == slow


def test_command_leaves_broken_videos_out_of_the_validation(
    files: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(files / "clips", tmp_path / "data")
    (data / "00000" / "video.mp4").write_bytes(b"broken")
    options = ["--stage", "frame", "--steps", "1", "--validation", str(data)]
    assert command(files, tmp_path / "run", *options) == 0
    assert (tmp_path / "run" / BEST).is_file()
    assert f"{data}/00000/video.mp4: video: cannot be read" in caplog.text
    (data / "00001" / "video.mp4").unlink()
    assert command(files, tmp_path / "other", *options) == 2
    assert f"--validation {data}: no video can be used; run 'a2vis check-data'" in capsys.readouterr().err


def test_command_refuses_data_without_the_networks_classes(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--stage", "frame", "--steps", "1"]
    assert command(files, tmp_path, *options, "--classes", "person,truck") == 2
    message = "clips: holds none of the network's classes person, truck; give --classes some of its own: "
    assert message in (error := capsys.readouterr().err)
    assert "FishA" in error
    assert command(files, tmp_path, *options, "--validation", "render:robot") == 2
    assert "render:robot: holds none of" in capsys.readouterr().err


def test_clips_may_hold_classes_that_they_do_not_declare(tmp_path: Path) -> None:
    clip = render_clip(world="robot", seed=0, frames=2, height=HEIGHT, width=WIDTH)
    write_clip(clip, tmp_path / "00000")
    name = clip.objects[0].class_name
    assert len(open_source(str(tmp_path), [name], frames=1, seed=0, gigabytes=0)) == 1
    with pytest.raises(A2VISError, match=f"classes SmallFishA; .*{name}"):
        open_source(str(tmp_path), ["SmallFishA"], frames=1, seed=0, gigabytes=0)


def test_command_renders_while_training(files: Path, tmp_path: Path) -> None:
    options = ["--stage", "joint", "--steps", "1", "--reach", "2", "--data", "render:aquarium=2", str(files / "clips")]
    assert command(files, tmp_path, *options, "--variant", "genvis-online") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "render:moon"], "choose one of render:aquarium"),
        (["--data", "/nowhere"], "/nowhere"),
        (["--data", "render:robot"], "render:robot: holds none of the network's classes SmallFishA, "),
        (["--data", "render:robot=-1"], "give a number above 0"),
        (["--data", "render:aquarium=inf"], "give a number above 0"),
        (["--steps", "0"], "steps=0; choose 1 or more"),
        (["--reach", "-1"], "reach=-1; choose 0 or more"),
        (["--seed", "-1"], "seed=-1; choose 0 or more"),
        (["--warmup", "-1"], "warmup=-1; choose 0 or more"),
        (["--backbone-factor", "-0.1"], "backbone_factor=-0.1; choose 0 or more"),
        (["--learning-rate", "nan"], "learning_rate=nan; choose a number above 0, such as 1e-4"),
        (["--learning-rate", "0"], "learning_rate=0.0; choose a number above 0"),
        (["--points", "0"], "points=0; choose 1 or more"),
        (["--workers", "-1"], "workers=-1; choose 0 or more"),
        (["--validate-every", "0"], "validate_every=0; choose 1 or more"),
        (["--validation-frames", "0"], "validation_frames=0; choose 1 or more"),
        (["--max-minutes", "nan"], "max_minutes=nan; choose 0 or more"),
        (["--checkpoint-minutes", "inf"], "checkpoint_minutes=inf; choose 0 or more"),
        (["--cache-gb", "-1"], "cache_gb=-1.0; choose 0 or more"),
        (["--init", "/nowhere.safetensors"], "/nowhere.safetensors"),
        (["--init", "/nowhere.pth"], "/nowhere.pth"),
        (["--device", "tpu"], "--device tpu: choose auto, cpu or cuda"),
    ],
)
def test_command_says_what_is_wrong(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert command(files, tmp_path / "run", "--stage", "frame", "--steps", "1", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / CHECKPOINT).exists()
