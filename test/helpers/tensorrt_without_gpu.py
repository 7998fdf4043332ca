"""Torch-TensorRT's converters and TensorRT-RTX's builder on a machine without a GPU.

TensorRT-RTX builds engines ahead of time for cards that are elsewhere, but Torch-TensorRT asks for a GPU when it is
imported. Here it is told of one that is not there. What is built is real; it cannot be run or even loaded. Parts of
torch.cuda are replaced for good: use it in a process of its own.
"""

import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import torch

CAPABILITY = (8, 6)
"""Compute capability of the GPU that is pretended to be there."""
_LIBRARIES = ("libtensorrt_rtx.so.1*", "libtensorrt_onnxparser_rtx.so.1*")


class _Plan:
    """Stands for an engine that was loaded: its bytes."""

    def __init__(self, content: Any) -> None:
        self.content = bytes(content)

    def serialize(self) -> bytes:
        return self.content

    def get_aliased_input_tensor(self, name: str) -> None:
        """No output shares an input's memory."""


class _Runtime:
    """Loads what it cannot run."""

    def __init__(self, logger: Any) -> None:
        """The logger is not needed."""

    def deserialize_cuda_engine(self, content: Any) -> _Plan:
        return _Plan(content)


def missing() -> str | None:
    """Why conversions cannot be checked in this environment; None if they can."""
    if torch.cuda.is_available():
        return None if importlib.util.find_spec("torch_tensorrt") else "torch_tensorrt is not installed"
    for module in ("torch_tensorrt", "tensorrt_rtx_bindings", "onnxruntime_ep_nv_tensorrt_rtx"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed; run make setup-tensorrt"
    return None


def activate() -> None:
    """Make `import torch_tensorrt` possible. With a GPU there is nothing to do."""
    if torch.cuda.is_available():
        return
    tensorrt = _load_tensorrt_rtx()
    tensorrt.Runtime = _Runtime
    torch.cuda.get_device_capability = lambda device=None: CAPABILITY
    torch.cuda.current_device = lambda: 0
    torch.cuda.mem_get_info = lambda device=None: (24 << 30, 24 << 30)
    if not hasattr(torch._C, "_CudaDeviceProperties"):
        torch._C._CudaDeviceProperties = type("_CudaDeviceProperties", (), {})  # type: ignore[attr-defined]
    is_file = os.path.isfile
    # Its own runtime needs CUDA libraries that a CPU build of PyTorch does not have; without the file it does without.
    os.path.isfile = lambda path: "libtorchtrt" not in os.path.basename(str(path)) and is_file(path)  # type: ignore[assignment]
    try:
        from torch_tensorrt._Device import Device
    finally:
        os.path.isfile = is_file
    Device.to = lambda self, kind: torch.device("cpu")


def _load_tensorrt_rtx() -> Any:
    """The bindings from their wheel, with the libraries that come with onnxruntime's plugin."""
    found = importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("onnxruntime_ep_nv_tensorrt_rtx is not installed; run make setup-tensorrt")
    for pattern in _LIBRARIES:
        for library in Path(found.submodule_search_locations[0]).glob(pattern):
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    bindings = importlib.import_module("tensorrt_rtx_bindings")
    sys.modules["tensorrt_rtx"] = bindings
    return bindings
