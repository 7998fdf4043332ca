"""Which device a network runs on, by the name that a user gives."""

from collections.abc import Sequence

import torch

from .backend_names import OPENVINO_DEVICES
from .errors import A2VISError

_TORCH_DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str, parameter: str = "--device ") -> torch.device:
    """The device of a name: cpu, cuda, cuda:N, or auto for a GPU where there is one.

    Args:
        name: name as it was given.
        parameter: what was given it, for errors: the name is put behind it.

    Raises:
        A2VISError: there is no such device, or it cannot be used here.
    """
    return _choose(name, parameter, _TORCH_DEVICES)


def tensor_device(name: str, parameter: str = "--device ") -> torch.device:
    """The device of a network's tensors, by a name that may also be one of OpenVINO's devices.

    For Intel's devices it is the CPU, from which OpenVINO takes the tensors. Arguments and errors are those of
    `choose_device`.
    """
    names = (*_TORCH_DEVICES, *(device for device in OPENVINO_DEVICES if device not in _TORCH_DEVICES))
    return _choose("cpu" if name in OPENVINO_DEVICES else name, parameter, names)


def _choose(name: str, parameter: str, names: Sequence[str]) -> torch.device:
    """The device of a name; `names` are those that an error offers."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise A2VISError(f"{parameter}{name}: choose {', '.join(names[:-1])} or {names[-1]}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise A2VISError(
            f"{parameter}{name}: this PyTorch finds no usable NVIDIA GPU; use cpu, or install PyTorch with CUDA"
        )
    return device
