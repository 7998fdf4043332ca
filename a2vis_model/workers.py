"""Workers that share the items of one piece of work: processes of this machine here, those of a cluster in `cluster`.

workers = LocalWorkers(jobs=4)
for result in workers.run(prepare, items):
    ...
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

from .errors import A2VISError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(ABC):
    """Place where the items of a piece of work are worked on."""

    @abstractmethod
    def run(self, prepare: Callable[[], Callable[[Item], Result]], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the results in the order of the items.

        Args:
            prepare: called once by every worker, for instance to load a network; what it returns is called with each
                item that the worker takes. It is sent to the workers, so it must be picklable, as items and results.
            items: what is shared; a worker takes one at a time.

        Raises:
            Exception: the first error of `prepare` or of an item; the items that nobody has begun are left.
        """


class LocalWorkers(Workers):
    """Processes of this machine, or this process itself.

    Args:
        jobs: number of processes; with 1 there is none but this one.
        preload: a module that is imported once for all of them, where the system has a fork server.
    """

    def __init__(self, jobs: int, preload: str = "") -> None:
        self.jobs = jobs
        self._preload = preload

    def run(self, prepare: Callable[[], Callable[[Item], Result]], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the results in the order of the items; see `Workers.run`.

        Raises:
            A2VISError: a process was killed.
        """
        jobs = min(self.jobs, len(items))
        if jobs <= 1:
            if items:
                yield from map(prepare(), items)
            return
        with worker_pool(jobs, _remember, (prepare,), self._preload) as pool:
            try:
                yield from pool.map(_work, items)
            except BrokenProcessPool as error:
                raise A2VISError(
                    f"one of {jobs} processes was killed, most often because memory ran out; call the command again "
                    "with fewer: what is done is kept"
                ) from error


_prepare: Callable[[], Callable[[Any], Any]] | None = None
"""How this worker process is prepared."""
_prepared: Callable[[Any], Any] | None = None
"""What this worker process calls with each item, from the first on."""


def _remember(prepare: Callable[[], Callable[[Any], Any]]) -> None:
    global _prepare
    _prepare = prepare


def _work(item: Any) -> Any:
    # The process is prepared here and not when it begins, where an error would only be told as a broken pool.
    global _prepared
    if _prepared is None:
        assert _prepare is not None
        _prepared = _prepare()
    return _prepared(item)


@contextmanager
def worker_pool(
    jobs: int, initializer: Callable[..., object] | None = None, arguments: tuple[Any, ...] = (), preload: str = ""
) -> Iterator[ProcessPoolExecutor]:
    """Make a pool of processes that are not forked from this one, which may hold threads of PyTorch or OpenCV.

    They end with this process, however it ends.

    Args:
        jobs: number of processes.
        initializer: function that each process calls first.
        arguments: arguments of `initializer`.
        preload: a module that is imported once for all of them, where the system has a fork server.
    """
    forkserver = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forkserver else "spawn")
    if forkserver and preload:
        context.set_forkserver_preload([preload])
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(initializer, arguments))
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _begin(initializer: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    """Watch the parent, which cannot end this worker when it is killed, and call the initializer."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
