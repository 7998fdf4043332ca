"""Engines on disk: found by everything they depend on, whole or refused.

An engine is a program: whoever can write to the cache can run code as the user who loads it. So the folder, its engines
and their files must belong to that user or to root, and nobody else may write to them, nor to a folder above, where the
cache could be replaced by another. The SHA-256 in the manifest finds truncated and mixed-up files; it is no signature.
"""

import fcntl
import grp
import hashlib
import json
import os
import pwd
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..config import ModelConfig, config_to_dict
from ..errors import BackendError
from ..machine import file_hash, processor_name
from ..modeling import VideoNetwork
from .choice import EngineName, Precision
from .parity import GateResult

GRAPHS = ("frame", "clip")
"""An engine has a file of each, of the backend's suffix."""

_FORMAT = "a2vis-engine/1"
_MANIFEST = "manifest.json"
_UNFINISHED = ".unfinished-"
_LOCK = ".lock"

Key = dict[str, str]
"""All that an engine depends on, by name."""


def default_cache() -> Path:
    """The user's folder for engines, $XDG_CACHE_HOME/a2vis/engines."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "a2vis" / "engines"


def engine_key(
    model: VideoNetwork, config: ModelConfig, backend: EngineName, precision: Precision, requirements: dict[str, str]
) -> Key:
    """What an engine of this network would depend on, here and now.

    Args:
        model: the network, on the device the engine is for.
        config: its configuration; shapes follow from it.
        backend, precision: of the engine.
        requirements: of the `Engines` that build and run it.
    """
    from .. import __version__

    plain = json.dumps(config_to_dict(config), sort_keys=True)
    return {
        "network": config.name,
        "weights": _weights_hash(model),
        "configuration": hashlib.sha256(plain.encode()).hexdigest(),
        "input": f"{config.input_width}x{config.input_height}, clips of {config.clip_length}",
        "backend": backend,
        "precision": precision,
        "device": _device_name(model.device),
        "a2vis": __version__,
        "graphs": _source_hash(),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        **requirements,
    }


def fingerprint(key: Key) -> str:
    """16 hexadecimal digits that stand for a key."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


class EngineCache:
    """A folder of engines.

    Args:
        root: the folder; made, for this user alone, when the first engine is built.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def holds(self, key: Key) -> bool:
        """Whether there is an engine of a key, or what looks like one."""
        return self._directory(key).is_dir()

    def find(self, key: Key) -> Path | None:
        """The folder of a key's engine; None where there is none.

        Raises:
            BackendError: if what lies in its place is not whole, is another engine, or is others' to write.
        """
        directory = self._directory(key)
        if not directory.is_dir():
            return None
        _check_place(self.root)
        _check_owner(directory)
        manifest = _read_manifest(directory)
        differences = _differences(manifest["key"], key)
        if differences:
            raise _refusal(directory, f"it is the engine of something else ({differences})")
        names = sorted(Path(name).stem for name in manifest["files"])
        if names != sorted(GRAPHS):
            raise _refusal(directory, f"it holds {', '.join(names) or 'nothing'} instead of {' and '.join(GRAPHS)}")
        for name, expected in manifest["files"].items():
            path = directory / name
            _check_owner(path)
            if file_hash(path) != expected:
                raise _refusal(path, "it is truncated or changed, its SHA-256 is not the manifest's")
        return directory

    def near_misses(self, key: Key) -> list[str]:
        """In words, the engines of the same network, backend and precision that do not fit, and why."""
        same = ("weights", "configuration", "backend", "precision")
        found = []
        for directory in sorted(self.root.glob(f"{key['backend']}-*")):
            try:
                other = _read_manifest(directory)["key"]
            except BackendError:
                continue
            if all(other.get(name) == key[name] for name in same) and other != key:
                found.append(f"{directory.name} is for {_differences(other, key)}")
        return found

    @contextmanager
    def unfinished(self) -> Iterator[Path]:
        """A folder to build in, for this user alone, gone afterwards unless it was kept.

        A lock says that it is being built in. What a builder that was killed has left is without one, and goes.

        Raises:
            BackendError: if others may write to the cache, or its file system has no locks.
        """
        _make_private(self.root)
        _check_place(self.root)
        try:
            self._remove_abandoned()
            directory, lock = self._reserve()
        except OSError as error:
            raise BackendError(
                f"{self.root}: an engine cannot be built there ({error}); name another folder as engine cache"
            ) from error
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            _lock_file(directory).unlink(missing_ok=True)
            os.close(lock)

    def _reserve(self) -> tuple[Path, int]:
        """A new folder to build in, and the descriptor that holds its lock."""
        while True:
            directory = self.root / f"{_UNFINISHED}{secrets.token_hex(8)}"
            lock = os.open(_lock_file(directory), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # Another builder may have taken it for abandoned in between.
            if _try_lock(lock) and os.fstat(lock).st_nlink:
                directory.mkdir(mode=0o700)
                return directory, lock
            os.close(lock)

    def _remove_abandoned(self) -> None:
        """Remove the folders that nobody builds in any more."""
        for name in {path.name.removesuffix(_LOCK) for path in self.root.glob(f"{_UNFINISHED}*")}:
            directory = self.root / name
            lock = os.open(_lock_file(directory), os.O_RDWR | os.O_CREAT, 0o600)
            if _try_lock(lock):
                shutil.rmtree(directory, ignore_errors=True)
                _lock_file(directory).unlink(missing_ok=True)
            os.close(lock)

    def keep(self, built: Path, key: Key, gate: GateResult) -> None:
        """Take in an engine that was built in `unfinished()`; it appears whole or not at all."""
        files = sorted(path for path in built.iterdir() if path.stem in GRAPHS)
        for path in files:
            path.chmod(0o600)
        manifest = {
            "format": _FORMAT,
            "key": key,
            "files": {path.name: file_hash(path) for path in files},
            "gate": asdict(gate),
            "built": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        (built / _MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        directory = self._directory(key)
        try:
            built.rename(directory)
        except OSError:
            # Another process was faster; its engine is as good, if it is whole.
            if self.find(key) is None:
                raise

    def _directory(self, key: Key) -> Path:
        return self.root / f"{key['backend']}-{key['precision']}-{fingerprint(key)}"


def _weights_hash(model: VideoNetwork) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        data = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {data.dtype} {list(data.shape)}\n".encode())
        digest.update(data.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _source_hash() -> str:
    """SHA-256 of the code that the graphs are traced from and built by."""
    package = Path(__file__).parent.parent
    builders = [package / "backends" / name for name in ("compiled.py", "precision.py", "tensorrt.py")]
    files = [package / "export.py", *builders, *(package / "modeling").rglob("*.py")]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(package)} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, compute capability {properties.major}.{properties.minor}"
    return f"{processor_name()}, {torch.backends.cpu.get_cpu_capability()}"


def _check_owner(path: Path) -> None:
    """Raises BackendError unless the file or folder is this user's or root's, and theirs alone to write."""
    try:
        status = path.lstat()
    except OSError as error:
        raise _refusal(path, f"it cannot be read ({error.strerror})") from error
    if stat.S_ISLNK(status.st_mode):
        raise _refusal(path, "it is a link")
    if status.st_uid not in (os.getuid(), 0):
        raise BackendError(
            f"{path} is refused: it belongs to user {status.st_uid} and engines are programs; use a folder of your own"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BackendError(
            f"{path} is refused: others may write to it, and engines are programs; "
            "chmod -R go-w it, if all in it is yours"
        )


def _check_place(root: Path) -> None:
    """Raises BackendError unless this user and root alone can write to the cache, and put another in its place."""
    _check_owner(root)
    for folder in root.parents:
        status = folder.stat()
        if status.st_uid not in (os.getuid(), 0):
            raise BackendError(
                f"{root} is refused: {folder} belongs to user {status.st_uid}, who could replace it, and engines are "
                "programs; name a folder of your own as engine cache"
            )
        # In a sticky folder, such as /tmp, nobody can rename or remove what is another's.
        open_to = status.st_mode & (stat.S_IWOTH | (0 if _is_own_group(status.st_gid) else stat.S_IWGRP))
        if open_to and not status.st_mode & stat.S_ISVTX:
            raise BackendError(
                f"{root} is refused: others may write to {folder} and so replace it, and engines are programs; "
                f"chmod go-w {folder}, or name another folder as engine cache"
            )


def _is_own_group(group: int) -> bool:
    """Whether a group is the one of this user alone that Linux systems make with each user."""
    try:
        return grp.getgrgid(group).gr_name == pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return False


def _make_private(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing, for this user alone whatever the umask."""
    for path in (*reversed(folder.parents), folder):
        path.mkdir(mode=0o700, exist_ok=True)


def _lock_file(directory: Path) -> Path:
    return directory.with_name(directory.name + _LOCK)


def _try_lock(file: int) -> bool:
    """Take the lock of an open file, unless another process has it; in whatever container that runs."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_manifest(directory: Path) -> dict[str, Any]:
    path = directory / _MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _refusal(directory, f"its {_MANIFEST} cannot be read ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise _refusal(directory, f"its {_MANIFEST} is not of format {_FORMAT}")
    for name in ("key", "files"):
        part = manifest.get(name)
        if not isinstance(part, dict) or not all(isinstance(value, str) for value in part.values()):
            raise _refusal(directory, f"its {_MANIFEST} has no usable {name!r}")
    if any(Path(name).name != name for name in manifest["files"]):
        raise _refusal(directory, f"its {_MANIFEST} names files elsewhere")
    return manifest


def _differences(theirs: dict[str, str], ours: Key) -> str:
    return ", ".join(
        f"{name} {theirs.get(name)} instead of {ours.get(name)}"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    )


def _refusal(path: Path, why: str) -> BackendError:
    return BackendError(f"engine {path} is refused: {why}; delete it and build it again with 'a2vis build-engine'")
