"""Workers on a Ray cluster: many machines, or this one.

workers = RayWorkers("local")
for result in workers.run(prepare, items):
    ...
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .errors import A2VISError
from .extras import optional_packages
from .machine import code_hash, cores
from .workers import Item, Result, Workers

LOCAL = "local"
"""Address of a cluster that is started on this machine and ends with the command."""
_RETRIES = 2
"""Number of times that an item is taken up again after its worker was lost."""


class RayWorkers(Workers):
    """Processes of a Ray cluster, one CPU each.

    An item whose worker is lost, with its machine or alone, is given to another. All machines need this package in the
    same version, and the same files under the same paths.

    Args:
        address: address of the cluster: "10.0.0.1:6379", "auto", "ray://10.0.0.1:10001"; "local" starts one here.
        jobs: number of items that are worked on at once; None for as many as the cluster has room for.
        gpus: number of GPUs that each of them takes.

    Raises:
        MissingPackageError: Ray is not installed.
    """

    def __init__(self, address: str, jobs: int | None = None, gpus: int = 0) -> None:
        with optional_packages():
            import ray
        self._ray = ray
        self.address, self.jobs, self._gpus = address, jobs, gpus

    def run(self, prepare: Callable[[], Callable[[Item], Result]], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the results in the order of the items; see `Workers.run`.

        Raises:
            A2VISError: the cluster cannot be reached; a machine of it lacks this folder or has another version of this
                package; or an item has lost every worker that took it.
        """
        if not items:
            return
        ray = self._ray
        with self._cluster():
            # Without max_calls Ray ends a process with a GPU after each call, and its network with it.
            options = {"num_cpus": 1, "num_gpus": self._gpus, "max_retries": _RETRIES, "max_calls": 0}
            work = ray.remote(**options)(_work)
            constants = (os.getcwd(), code_hash(), uuid.uuid4().hex, [ray.put(prepare)])
            running: dict[Any, int] = {}
            done: dict[int, Any] = {}
            begun = 0
            for place in range(len(items)):
                while place not in done:
                    while begun < len(items) and len(running) < (self.jobs or len(items)):
                        running[work.remote(*constants, items[begun])] = begun
                        begun += 1
                    (finished,), _ = ray.wait(list(running), num_returns=1)
                    done[running.pop(finished)] = finished
                yield self._result(done.pop(place), items[place])

    def _result(self, finished: Any, item: object) -> Any:
        ray = self._ray
        try:
            return ray.get(finished)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines()
            raise A2VISError(
                f"--ray {self.address}: item {item!r} has lost {_RETRIES + 1} workers: {lines[0]}; has each the memory "
                "that it needs? Without --ray the item shows what ends it"
            ) from error

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        # Ray would report to its makers how it is used, unless the user has said whether it may.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        local: dict[str, Any] = {"num_cpus": self.jobs or cores(), "include_dashboard": False}
        try:
            self._ray.init(
                address=self.address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(local if self.address == LOCAL else {}),
            )
        except (ConnectionError, RuntimeError, ValueError, ImportError) as error:
            raise A2VISError(
                f"--ray {self.address}: no cluster can be used there ({error}); give the address that 'ray start "
                f"--head' printed, or {LOCAL} for one on this machine"
            ) from error
        try:
            yield
        finally:
            self._ray.shutdown()


_prepared: tuple[str, Callable[[Any], Any]] | None = None
"""Name of the work that this process was prepared for, and what is called with each item."""


def _work(folder: str, code: str, name: str, prepare: list[Any], item: Any) -> Any:
    """Work on one item in a process of the cluster, which is prepared at its first.

    Args:
        folder: working folder of the command, to which relative paths belong.
        code: hash of the command's version of this package.
        name: name of the work.
        prepare: a list of one reference to what prepares a worker; in a list, Ray does not resolve it at each call.
        item: what to work on.
    """
    global _prepared
    if _prepared is None or _prepared[0] != name:
        with optional_packages():
            import ray
        _check_machine(folder, code)
        _prepared = None  # What the previous work needed is freed before the next begins.
        _prepared = name, ray.get(prepare[0])()
    return _prepared[1](item)


def _check_machine(folder: str, code: str) -> None:
    """Go to the command's folder and compare the versions.

    Raises:
        A2VISError: the machine has no such folder, or another version.
    """
    machine = socket.gethostname()
    try:
        os.chdir(folder)
    except OSError as error:
        raise A2VISError(
            f"--ray: the machine {machine} has no folder {folder} ({error}); call the command in a folder that all "
            "machines of the cluster share"
        ) from error
    if code_hash() != code:
        raise A2VISError(
            f"--ray: the machine {machine} has another version of a2vis_ros; install the same on every machine of the "
            "cluster, or the results would not be those of one machine"
        )
