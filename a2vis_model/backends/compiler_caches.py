"""Caches of PyTorch's compilers."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def private_caches(parent: Path) -> Iterator[None]:
    """Export and compile with caches in a new folder below `parent`, which is private and removed afterwards.

    The default folders of Inductor and Triton lie in the shared temporary folder under predictable names that anybody
    can
    create first, and the compilers trust the code in them.
    """
    with tempfile.TemporaryDirectory(prefix="compiler-", dir=parent) as folder:
        own = {"TORCHINDUCTOR_CACHE_DIR": folder, "TRITON_CACHE_DIR": os.path.join(folder, "triton")}
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        # It is imported here because its import reads the location of its cache.
        from torch._inductor.utils import clear_caches

        # The compiler also remembers in memory which files of an earlier folder to use.
        clear_caches()
        try:
            yield
        finally:
            clear_caches()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
