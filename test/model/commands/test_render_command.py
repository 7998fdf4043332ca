"""`a2vis render`, as a user would call it."""

import argparse
from pathlib import Path

import cv2
import pytest
from rendered_clips import SMALL, clips

from a2vis_model.commands import render as render_command
from a2vis_model.commands.sizes import parse_size
from a2vis_model.errors import A2VISError
from a2vis_model.evaluation.provenance import data_hash
from a2vis_model.render import (
    render_clip,
)

__all__ = ["clips"]


@pytest.fixture(autouse=True)
def single_thread():
    cv2.setNumThreads(1)


def arguments(output: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    render_command.add_arguments(parser)
    options = ["--output", str(output), "--clips", "3", "--frames", "2", "--size", "64x48", "--workers", "1"]
    return parser.parse_args([*options, *more])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_command_resumes_and_workers_do_not_matter(tmp_path):
    output = tmp_path / "clips"
    assert render_command.run(arguments(output)) == 0
    complete = contents(output)
    assert {name.split("/")[0] for name in complete} == {"00000", "00001", "00002", "classes.json"}
    kept = (output / "00002").stat().st_mtime_ns
    for file in sorted((output / "00001").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (output / "00001").rmdir()
    (output / ".00001.123.partial").mkdir()
    (output / ".00001.123.partial" / "video.mp4").write_bytes(b"half")
    assert render_command.run(arguments(output)) == 0
    assert contents(output) == complete
    assert (output / "00002").stat().st_mtime_ns == kept
    assert render_command.run(arguments(tmp_path / "parallel", "--workers", "2")) == 0
    assert contents(tmp_path / "parallel") == complete


def test_clips_of_other_code_are_made_again(tmp_path, monkeypatch, capsys):
    output = tmp_path / "clips"
    assert render_command.run(arguments(output)) == 0
    complete, hashed = contents(output), data_hash([output])
    (output / "00001" / "made_by").unlink()  # as earlier versions wrote it
    (output / "00001" / "video.mp4").write_bytes(b"of an earlier version")
    kept = (output / "00002").stat().st_mtime_ns
    capsys.readouterr()
    assert render_command.run(arguments(output)) == 0
    said = f"1 of 3 videos in {output} were made by other code; they are made again"
    assert said in capsys.readouterr().err
    assert contents(output) == complete
    assert (output / "00002").stat().st_mtime_ns == kept
    monkeypatch.setattr(render_command, "code_hash", lambda: "another")
    for _ in range(2):
        assert render_command.run(arguments(output)) == 0
    assert capsys.readouterr().err.count("3 of 3 videos") == 1
    assert {name for name, content in contents(output).items() if content != complete[name]} == {
        f"{clip:05d}/made_by" for clip in range(3)
    }
    assert data_hash([output]) == hashed


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([], ["--seed", "1"], "holds a video of another seed"),
        ([], ["--frames", "3"], "holds a video of another seed, world, length"),
        (["--world", "aquarium"], ["--world", "robot"], "holds a video of another seed, world"),
        (["--world", "robot"], ["--world", "robot", "--space"], r"holds a video without space\.json"),
        (["--world", "robot", "--space"], ["--world", "robot"], r"holds a video with space\.json"),
    ],
)
def test_clips_of_other_settings_are_left_alone(tmp_path, first, second, message):
    assert render_command.run(arguments(tmp_path / "clips", *first)) == 0
    before = contents(tmp_path / "clips" / "00000")
    with pytest.raises(A2VISError, match=f"{message}.*; choose another --output"):
        render_command.run(arguments(tmp_path / "clips", *second))
    assert contents(tmp_path / "clips" / "00000") == before


@pytest.mark.parametrize("content", [None, "{}", "[]", "nothing", '{"cw": 64, "ch": 48, "frameTimes": [0, 33]}'])
def test_what_the_command_has_not_written_is_left_alone(tmp_path, content):
    folder = tmp_path / "clips" / "00001"
    folder.mkdir(parents=True)
    (folder / "video.mp4").write_bytes(b"of somebody")
    if content is not None:
        (folder / "recording.json").write_text(content)
    with pytest.raises(A2VISError, match=r"was not written by this program.*choose another --output"):
        render_command.run(arguments(tmp_path / "clips"))
    assert (folder / "video.mp4").read_bytes() == b"of somebody"


def test_a_link_is_not_followed_to_what_is_made_again(tmp_path, monkeypatch):
    assert render_command.run(arguments(tmp_path / "elsewhere")) == 0
    before = contents(tmp_path / "elsewhere")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "00000").symlink_to(tmp_path / "elsewhere" / "00000")
    monkeypatch.setattr(render_command, "code_hash", lambda: "another")
    with pytest.raises(OSError, match="symbolic link"):
        render_command.run(arguments(tmp_path / "clips"))
    assert contents(tmp_path / "elsewhere") == before


# Arguments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"world": "desert"}, "world is 'desert'; use one of aquarium"),
        ({"seed": -1}, "seed is -1"),
        ({"frames": 0}, "frames is 0"),
        ({"height": 33}, "height is 33; use an even number"),
        ({"width": 8}, "width is 8"),
    ],
)
def test_unusable_arguments_are_named(change, message):
    with pytest.raises(A2VISError, match=message):
        render_clip(**{"world": "robot", "seed": 0, **SMALL, **change})


def test_the_name_of_the_output_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert render_command.run(arguments(Path("12:30"), "--clips", "1")) == 0
    assert (tmp_path / "12:30" / "00000" / "video.mp4").is_file()


def test_size_is_parsed():
    assert parse_size("480x320") == (480, 320)
    for text in ("480", "480x", "0x320", "480x-1"):
        with pytest.raises(A2VISError, match=f"--size {text}: give WIDTHxHEIGHT"):
            parse_size(text)
