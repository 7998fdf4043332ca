"""How the programs begin and end: by a signal at any time, and with arguments that cannot be used."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import HELPERS
from ros_helpers import PATIENCE_S, Peer, arguments, needs_ros, process

pytestmark = [needs_ros, pytest.mark.usefixtures("no_process_is_left_over")]

PROGRAMS = ("fake_node", "a2vis_ros.node.object_localizer", "a2vis_ros.planner.occlusion_monitor")


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.close()


@pytest.fixture
def slow_signals(tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs started from now on have a slow thread of signals. Needs the peer, which has loaded librcl.so."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and Linux")
    library = tmp_path / "slow_signals.so"
    source = str(HELPERS / "slow_signals.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8").split()
    monkeypatch.setenv("RCL", next(path for path in mapped if path.endswith("/librcl.so")))
    monkeypatch.setenv("LD_PRELOAD", str(library))


@pytest.mark.usefixtures("slow_signals")
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("program", [*PROGRAMS, "fake_node that builds an engine"])
def test_a_program_outlives_its_thread_of_signals(
    peer: Peer, tmp_path: Path, program: str, told: signal.Signals
) -> None:
    """It must neither wait for ever nor free what that thread still uses."""
    from rcl_interfaces.srv import GetParameters

    module, _, building = program.partition(" that ")
    log = tmp_path / "log"
    given = arguments(engine_cache=str(tmp_path / "never")) if building else []
    with process(module, *given, log=log) as started:
        if building:
            peer.have_an_engine_built(log)
        else:
            name = "/a2vis" if module == "fake_node" else f"/{module.rpartition('.')[2]}"
            peer.call(GetParameters, f"{name}/get_parameters", GetParameters.Request())
        started.send_signal(told)
        assert started.wait(PATIENCE_S) == 0
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--params-file", "/nowhere.yaml"], "/nowhere.yaml"),
        (["--params-file", "broken.yaml"], "broken.yaml"),
        (["--nonsense"], "--nonsense"),
        (["-p", "no_value"], "no_value"),
    ],
)
def test_arguments_that_cannot_be_used_end_the_program_in_words(
    tmp_path: Path, program: str, given: list[str], words: str
) -> None:
    broken, log = tmp_path / "broken.yaml", tmp_path / "log"
    broken.write_text("a2vis:\n  ros__parameters:\n   stride: [\n", encoding="utf-8")
    given = [str(broken) if word == "broken.yaml" else word for word in given]
    with process(program, "--ros-args", *given, log=log) as started:
        assert started.wait(PATIENCE_S) == 2
    last = log.read_text().splitlines()[-1]
    assert words in last
    assert "the arguments of ROS cannot be used" in last
    assert "Traceback" not in log.read_text()
