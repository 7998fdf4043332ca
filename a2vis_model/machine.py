"""Facts about this machine and this code: processor, cores, and hashes that identify files and code."""

import hashlib
import os
import platform
from pathlib import Path

from .files.regular import open_regular


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file's content; raises OSError if it is no regular file."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def code_hash(*packages: Path) -> str:
    """Return the SHA-256 of this package's code and presets: it changes with anything that may change results.

    Args:
        packages: folders of further packages, whose code counts too.
    """
    package = Path(__file__).parent
    presets = next((p for p in (package / "presets", package.parent / "config" / "presets") if p.is_dir()), package)
    digest = hashlib.sha256()
    for root, pattern in ((package, "*.py"), (presets, "*.yaml"), *((more, "*.py") for more in packages)):
        for path in sorted(root.rglob(pattern)):
            digest.update(f"{path.relative_to(root)} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name() -> str:
    """Return the name of the CPU, such as "AMD EPYC"."""
    return _processor("model name") or platform.processor() or platform.machine()


def processor_features() -> str:
    """Return 16 hexadecimal digits for the CPU's instruction sets: processors of one name may differ in them."""
    features = _processor("flags") or _processor("Features") or platform.machine()
    return hashlib.sha256(" ".join(sorted(features.split())).encode()).hexdigest()[:16]


def lacks_bf16() -> bool:
    """Whether the CPU is known to have no instructions for products of bf16 numbers, so that these are emulated."""
    features = set(f"{_processor('flags')} {_processor('Features')}".split())
    return bool(features) and not features & {"avx512_bf16", "amx_bf16", "bf16"}


def _processor(field: str) -> str:
    """Return a field of the first processor, as Linux reports it; empty where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == field), "")
