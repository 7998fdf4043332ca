"""Pools of processes that end with their parent process, however that ends."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any


@contextmanager
def worker_pool(
    jobs: int, initializer: Callable[..., object] | None = None, arguments: tuple[Any, ...] = (), preload: str = ""
) -> Iterator[ProcessPoolExecutor]:
    """Make a pool of processes that are not forked from this one, which may hold threads of PyTorch or OpenCV.

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
