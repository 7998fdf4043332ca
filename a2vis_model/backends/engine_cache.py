"""Engines on disk: found by everything they depend on, intact or refused.

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
"""Graphs of an engine, each in a file with the backend's suffix."""

_FORMAT = "a2vis-engine/1"
_MANIFEST = "manifest.json"
_UNFINISHED = ".unfinished-"
_LOCK = ".lock"

Key = dict[str, str]
"""Everything that an engine depends on, by name."""


def default_cache() -> Path:
    """Return the user's folder for engines, $XDG_CACHE_HOME/a2vis/engines."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "a2vis" / "engines"


def engine_key(
    model: VideoNetwork, config: ModelConfig, backend: EngineName, precision: Precision, requirements: dict[str, str]
) -> Key:
    """Return what an engine of this network would depend on, on this machine.

    Args:
        model: the network, on the device the engine is for.
        config: its configuration; shapes follow from it.
        backend: backend of the engine.
        precision: precision of the engine.
        requirements: requirements of the `Engines` that build and run it.
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
    """Return 16 hexadecimal digits that identify a key."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


class EngineCache:
    """A folder of engines.

    Args:
        root: the folder; it is made, for this user alone, when the first engine is built.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def holds(self, key: Key) -> bool:
        """Return whether there is an engine, or what looks like one, for a key."""
        return self._directory(key).is_dir()

    def find(self, key: Key) -> Path | None:
        """Return the folder of a key's engine; None where there is none.

        Raises:
            BackendError: what lies in its place is damaged, is another engine, or is writable by others.
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
        """Describe the engines of the same network, backend and precision that do not fit, and why."""
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
        """Give a private folder to build in, which is removed afterwards unless it was kept.

        A lock marks it as in use. Folders without a lock were left behind by killed builders and are removed.

        Raises:
            BackendError: others may write to the cache, or its file system has no locks.
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
        """Make a new folder to build in; also return the descriptor that holds its lock."""
        while True:
            directory = self.root / f"{_UNFINISHED}{secrets.token_hex(8)}"
            lock = os.open(_lock_file(directory), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # Another builder may have removed it as abandoned in the meantime.
            if _try_lock(lock) and os.fstat(lock).st_nlink:
                directory.mkdir(mode=0o700)
                return directory, lock
            os.close(lock)

    def _remove_abandoned(self) -> None:
        """Remove the folders in which nobody builds any more."""
        for name in {path.name.removesuffix(_LOCK) for path in self.root.glob(f"{_UNFINISHED}*")}:
            directory = self.root / name
            lock = os.open(_lock_file(directory), os.O_RDWR | os.O_CREAT, 0o600)
            if _try_lock(lock):
                shutil.rmtree(directory, ignore_errors=True)
                _lock_file(directory).unlink(missing_ok=True)
            os.close(lock)

    def keep(self, built: Path, key: Key, gate: GateResult) -> None:
        """Add an engine that was built in `unfinished()` to the cache; it appears complete or not at all."""
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
            # Another process was faster; its engine is used if it is intact.
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
    """Return the SHA-256 of the code that the graphs are traced from and built by."""
    package = Path(__file__).parent.parent
    builders = [
        package / "backends" / name
        for name in ("compiled.py", "openvino.py", "precision.py", "quantisation.py", "tensorrt.py")
    ]
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
    """Check that only this user and root can write to a file or folder, and that one of them owns it.

    Raises:
        BackendError: others own it or can write to it.
    """
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
    """Check that only this user and root can write to the cache or replace it by another.

    Raises:
        BackendError: others can.
    """
    _check_owner(root)
    for folder in root.parents:
        status = folder.stat()
        if status.st_uid not in (os.getuid(), 0):
            raise BackendError(
                f"{root} is refused: {folder} belongs to user {status.st_uid}, who could replace it, and engines are "
                "programs; name a folder of your own as engine cache"
            )
        # In a sticky folder, such as /tmp, nobody can rename or remove what belongs to somebody else.
        open_to = status.st_mode & (stat.S_IWOTH | (0 if _is_own_group(status.st_gid) else stat.S_IWGRP))
        if open_to and not status.st_mode & stat.S_ISVTX:
            raise BackendError(
                f"{root} is refused: others may write to {folder} and so replace it, and engines are programs; "
                f"chmod go-w {folder}, or name another folder as engine cache"
            )


def _is_own_group(group: int) -> bool:
    """Return whether a group is the private one that Linux systems make for each user."""
    try:
        return grp.getgrgid(group).gr_name == pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return False


def _make_private(folder: Path) -> None:
    """Make a folder and its missing parents for this user alone, whatever the umask."""
    for path in (*reversed(folder.parents), folder):
        path.mkdir(mode=0o700, exist_ok=True)


def _lock_file(directory: Path) -> Path:
    return directory.with_name(directory.name + _LOCK)


def _try_lock(file: int) -> bool:
    """Take the lock of an open file unless another process has it, whatever container that runs in."""
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
