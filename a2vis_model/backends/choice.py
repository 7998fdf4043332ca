"""What a machine lacks for each backend and precision."""

import importlib
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Literal

import torch

from ..backend_names import BackendName, EngineName, OpenVINODevice, Precision
from ..export import exportable
from ..modeling import VideoNetwork

_OPENVINO_NAMES: dict[Precision, str] = {"fp32": "FP32", "fp16": "FP16", "bf16": "BF16", "int8": "INT8"}


def precision_obstacle(
    model: VideoNetwork, precision: Precision, backend: BackendName = "eager", device: OpenVINODevice = "cpu"
) -> str | None:
    """Return why this network cannot run at a precision, with the remedy; None if it can.

    Args:
        model: the network, on its device.
        precision: what is asked for.
        backend: the backend that is to run it.
        device: OpenVINO's device, for the backend openvino.
    """
    if precision == "fp32":
        return None
    if not exportable(model):
        return f"{type(model).__name__} runs in fp32 only; {precision} is for A2VIS with SAMH"
    if backend == "openvino":
        return _openvino_precision_obstacle(precision, device)
    if precision in ("bf16", "int8"):
        return f"{precision} is for the backend openvino; use --backend openvino, or fp32"
    if model.device.type != "cuda":
        return "fp16 needs a GPU, a CPU computes it slower than fp32; use fp32"
    return None


def backend_obstacle(
    model: VideoNetwork, backend: Literal["eager"] | EngineName, device: OpenVINODevice = "cpu"
) -> str | None:
    """Return why a backend is not available for this network, with what to install; None if it is.

    Args:
        model: the network, on its device.
        backend: the backend asked for.
        device: OpenVINO's device; the other backends compute on the network's.
    """
    if device != "cpu" and backend != "openvino":
        return f"{device} is for the backend openvino; use --backend openvino, or another device"
    if backend == "eager":
        return None
    if not exportable(model):
        return f"{type(model).__name__} is not compiled, only A2VIS with SAMH is; use eager"
    if backend == "compile":
        return _compile_obstacle(model.device)
    if backend == "openvino":
        return _openvino_obstacle(model.device, device)
    return _tensorrt_obstacle(model.device)


def _compile_obstacle(device: torch.device) -> str | None:
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"no C++ compiler {compiler!r} is found; install one (Debian, Ubuntu: apt install g++), or use eager"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "this PyTorch has no Triton; install the CUDA wheel of torch, which brings it, or use eager"
    if device.type == "cuda":
        # It is imported here because, with a toolkit but without a GPU, its import warns.
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
    except Exception as error:  # The import may raise anything where the libraries that it needs are not found.
        return (
            f"torch_tensorrt cannot be imported ({type(error).__name__}: {error}); pip install torch-tensorrt, or for "
            f"RTX cards torch-tensorrt-rtx, of torch's version ({torch.__version__.partition('+')[0]}), or use compile"
        )
    return None


def _openvino_obstacle(device: torch.device, target: OpenVINODevice) -> str | None:
    if device.type != "cpu":
        return "OpenVINO runs on CPUs, Intel GPUs and NPUs, and the network is on another GPU; use --device cpu"
    try:
        core = importlib.import_module("openvino").Core()
    except Exception as error:  # The import may raise anything where the libraries that it needs are not found.
        return (
            f"openvino cannot be imported ({type(error).__name__}: {error}); pip install 'a2vis_ros[openvino]', or use "
            "compile or eager"
        )
    name = target.rpartition(":")[2].upper()
    found = core.available_devices
    if not any(device.partition(".")[0] == name for device in found):
        return (
            f"OpenVINO finds no {target} here, only {', '.join(found)}; install Intel's driver of it (Ubuntu: apt "
            f"install {'intel-opencl-icd' if name == 'GPU' else 'intel-driver-compiler-npu'}), or use --device cpu"
        )
    return None


def _openvino_precision_obstacle(precision: Precision, target: OpenVINODevice) -> str | None:
    name = target.rpartition(":")[2].upper()
    able = importlib.import_module("openvino").Core().get_property(name, "OPTIMIZATION_CAPABILITIES")
    if _OPENVINO_NAMES[precision] in able:
        return None
    known = ", ".join(ours for ours, theirs in _OPENVINO_NAMES.items() if theirs in able)
    return f"this {target} does not compute in {precision}, OpenVINO says; use one of {known}"
