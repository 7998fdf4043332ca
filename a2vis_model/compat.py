"""All private interfaces of PyTorch that this package uses; no other module imports them.

They were read in PyTorch 2.13.0. `pyproject.toml` bounds the version from above for their sake: a newer PyTorch is
allowed there when the tests pass with it, which the nightly workflow finds out in advance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

Tensors = tuple[Tensor, ...] | list[Tensor]

READ_IN = "2.13.0"
"""Version of PyTorch whose source these functions were written for."""


def compile_and_package(program: ExportedProgram, path: Path, options: dict[str, Any]) -> None:
    """Compile an exported program ahead of time with Inductor (AOTInductor) into one file of native code and weights.

    Args:
        program: program exported with example inputs.
        path: path of the `.pt2` file to write.
        options: inductor's configuration, by the names in `torch._inductor.config`.
    """
    torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=options)


def load_package(path: Path, device_index: int) -> Callable[..., Sequence[Tensor]]:
    """Load what `compile_and_package` wrote, for one thread at a time.

    Args:
        path: path of the `.pt2` file.
        device_index: number of the GPU; -1 for the current one, or for a CPU.
    """
    package: Callable[..., Sequence[Tensor]] = torch._inductor.aoti_load_package(
        str(path), run_single_threaded=True, device_index=device_index
    )
    return package


def clear_compiler_caches() -> None:
    """Let Inductor forget which cached files it has used.

    Its import reads the folder of the cache from the environment, so it is imported at the first call.
    """
    from torch._inductor.utils import clear_caches

    clear_caches()


def fake_tensors() -> Any:
    """Return a context in which tensors have shapes and types but no content, so that networks are built at no cost."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


def lerp_each(tensors: Tensors, ends: Tensors, weight: float) -> None:
    """Move each tensor in place towards its end by the share `weight`, all in one operation."""
    torch._foreach_lerp_(tensors, ends, weight)


_ACTIVATIONS: dict[str, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}


def convolve_and_activate(
    x: Tensor, kernel: Tensor, bias: Tensor, stride: int, padding: int, groups: int, activation: str
) -> Tensor:
    """Convolve by oneDNN, on a CPU, with bias and activation ("none", "relu" or "relu6") in one pass; no gradients."""
    name, scalars = _ACTIVATIONS[activation]
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, kernel, bias, [padding] * 2, [stride] * 2, [1, 1], groups, name, scalars, ""
    )
    return result


def convolution_gradients(
    gradient: Tensor,
    x: Tensor,
    kernel: Tensor,
    stride: int,
    padding: int,
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Compute the gradients to a convolution's input and kernel, those that are wanted."""
    to_x, to_kernel, _ = torch.ops.aten.convolution_backward(
        gradient,
        x,
        kernel,
        None,
        [stride] * 2,
        [padding] * 2,
        [1, 1],
        False,
        [0, 0],
        groups,
        [*wanted, False],
    )
    return to_x, to_kernel


def end_workers(batches: Iterator[Any]) -> None:
    """End the processes that load data for an iterator of a `DataLoader`, which has no public method for it."""
    if isinstance(batches, _MultiProcessingDataLoaderIter):
        batches._shutdown_workers()
