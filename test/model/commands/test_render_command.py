"""`a2vis render`, as a user would call it."""

import argparse
from pathlib import Path

import cv2
import pytest
from rendered_clips import SMALL, clips

from a2vis_model.commands import render as render_command
from a2vis_model.commands.sizes import parse_size
from a2vis_model.errors import A2VISError
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
    with pytest.raises(A2VISError, match="choose another --output"):
        render_command.run(arguments(output, "--seed", "1"))


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
