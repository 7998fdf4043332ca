"""Programs where packages are missing, as after a build by colcon alone: they say which, and the doctor still runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT
from ros_helpers import needs_ros

from a2vis_ros.programs.requirements import OPTIONAL, REQUIRED, installed, remedy

BLOCKER = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Missing())
"""


def without(package: str, tmp_path: Path, code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """A Python that does not find a package."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.format(name=package), encoding="utf-8")
    paths = [str(tmp_path), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, "-c", code, *args], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


PIP_TORCH = "pip install torch, in the virtual environment of docs/install.md"


@needs_ros
def test_programs_say_what_is_missing(tmp_path: Path) -> None:
    code = (
        "import sys; from a2vis_ros.programs.entry import run; modules = sys.argv[1:]; sys.argv[1:] = ['info'];"
        "print([run(m.split('.')[-1], m) for m in modules])"
    )
    modules = (
        "a2vis_ros.node.a2vis_node",
        "a2vis_ros.bags.replay_evaluate",
        "a2vis_model.cli",
    )
    done = without("torch", tmp_path, code, *modules)
    assert done.stdout == "[2, 2, 2]\n", done.stderr
    assert "Traceback" not in done.stderr
    for program in ("a2vis_node", "replay_evaluate", "cli"):
        assert f"{program}: the Python package torch is not installed: {PIP_TORCH}\n" in done.stderr


@needs_ros
@pytest.mark.parametrize(("package", "fix"), [("torch", "pip install torch"), ("rclpy", "source ROS 2")])
def test_the_doctor_runs_without(tmp_path: Path, package: str, fix: str) -> None:
    code = "import sys; from a2vis_ros.tools.doctor import main; sys.exit(main(['--topic', '/image']))"
    done = without(package, tmp_path, code)
    assert done.returncode == 1, done.stderr
    assert re.search(rf"error  {package}: not installed, and the node needs it\n +-> {fix}", done.stdout)
    assert "not checked without these packages" in done.stdout
    assert not done.stderr


def test_the_collector_leaves_alone_what_a_program_imports(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import gc\nimported_with = gc.isenabled()\ndef main():\n"
        "    print(imported_with, gc.isenabled(), gc.get_freeze_count() > 1000)\n    return 0\n"
    )
    code = "from a2vis_ros.programs.entry import run; run('program', 'program')"
    assert without("nothing", tmp_path, code).stdout == "False True True\n"


def test_errors_of_our_own_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    from a2vis_ros.programs.entry import run

    with pytest.raises(ModuleNotFoundError):
        run("nothing", "a2vis_ros.no_such_module")


def test_every_package_has_a_remedy() -> None:
    assert installed("os.path")
    assert not installed("no_such_package.module")
    for name in (*REQUIRED, *OPTIONAL):
        assert len(remedy(name)) > 8
    assert remedy("torch.nn") == PIP_TORCH
    assert remedy("unheard_of.thing") == "install unheard_of"


def test_every_program_of_the_build_is_there() -> None:
    """And `a2vis`, which messages tell people to run."""
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    lists = [re.search(rf"set\({name} (.*)\)", cmake) for name in ("modules", "programs")]
    modules, programs = (found.group(1).split() for found in lists if found is not None)
    assert len(modules) == len(programs)
    for module in modules:
        path = ROOT.joinpath("a2vis_ros", *module.split(".")).with_suffix(".py")
        assert "\ndef main(" in path.read_text(encoding="utf-8")
    assert "install_program(a2vis a2vis_model.cli bin)" in cmake
