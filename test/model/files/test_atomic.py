"""Outputs appear whole or not at all, follow no links, and leave nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from a2vis_model import save_weights
from a2vis_model.evaluation.youtube_vis import write_json
from a2vis_model.files.atomic import new_folder, remove_abandoned_folders, replacing, write_bytes, write_text
from a2vis_model.files.video_io import VideoInput, VideoWriter
from a2vis_model.training.checkpoint import Checkpoint


def write_video(path: Path) -> None:
    with VideoWriter(path, height=16, width=16, rate=10) as writer:
        for _ in range(3):
            writer.write(np.zeros((16, 16, 3), np.uint8))


WRITERS = {
    "text": lambda path: write_text(path, "new"),
    "bytes": lambda path: write_bytes(path, b"new"),
    "json": lambda path: write_json(path, ["new"]),
    "video": write_video,
    "checkpoint": lambda path: Checkpoint(1, {}, {}, None, {"a": torch.zeros(1)}, None, {}, {}, 0.0).save(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_in_the_place_of_an_output_is_replaced_and_not_followed(name: str, tmp_path: Path) -> None:
    """Who puts one there gets nothing written to where it points."""
    victim, path = tmp_path / "victim", tmp_path / "out" / "result"
    victim.write_text("mine")
    path.parent.mkdir()
    path.symlink_to(victim)
    (path.parent / ".result.part").symlink_to(victim)
    before = os.umask(0o027)
    try:
        WRITERS[name](path)
    finally:
        os.umask(before)
    assert victim.read_text() == "mine"
    assert path.is_file()
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".result.part", "result"]


def test_weights_are_written_by_the_same_writer(tmp_path, model, config) -> None:
    victim, path = tmp_path / "victim", tmp_path / "out" / "w.safetensors"
    victim.write_text("mine")
    path.parent.mkdir()
    path.symlink_to(victim)
    save_weights(path, model, config)
    assert victim.read_text() == "mine"
    assert [entry.name for entry in path.parent.iterdir()] == ["w.safetensors"]


def test_a_writer_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


def test_a_video_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write_video(path)

    def fail() -> None:
        with VideoWriter(path, height=32, width=32, rate=10) as writer:
            writer.write(np.zeros((32, 32, 3), np.uint8))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert VideoInput.open(path).height == 16
    assert [entry.name for entry in tmp_path.iterdir()] == ["video.mp4"]


def test_what_a_killed_writer_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "result"
    code = (
        "import sys; from pathlib import Path; from a2vis_model.files.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n"
        "    file.write_text('half'); print(file, flush=True); sys.stdin.read()\n"
    )
    other = tmp_path / "tmp0000.part"
    other.write_text("of another program")
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        half = Path(writer.stdout.readline().strip())
        write_text(path, "whole")
        assert half.read_text() == "half", "it is still being written"
    finally:
        writer.kill()
        writer.communicate()
    write_text(path, "again")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["result", "tmp0000.part"]
    assert path.read_text() == "again"


def test_folders_that_killed_programs_left_go_and_those_being_filled_stay(tmp_path: Path) -> None:
    """By the kernel's lock: a number of a process may be another's in another container."""
    code = (
        "import sys; from pathlib import Path; from a2vis_model.files.atomic import new_folder\n"
        "with new_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'a').write_text('half'); print(folder, flush=True); sys.stdin.read()\n"
    )
    (tmp_path / ".00001.123.partial").mkdir()
    (tmp_path / ".00002.123.partial").symlink_to(tmp_path)
    command = [sys.executable, "-c", code, str(tmp_path / "clip")]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        half = Path(writer.stdout.readline().strip())
        assert str(writer.pid) not in half.name.split(".")
        remove_abandoned_folders(tmp_path)
        assert (half / "a").read_text() == "half"
        assert not (tmp_path / ".00001.123.partial").exists()
    finally:
        writer.kill()
        writer.communicate()
    remove_abandoned_folders(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [".00002.123.partial"]


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with new_folder(tmp_path / "above" / "whole") as folder:
        (folder / "a").write_text("text")
        assert not (tmp_path / "above" / "whole").exists()
    assert (tmp_path / "above" / "whole" / "a").read_text() == "text"

    def fail() -> None:
        with new_folder(tmp_path / "above" / "half") as folder:
            (folder / "a").write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert [entry.name for entry in (tmp_path / "above").iterdir()] == ["whole"]


def test_long_names_and_new_folders_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / ("x" * 250)
    write_text(path, "text")
    assert path.read_text() == "text"
    assert len(os.listdir(path.parent)) == 1
