"""Work is shared by processes and by a cluster with the same results; a lost worker's item is taken up again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from a2vis_model import A2VISError, cluster
from a2vis_model.cluster import RayWorkers
from a2vis_model.extras import MissingPackageError
from a2vis_model.workers import LocalWorkers, Workers, worker_pool


def test_workers_that_lose_their_parent_end() -> None:
    """It is killed, so that it can tell them nothing."""
    code = (
        "import os, time; from a2vis_model.workers import worker_pool\n"
        "with worker_pool(2) as pool:\n"
        "    print(*{pool.submit(os.getpid).result() for _ in range(2)}, flush=True)\n"
        "    time.sleep(1000)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    workers = [psutil.Process(int(number)) for number in parent.stdout.readline().split()]
    family = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([*workers, *family], timeout=60)
    assert workers
    assert not alive


def _add(numbers: list[int], number: int) -> int:
    return sum(numbers) + number


def test_a_pool_works() -> None:
    with worker_pool(2, preload="json") as pool:
        assert list(pool.map(_add, [[1, 2], [3]], [4, 5])) == [7, 8]


# --- Work that is shared -------------------------------------------------------------------------------


def _divider(folder: Path, number: int) -> Callable[[int], float]:
    """A worker that leaves a file when it is prepared."""
    (folder / f"prepared {os.getpid()}").touch()
    return partial(_divide, number)


def _divide(number: int, by: int) -> float:
    if not by:
        raise A2VISError(f"{number} cannot be divided by {by}")
    return number / by


def _mortal(folder: Path, deaths: int) -> Callable[[int], int]:
    return partial(_die, folder, deaths)


def _die(folder: Path, deaths: int, item: int) -> int:
    """Kill the process at item 2, as often as is said."""
    graves = len(list(folder.glob("grave *")))
    if item == 2 and graves < deaths:
        (folder / f"grave {graves}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    found = pytest.importorskip("ray", reason="Ray is not installed: pip install 'a2vis_ros[ray]'")
    # Its processes know this folder of tests no more than the machines of a cluster do.
    here = sys.modules[__name__]
    found.cloudpickle.register_pickle_by_value(here)
    yield found
    found.cloudpickle.unregister_pickle_by_value(here)


@pytest.fixture(params=["this process", "processes", "cluster"])
def workers(request: pytest.FixtureRequest) -> Workers:
    if request.param == "cluster":
        request.getfixturevalue("ray")
        return RayWorkers(cluster.LOCAL, 2)
    return LocalWorkers(1 if request.param == "this process" else 2)


def test_results_come_in_the_order_of_the_items(workers: Workers, tmp_path: Path) -> None:
    assert list(workers.run(partial(_divider, tmp_path, 60), [1, 2, 3, 4, 5])) == [60, 30, 20, 15, 12]
    assert 1 <= len(list(tmp_path.iterdir())) <= 2, "each worker is prepared once"
    assert list(workers.run(partial(_divider, tmp_path, 60), [])) == []


def test_the_first_error_of_an_item_is_told(workers: Workers, tmp_path: Path) -> None:
    results = workers.run(partial(_divider, tmp_path, 7), [7, 0, 1])
    assert next(results) == 1
    with pytest.raises(A2VISError, match=r"^7 cannot be divided by 0$"):
        next(results)


def test_an_error_of_the_preparation_is_told(workers: Workers, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(workers.run(partial(_divider, tmp_path / "nowhere", 7), [1, 2]))


def test_a_killed_process_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(A2VISError, match=r"one of 2 processes was killed, .*again with fewer"):
        list(LocalWorkers(2).run(partial(_mortal, tmp_path, 1), [1, 2, 3, 4]))


# --- A cluster -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ray")
def test_the_item_of_a_killed_worker_is_taken_up_again(tmp_path: Path) -> None:
    results = RayWorkers(cluster.LOCAL, 2).run(partial(_mortal, tmp_path, 2), [1, 2, 3, 4])
    assert list(results) == [1, 4, 9, 16]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.usefixtures("ray")
def test_an_item_that_kills_every_worker_is_named(tmp_path: Path) -> None:
    with pytest.raises(A2VISError, match="item 2 has lost 3 workers"):
        list(RayWorkers(cluster.LOCAL, 2).run(partial(_mortal, tmp_path, 99), [1, 2, 3, 4]))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.usefixtures("ray")
def test_a_machine_with_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "code_hash", lambda: "another")
    with pytest.raises(A2VISError, match="another version of a2vis_ros; install the same"):
        list(RayWorkers(cluster.LOCAL).run(partial(_divider, tmp_path, 7), [1]))


def test_a_machine_without_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(A2VISError, match=r"has no folder .*; call the command in a folder that all"):
        cluster._check_machine(str(tmp_path / "missing"), "")


@pytest.mark.usefixtures("ray")
def test_a_cluster_that_does_not_answer_is_one_line() -> None:
    with pytest.raises(A2VISError, match=r"(?s)--ray nobody: no cluster can be used there .*ray start --head"):
        list(RayWorkers("nobody").run(int, [1]))  # type: ignore[arg-type]


def test_missing_ray_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"ray is not installed: pip install 'a2vis_ros\[ray\]'$"):
        RayWorkers(cluster.LOCAL)
