"""Multi-scale deformable attention (Zhu et al. 2021) in plain PyTorch, with a fixed input size."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .embedding_bag_sampling import sample_by_embedding_bag

Sampling = Literal["grid_sample", "gather"]


def sample_bilinear(value: Tensor, locations: Tensor, method: Sampling = "grid_sample") -> Tensor:
    """Sample maps at fractional positions, zeros outside.

    Args:
        value: [N, C, H, W].
        locations: [N, L, P, 2], x and y in [0, 1] over the map's extent; cell (0, 0) has its centre at
            (0.5 / W, 0.5 / H).
        method: "grid_sample", or "gather" for engines whose grid sampling cannot be trusted; both agree.

    Returns:
        [N, C, L, P].
    """
    if method == "grid_sample":
        return F.grid_sample(value, 2 * locations - 1, padding_mode="zeros", align_corners=False)
    return _sample_by_gather(value, locations)


def _sample_by_gather(value: Tensor, locations: Tensor) -> Tensor:
    n, channels, height, width = value.shape
    length, points = locations.shape[1:3]
    # A border of zeros makes every neighbour of a clamped position a legal index with the right value.
    padded = F.pad(value, (1, 1, 1, 1)).flatten(2)
    x = (locations[..., 0] * width + 0.5).clamp(0, width + 1)
    y = (locations[..., 1] * height + 0.5).clamp(0, height + 1)
    x0 = x.floor().clamp(max=width)
    y0 = y.floor().clamp(max=height)
    wx, wy = (x - x0).flatten(1).unsqueeze(1), (y - y0).flatten(1).unsqueeze(1)
    corner = (y0 * (width + 2) + x0).to(torch.int64).flatten(1).unsqueeze(1)

    def at(offset: int) -> Tensor:
        return padded.gather(2, (corner + offset).expand(n, channels, length * points))

    top = at(0) * (1 - wx) + at(1) * wx
    bottom = at(width + 2) * (1 - wx) + at(width + 3) * wx
    return (top * (1 - wy) + bottom * wy).unflatten(2, (length, points))


class DeformableAttention(nn.Module):
    """Attention in which each token reads a few points per level around its own place, at offsets that it predicts.

    Args:
        dim: channels of tokens and result.
        heads: number of heads; must divide `dim`.
        levels: number of maps.
        points: points per head and level.
        sampling: sampling method (see `sample_bilinear`).
    """

    def __init__(self, *, dim: int, heads: int, levels: int, points: int, sampling: Sampling) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} does not divide dim={dim}; choose a divisor")
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling: Sampling = sampling
        self.sampling_offsets = nn.Linear(dim, heads * levels * points * 2)
        self.attention_weights = nn.Linear(dim, heads * levels * points)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        # Heads start by looking in different directions, points at growing distance.
        angle = torch.arange(self.heads, dtype=torch.float32) * (2 * math.pi / self.heads)
        direction = torch.stack((angle.cos(), angle.sin()), dim=-1)
        direction = direction / direction.abs().amax(dim=-1, keepdim=True)
        distance = torch.arange(1, self.points + 1, dtype=torch.float32)
        bias = direction[:, None, None] * distance[None, None, :, None]
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(bias.expand(self.heads, self.levels, self.points, 2).flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        reference: Tensor,
        cell_size: Tensor,
        sizes: Sequence[tuple[int, int]],
    ) -> Tensor:
        """Gather from the maps around each reference point.

        Args:
            query: [N, S, dim] tokens with their position encoding.
            value: [N, S, dim] tokens of all levels, level after level, row-major.
            reference: [S, 2] centre of each token's cell, x and y in [0, 1].
            cell_size: [levels, 2] width and height of one cell of each level, the image being 1 x 1.
            sizes: (height, width) of each level, Python ints.

        Returns:
            [N, S, dim].
        """
        n, length, dim = query.shape
        heads, levels, points = self.heads, self.levels, self.points
        offsets, weights = self._choose_points(query)
        if self._uses_embedding_bag(query):
            read = sample_by_embedding_bag(
                self.value_proj(value).to(weights.dtype), offsets, weights, reference, tuple(sizes)
            )
            return self.output_proj(read.to(value.dtype))
        offsets = offsets.view(n, length, heads, levels, points, 2)
        offsets = offsets.permute(0, 2, 3, 1, 4, 5).flatten(0, 1)
        weights = weights.view(n, length, heads, levels, points).permute(0, 2, 3, 1, 4).flatten(0, 1)
        maps = self.value_proj(value).view(n, length, heads, dim // heads).permute(0, 2, 3, 1).flatten(0, 1)
        result: Tensor | None = None
        start = 0
        for level, (height, width) in enumerate(sizes):
            stop = start + height * width
            level_map = maps[:, :, start:stop].unflatten(2, (height, width)).to(weights.dtype)
            locations = reference[:, None] + offsets[:, level] * cell_size[level]
            sampled = sample_bilinear(level_map, locations, self.sampling)
            read = (sampled * weights[:, level].unsqueeze(1)).sum(dim=-1)
            result = read if result is None else result + read
            start = stop
        if result is None:
            raise ValueError("sizes is empty; give the (height, width) of at least one level")
        return self.output_proj(result.unflatten(0, (n, heads)).permute(0, 3, 1, 2).flatten(2).to(value.dtype))

    def _uses_embedding_bag(self, query: Tensor) -> bool:
        """Return whether this is uncompiled inference on a CPU, where bags are 6 to 11 times as fast as maps."""
        plain = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
        return plain and query.device.type == "cpu" and self.sampling == "grid_sample"

    def _choose_points(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Predict offsets in cells [N, S, heads · levels · points · 2] and weights [N, S, heads, levels · points].

        Both are in fp32 even under autocast and in an fp16 network: at fp16 precision a sampling point misses by half
        a cell.
        """
        device = query.device.type
        if torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self._choose_points(query.float())
        query = query.to(self.sampling_offsets.weight.dtype)
        weights = self.attention_weights(query).unflatten(-1, (self.heads, -1)).softmax(dim=-1)
        return self.sampling_offsets(query), weights
