"""Sine position encodings, computed once for a fixed size and stored as buffers by their users."""

import math

import torch
from torch import Tensor

_TEMPERATURE = 10_000.0


def sine_position_1d(length: int, dim: int, *, normalize: bool = True) -> Tensor:
    """Encode positions 1..length as sines and cosines of `dim` channels.

    Channel k has wavelength 10000^(2⌊k/2⌋/dim); even channels are sines, odd ones cosines (DETR, Mask2Former).

    Args:
        length: number of positions.
        dim: number of channels, even.
        normalize: scale positions to (0, 2π], as images need; time in clips is scaled alike.

    Returns:
        float32 [length, dim].
    """
    if dim % 2:
        raise ValueError(f"dim={dim} must be even: every frequency takes a sine and a cosine channel")
    index = torch.arange(1, length + 1, dtype=torch.float32)
    if normalize:
        index = index / (length + 1e-6) * (2 * math.pi)
    channel = torch.arange(dim, dtype=torch.float32)
    wavelength = _TEMPERATURE ** (2 * torch.div(channel, 2, rounding_mode="floor") / dim)
    phase = index[:, None] / wavelength
    return torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()), dim=2).flatten(1)


def sine_position_2d(height: int, width: int, dim: int) -> Tensor:
    """Encode the cells of a map, row-major: first half of the channels y, second half x.

    Returns:
        float32 [height · width, dim].
    """
    y = sine_position_1d(height, dim // 2)[:, None].expand(height, width, dim // 2)
    x = sine_position_1d(width, dim // 2)[None].expand(height, width, dim // 2)
    return torch.cat((y, x), dim=-1).flatten(0, 1)


def sine_position_3d(frames: int, height: int, width: int, dim: int) -> Tensor:
    """Encode the cells of a clip, frame by frame: the 2-D encoding plus a full-width encoding of time.

    This is Mask2Former-VIS's encoding; SAMH uses it for its keys.

    Returns:
        float32 [frames · height · width, dim].
    """
    time = sine_position_1d(frames, dim)[:, None]
    return (sine_position_2d(height, width, dim)[None] + time).flatten(0, 1)
