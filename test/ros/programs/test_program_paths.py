"""Options of the programs that name files may begin with a tilde behind the sign of equality."""

import argparse
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT
from ros_helpers import needs_ros


@needs_ros
@pytest.mark.parametrize(
    ("program", "function", "given", "option"),
    [
        ("a2vis_ros.bags.replay_evaluate", "_score_recorded", ["bag", "out", "--results=~/x"], "results"),
        ("a2vis_ros.bags.replay_evaluate", "_run", ["bag", "out", "--profiles=~/x"], "profiles"),
        ("a2vis_ros.bags.replay_evaluate", "_run", ["bag", "out", "--engine-cache=~/x"], "engine_cache"),
        ("a2vis_ros.tools.doctor", "_examine", ["--engine-cache=~/x"], "engine_cache"),
    ],
)
def test_an_option_may_begin_with_a_tilde(
    program: str, function: str, given: list[str], option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import importlib

    module = importlib.import_module(program)
    found: list[argparse.Namespace] = []

    def take(args: argparse.Namespace) -> Any:
        found.append(args)
        return [] if function == "_examine" else 0

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(module, function, take)
    module.main(given)
    assert Path(getattr(found[0], option)) == tmp_path / "x"


def test_all_programs_read_their_arguments_so() -> None:
    """But those whose options name no file."""
    bare = {
        file.stem
        for file in (ROOT / "a2vis_ros").rglob("*.py")
        if "parser.parse_args(" in (text := file.read_text("utf-8")) and "arguments_at_home(arguments)" not in text
    }
    assert bare == {"benchmark", "live_replay"}
