"""Which device a network runs on, by the name that a user gives."""

import torch

from .errors import A2VISError


def choose_device(name: str, parameter: str = "--device ") -> torch.device:
    """The device of a name: cpu, cuda, cuda:N, or auto for a GPU where there is one.

    Args:
        name: name as it was given.
        parameter: what was given it, for errors: the name is put behind it.

    Raises:
        A2VISError: there is no such device, or it cannot be used here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise A2VISError(f"{parameter}{name}: choose auto, cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise A2VISError(
            f"{parameter}{name}: this PyTorch finds no usable NVIDIA GPU; use cpu, or install PyTorch with CUDA"
        )
    return device
