"""Names of backends and precisions, and what this machine lacks for each."""

import importlib
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Literal, get_args

import torch

from ..export import exportable
from ..modeling import VideoNetwork

EngineName = Literal["compile", "tensorrt"]
BackendName = Literal["auto", "eager", "compile", "tensorrt"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
Precision = Literal["fp32", "fp16"]
"""fp16 keeps fp32 where it matters, see `half_precision`."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def precision_obstacle(model: VideoNetwork, precision: Precision) -> str | None:
    """Why this network cannot run at a precision on its device, and what to do; None if it can."""
    if precision == "fp32":
        return None
    if not exportable(model):
        return f"{type(model).__name__} runs in fp32 only; fp16 is for A2VIS with SAMH"
    if model.device.type != "cuda":
        return "fp16 needs a GPU, a CPU computes it slower than fp32; use fp32"
    return None


def backend_obstacle(model: VideoNetwork, backend: Literal["eager"] | EngineName) -> str | None:
    """Why a backend cannot be had for this network on its device, and what to install; None if it can."""
    if backend == "eager":
        return None
    if not exportable(model):
        return f"{type(model).__name__} is not compiled, only A2VIS with SAMH is; use eager"
    if backend == "compile":
        return _compile_obstacle(model.device)
    return _tensorrt_obstacle(model.device)


def _compile_obstacle(device: torch.device) -> str | None:
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"no C++ compiler {compiler!r} is found; install one (Debian, Ubuntu: apt install g++), or use eager"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "this PyTorch has no Triton; install the CUDA wheel of torch, which brings it, or use eager"
    if device.type == "cuda":
        # Not before: with a toolkit but without a GPU it warns at import.
        from torch.utils.cpp_extension import CUDA_HOME

        if CUDA_HOME is None or not (Path(CUDA_HOME) / "include" / "cuda.h").is_file():
            return (
                f"no CUDA toolkit is found (CUDA_HOME: {CUDA_HOME}) and the compiler needs its headers; install that "
                f"of CUDA {torch.version.cuda} and set CUDA_HOME to its folder, or use eager"
            )
    return None


def _tensorrt_obstacle(device: torch.device) -> str | None:
    if device.type != "cuda":
        return "TensorRT runs on NVIDIA GPUs only and the network is on the CPU; use compile or eager"
    try:
        importlib.import_module("torch_tensorrt")
    except Exception as error:  # it may raise anything, where the libraries that it needs are not found
        return (
            f"torch_tensorrt cannot be imported ({type(error).__name__}: {error}); pip install torch-tensorrt, or for "
            f"RTX cards torch-tensorrt-rtx, of torch's version ({torch.__version__.partition('+')[0]}), or use compile"
        )
    return None
