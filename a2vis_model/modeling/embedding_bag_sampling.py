"""Sampling of deformable attention as embedding bags, the fastest form on a CPU.

The four neighbours of a point are rows of a table, weighted by bilinear weights times the point's attention weight; the
sum over all points of a token's head is an embedding bag. No tensor is rearranged, and none is as large as points
times channels.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Sizes = tuple[tuple[int, int], ...]


class _Columns(NamedTuple):
    """Position of each point's level in the table, by point in the order of the offsets [heads · levels · points].

    Levels have a border of zeros, so that every neighbour of a clamped position is a valid row with the right value.
    """

    width: Tensor
    height: Tensor
    down: Tensor
    """Number of table rows from a cell to the one below it."""
    start: Tensor
    """Table row of the level's first cell for this head."""


def sample_by_embedding_bag(
    values: Tensor, offsets: Tensor, weights: Tensor, reference: Tensor, sizes: Sizes
) -> Tensor:
    """Read weighted points around each token, bilinear, zeros outside.

    Args:
        values: [N, S, dim] of all levels, level after level, row-major.
        offsets: [N, S, heads · levels · points · 2] in cells of the point's level, x before y.
        weights: [N, S, heads, levels · points].
        reference: [S, 2] centre of each token's cell, x and y in [0, 1].
        sizes: (height, width) of each level.

    Returns:
        [N, S, dim].
    """
    n, length, dim = values.shape
    heads = weights.shape[2]
    columns = _columns(sizes, heads, weights.shape[3] // len(sizes))
    weights, offsets = weights.flatten(2), offsets.unflatten(2, (-1, 2))
    x, left = _position(offsets[..., 0] + reference[:, :1] * columns.width, columns.width)
    y, top = _position(offsets[..., 1] + reference[:, 1:] * columns.height, columns.height)
    lower = y * weights
    upper = weights - lower
    upper_right, lower_right = upper * x, lower * x
    corners = (upper - upper_right, upper_right, lower - lower_right, lower_right)

    table = torch.cat(
        [
            F.pad(level.unflatten(1, size), (0, 0, 1, 1, 1, 1)).flatten(1, 2)
            for level, size in zip(values.split([h * w for h, w in sizes], dim=1), sizes, strict=True)
        ],
        dim=1,
    )
    row = (top * columns.down + left * heads + columns.start).to(torch.int32)
    row += torch.arange(n, dtype=torch.int32)[:, None, None] * (table.shape[1] * heads)
    down = columns.down.to(torch.int32)
    rows = table.reshape(-1, dim // heads)
    bags = (n * length * heads, -1)
    result = torch.zeros(bags[0], dim // heads)
    for at, weight in zip((row, row + heads, row + down, row + (down + heads)), corners, strict=True):
        result += F.embedding_bag(at.view(bags), rows, mode="sum", per_sample_weights=weight.view(bags))
    return result.view(n, length, dim)


def _position(position: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Return the fraction from a cell towards the next, and the number of that cell, the border being cell 0."""
    clamped = torch.minimum((position + 0.5).clamp_(min=0), size + 1)
    cell = torch.minimum(clamped.floor(), size)
    return clamped - cell, cell


@lru_cache(maxsize=16)
def _columns(sizes: Sizes, heads: int, points: int) -> _Columns:
    height, width = torch.tensor(sizes, dtype=torch.float32).unbind(1)
    cells = (height + 2) * (width + 2)
    each = [values.repeat_interleave(points).repeat(heads) for values in (width, height, cells.cumsum(0) - cells)]
    head = torch.arange(heads).repeat_interleave(len(sizes) * points)
    return _Columns(width=each[0], height=each[1], down=(each[0] + 2) * heads, start=each[2] * heads + head)
