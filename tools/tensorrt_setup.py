"""Install what the conversion checks need: Torch-TensorRT's converters and TensorRT-RTX's builder, without a GPU.

    .venv/bin/python tools/tensorrt_setup.py

Works on the environment of the Python that runs it, may be run again at any time and then does only what is missing.
To run engines on a GPU, install torch-tensorrt or torch-tensorrt-rtx as NVIDIA says instead; see docs/backends.md.
"""

import argparse
import importlib.metadata
import platform
import subprocess
import sys

TORCH = "2.13.0"
# Without their dependencies, which would bring CUDA: this very combination is known to work, with the library of
# TensorRT-RTX 1.5.0 out of onnxruntime's plugin.
WHEELS = {
    "torch-tensorrt-rtx": "2.13.0",
    "tensorrt-rtx-cu13-bindings": "1.5.0.114",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13": "0.3.0",
}
DEPENDENCIES = ("psutil", "packaging", "dllist", "filelock")

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
OLDEST_GLIBC = (2, 34)


def main() -> int:
    """Install what is missing; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--if-possible", action="store_true", help="succeed where the wheels cannot be had")
    args = parser.parse_args()
    if sys.prefix == sys.base_prefix:
        print("tensorrt_setup: run it with the Python of a virtual environment, e.g. .venv/bin/python", file=sys.stderr)
        return 2
    obstacle = wheel_obstacle()
    if obstacle:
        print(f"tensorrt_setup: conversion to TensorRT cannot be checked on this machine: {obstacle}")
        return 0 if args.if_possible else 2
    missing = [f"{name}=={version}" for name, version in WHEELS.items() if _version(name) != version]
    if missing:
        print(f"installing {', '.join(missing)} from PyPI", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", *missing], check=True)
        subprocess.run([*pip, *DEPENDENCIES], check=True)
    return 0


def wheel_obstacle() -> str:
    """Why the wheels on PyPI are not for this machine; empty where they are."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"the wheels are for Linux on x86_64, this is {platform.system()} on {platform.machine()}"
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return f"the wheels are for CPython 3.10 to 3.13, this is {platform.python_version()}"
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split("."))) < OLDEST_GLIBC:
        return f"the wheels are for glibc 2.34 and later, this is {name or 'another libc'} {version}"
    torch = (_version("torch") or "none").partition("+")[0]
    if torch != TORCH:
        return f"the wheels are for torch {TORCH}, this is {torch}"
    return ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
