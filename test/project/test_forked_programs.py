"""`tools/forked_programs.py`, on a program of Python's own."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from paths import ROOT

sys.path.append(str(ROOT / "tools"))

from forked_programs import ForkedPrograms


def test_programs_run_end_and_are_killed(tmp_path: Path) -> None:
    (tmp_path / "whole.json").write_text('{"a": [1]}')
    (tmp_path / "broken.json").write_text("{")
    os.mkfifo(tmp_path / "waits.json")
    log = tmp_path / "log"
    with ForkedPrograms(("json.tool",), dict(os.environ)) as programs:
        whole = programs.start("json.tool", ["--compact", tmp_path / "whole.json"], log)
        assert programs.wait(whole) == 0
        assert log.read_text() == '{"a":[1]}\n'
        assert programs.wait(programs.start("json.tool", [tmp_path / "broken.json"], log)) == 1
        assert "Expecting property name" in log.read_text()
        waiting, left = (programs.start("json.tool", [tmp_path / "waits.json"], log) for _ in range(2))
        assert not programs.has_ended(waiting)
        os.kill(waiting, signal.SIGKILL)
        assert programs.wait(waiting) == -signal.SIGKILL
        assert psutil.pid_exists(left)
    assert not psutil.pid_exists(left)


def test_a_module_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with status 1"):
        ForkedPrograms(("no_such_module",), dict(os.environ))
