"""Caches of PyTorch's compilers."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..compat import clear_compiler_caches


@contextmanager
def private_caches(parent: Path) -> Iterator[None]:
    """Export and compile with caches in a new folder below `parent`, which is private and removed afterwards.

    The default folders of Inductor and Triton lie in the shared temporary folder under predictable names that anybody
    can create first, and the compilers trust the code in them.
    """
    with tempfile.TemporaryDirectory(prefix="compiler-", dir=parent) as folder:
        own = {"TORCHINDUCTOR_CACHE_DIR": folder, "TRITON_CACHE_DIR": os.path.join(folder, "triton")}
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        # The compiler remembers in memory, too, which files of an earlier folder to use.
        clear_compiler_caches()
        try:
            yield
        finally:
            clear_compiler_caches()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
