"""Files and folders that appear whole or not at all."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PART, _PARTIAL = ".part", ".partial"


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


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Give a new folder to fill, which is renamed to `path` at the end of the block; nothing may be there yet.

    If the block raises, it is removed with its content. Other programs see that it is being filled, also from other
    containers (see `remove_abandoned_folders`). The folder above is made if it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, lock = _locked_folder(path)
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def remove_abandoned_folders(directory: str | Path) -> None:
    """Remove what killed programs have left of new folders in a directory; what is being filled stays."""
    for partial in Path(directory).glob(f".*{_PARTIAL}"):
        try:
            lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # It was finished in the meantime, is no folder, or belongs to another user.
        if _try_lock(lock):
            shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def _locked_folder(path: Path) -> tuple[Path, int]:
    """Make a folder beside a path, under a name that cannot be guessed, and return it with the descriptor of its lock.

    The lock is the kernel's and not a number of a process, which another container may have too.
    """
    while True:
        partial = path.with_name(f"{_prefix(path)}{secrets.token_hex(8)}{_PARTIAL}")
        partial.mkdir()
        try:
            lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        # Between the two lines above another program may have taken it for abandoned. A file system without locks has
        # nothing removed.
        with suppress(OSError):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
        if os.fstat(lock).st_nlink:
            return partial, lock
        os.close(lock)


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
