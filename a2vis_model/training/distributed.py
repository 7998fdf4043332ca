"""Training in several processes started by `torchrun`; all functions also work in a single process without it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the process group if `torchrun` started the processes."""
    if "RANK" not in os.environ:
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    """Return the number of this process on its machine, which is also that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


def mean_over_processes(values: NDArray[np.float64], device: torch.device) -> NDArray[np.float64]:
    """Average an array of small numbers over all processes."""
    if not dist.is_initialized():
        return values
    total = torch.as_tensor(values, device=device)
    dist.all_reduce(total)
    return np.asarray(total.cpu().numpy() / world_size())


def any_process(flag: bool, device: torch.device) -> bool:
    """Return whether the flag is set in at least one process, so that all processes act alike."""
    return bool(mean_over_processes(np.array([float(flag)]), device)[0] > 0)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace every gradient by its mean over the processes.

    This is done once after the backward pass rather than by DistributedDataParallel during it: a step runs some parts
    of the network several times and others not at all, which that wrapper does not support.
    """
    if not dist.is_initialized():
        return
    parameters = list(parameters)
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
