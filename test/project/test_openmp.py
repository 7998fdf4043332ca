"""Programs that compute tell torch's threads to wait without spinning, before torch is there to hear it."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from paths import ROOT

PROGRAMS = (
    "a2vis_model.commands.train",
    *(
        f"benchmark/{name}.py"
        for name in (
            "clip_profile",
            "cpu",
            "detectors",
            "endurance",
            "gpu",
            "masks",
            "pasted_recall",
            "scoring",
            "slot_memory",
        )
    ),
)
ROS_PROGRAMS = (
    "a2vis_ros.tools.doctor_checks",
    "a2vis_ros.stream.loading",
    "a2vis_ros.bags.replay_evaluate",
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
    try:
        runpy.run_path(program, run_name="program") if program.endswith(".py") else __import__(program)
    except Torch:
        print(program, os.environ.get("OMP_WAIT_POLICY"))
"""


def policies(programs: tuple[str, ...], **environment: str) -> dict[str, str]:
    """What the variable is in each program when it imports torch."""
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
    assert policies(PROGRAMS) == dict.fromkeys(PROGRAMS, "PASSIVE")


@pytest.mark.skipif(find_spec("rclpy") is None, reason="ROS 2 is not there; `make ros` installs it")
def test_ros_programs_wait_passively() -> None:
    inherited = os.environ.get("PYTHONPATH", "")
    found = policies(ROS_PROGRAMS, PYTHONPATH=os.pathsep.join(filter(None, (str(ROOT), inherited))))
    assert found == dict.fromkeys(ROS_PROGRAMS, "PASSIVE")


def test_what_the_user_set_stays() -> None:
    assert policies(("a2vis_model.commands.train",), OMP_WAIT_POLICY="ACTIVE") == {
        "a2vis_model.commands.train": "ACTIVE"
    }
