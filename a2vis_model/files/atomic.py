"""Files that appear whole or not at all."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PART = ".part"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A new file to write, which takes the place of `path` at the end of the block, also if the machine fails then; it
    is gone if the block raises.

    Its name cannot be guessed, so nobody has put a symbolic link there; a link at `path` is replaced, not followed.
    What a writer of the same path has left that was killed is removed. The folder is made if it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    temporary = path.with_name(f"{_prefix(path)}{secrets.token_hex(8)}{_PART}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask
    try:
        # It says that the file is being written.
        _try_lock(descriptor)
        yield temporary
        # Opened anew: the block may have put another file there.
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a file of UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file of bytes."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _prefix(path: Path) -> str:
    # A long name is cut to its beginning: with what is added to it, it must still be a name.
    return f".{path.name[:50]}."


def _remove_abandoned(path: Path) -> None:
    for entry in os.scandir(path.parent):
        if entry.name.startswith(_prefix(path)) and entry.name.endswith(_PART) and entry.is_file(follow_symlinks=False):
            try:
                descriptor = os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW)
            except OSError:
                continue  # finished in between, or another user's
            if _try_lock(descriptor):
                Path(entry.path).unlink(missing_ok=True)
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Whether nobody else has this file locked; it is then locked until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
