"""Reading files that others name: only regular files are opened, so that a pipe cannot block the reader."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def open_regular(path: str | Path) -> BufferedReader:
    """Open a file for reading bytes.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device or a folder.
        ValueError: no file can have that name.
    """
    # Without O_NONBLOCK, opening a pipe waits until somebody writes into it.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return file


def read_regular(path: str | Path) -> bytes:
    """Read the content of a file (see `open_regular`)."""
    with open_regular(path) as file:
        return file.read()
