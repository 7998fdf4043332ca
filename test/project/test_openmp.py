"""Programs that compute tell torch's threads to wait without spinning, before torch is there to hear it."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from paths import ROOT

FOLDERS = ("benchmark", "tools", "examples")
"""Folders in which every file is a program of its own."""
PROGRAMS = (
    *sorted(f"a2vis_model.commands.{file.stem}" for file in (ROOT / "a2vis_model" / "commands").glob("[a-z]*.py")),
    "science.__main__",
    *sorted(file.relative_to(ROOT).as_posix() for name in FOLDERS for file in (ROOT / name).glob("*.py")),
)
"""All that may be run, or is imported by name by what lies beside it."""
ROS_PROGRAMS = (
    "a2vis_ros.stream.loading",
    "a2vis_ros.tools.doctor_checks",
    *sorted(
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in (ROOT / "a2vis_ros").rglob("*.py")
        if "\ndef main(" in file.read_text("utf-8")
    ),
)

# Ends each import where torch is asked for, so that nothing waits for torch itself.
SCRIPT = """
import os, runpy, sys

class Torch(BaseException):
    pass

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise Torch

sys.meta_path.insert(0, Watch())
given = os.environ.get("OMP_WAIT_POLICY")
for program in sys.argv[1:]:
    os.environ.pop("OMP_WAIT_POLICY", None)
    if given is not None:
        os.environ["OMP_WAIT_POLICY"] = given
    for name in [name for name in sys.modules if name.startswith("a2vis_")]:
        del sys.modules[name]
    # As Python does for a program; some import what lies beside them.
    sys.path.insert(0, os.path.dirname(program))
    try:
        runpy.run_path(program, run_name="program") if program.endswith(".py") else __import__(program)
    except Torch:
        print(program, os.environ.get("OMP_WAIT_POLICY"))
    except ImportError:
        pass  # What the program needs is not installed here.
    del sys.path[0]
"""


def policies(programs: tuple[str, ...], **environment: str) -> dict[str, str]:
    """What the variable is in each program that imports torch, when it does."""
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *programs],
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(line.split() for line in done.stdout.splitlines())


def test_programs_wait_passively() -> None:
    found = policies(PROGRAMS)
    assert found.keys() >= {"a2vis_model.commands.train", "benchmark/gpu.py", "benchmark/roofline.py"}
    assert found == dict.fromkeys(found, "PASSIVE")


@pytest.mark.skipif(find_spec("rclpy") is None, reason="ROS 2 is not there; `make ros` installs it")
def test_ros_programs_wait_passively() -> None:
    inherited = os.environ.get("PYTHONPATH", "")
    found = policies(ROS_PROGRAMS, PYTHONPATH=os.pathsep.join(filter(None, (str(ROOT), inherited))))
    assert found.keys() >= {"a2vis_ros.bags.replay_evaluate", "a2vis_ros.stream.loading"}
    assert found == dict.fromkeys(found, "PASSIVE")


def test_what_the_user_set_stays() -> None:
    assert policies(("a2vis_model.commands.train",), OMP_WAIT_POLICY="ACTIVE") == {
        "a2vis_model.commands.train": "ACTIVE"
    }
