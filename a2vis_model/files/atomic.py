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
    """Give a new file to write, which replaces `path` at the end of the block.

    The replacement is atomic even if the machine fails at that moment; if the block raises, the new file is removed.
    Its
    name cannot be guessed, so that nobody can place a symbolic link there; a link at `path` is replaced, not followed.
    Files left behind by killed writers of the same path are removed. The folder is made if it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    temporary = path.with_name(f"{_prefix(path)}{secrets.token_hex(8)}{_PART}")
    # The usual mode of a new file, less the umask.
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        # The lock tells other processes that the file is being written.
        _try_lock(descriptor)
        yield temporary
        # The file is opened again, because the block may have put another file there.
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file of bytes."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _prefix(path: Path) -> str:
    # A long name is shortened, so that the name with its additions is still valid.
    return f".{path.name[:50]}."


def _remove_abandoned(path: Path) -> None:
    for entry in os.scandir(path.parent):
        if entry.name.startswith(_prefix(path)) and entry.name.endswith(_PART) and entry.is_file(follow_symlinks=False):
            try:
                descriptor = os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW)
            except OSError:
                continue  # The file was finished in the meantime, or belongs to another user.
            if _try_lock(descriptor):
                Path(entry.path).unlink(missing_ok=True)
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Lock a file until the descriptor is closed; return False if somebody else has locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
