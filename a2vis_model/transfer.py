"""Copies between host and device: uploads never wait, downloads wait once."""

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a host tensor to a device without waiting for the device."""
    if device.type != "cuda":
        return tensor.to(device)
    pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
    return pinned.to(device, non_blocking=True)


def fetch(tensor: Tensor) -> Tensor:
    """Copy a device tensor to the host and wait for it: the only synchronisation of a frame."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    # A copy to pageable memory is made in pieces by the driver, which is several times slower.
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return host
