"""Imports without garbage collection. This module needs nothing but Python."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Import modules, none of which is garbage, and have the collector never look at them again.

    With PyTorch these are 200,000 objects. Looking for garbage among them takes a sixth of a node's start, and later
    0.1 s at a time, for which all threads wait.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
