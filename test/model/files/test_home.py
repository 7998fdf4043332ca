"""Paths that begin with a tilde."""

from pathlib import Path

import pytest

from a2vis_model.files.home import arguments_at_home, at_home


def test_paths_are_expanded_where_no_shell_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert at_home("~/a") == tmp_path / "a"
    assert at_home("a/~") == Path("a/~")
    given = ["~/in", "--output=~/out", "--root=fish=~/fish", "--frames", "~3", "a~/b", "--set=x=~"]
    home = str(tmp_path)
    expected = [f"{home}/in", f"--output={home}/out", f"--root=fish={home}/fish", "--frames", "~3", "a~/b", "--set=x=~"]
    assert arguments_at_home(given) == expected
    monkeypatch.setattr("sys.argv", ["program", "--a=~/b"])
    assert arguments_at_home() == [f"--a={home}/b"]
