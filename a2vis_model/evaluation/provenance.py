"""Record of what produced results: version, weights, data, command and machine."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..machine import file_hash, processor_name

_PACKAGES = ("numpy", "torch", "pycocotools", "trackeval", "opencv-python-headless", "trackers")

_CONTENT = (".json", ".txt", ".ini", ".yaml")


def data_hash(paths: Iterable[str | Path], *, times: bool = False) -> str:
    """Compute the SHA-256 of files and folders.

    It covers names, the content of annotations and tracks, and the sizes of all other files: hashing pictures and
    videos would take as long as evaluating them.

    Args:
        paths: files and folders of the data.
        times: include the modification times of pictures and videos. The hash then finds every change, but differs
            between copies of the same data.
    """
    digest = hashlib.sha256()
    for root in map(Path, paths):
        files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
        for file in files:
            name = file.relative_to(root).as_posix() if root.is_dir() else file.name
            content = file_hash(file) if file.suffix in _CONTENT else _state(file, times=times)
            digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()


def _state(file: Path, *, times: bool) -> str:
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns}" if times else str(status.st_size)


def provenance(**hashes: str | None) -> dict[str, Any]:
    """Return the record that is written beside results."""
    from .. import __version__

    return {
        "version": __version__,
        "command": shlex.join(["a2vis", *sys.argv[1:]]),
        "hashes": {name: value for name, value in hashes.items() if value is not None},
        "machine": {
            "system": platform.platform(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in _PACKAGES},
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
