"""Workers end with the process that made them."""

import subprocess
import sys

import psutil

from a2vis_model.workers import worker_pool


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


def test_workers_work() -> None:
    with worker_pool(2, preload="json") as pool:
        assert list(pool.map(_add, [[1, 2], [3]], [4, 5])) == [7, 8]
