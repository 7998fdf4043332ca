"""Masks of a frame from logits to run lengths, all at once, computed only where outlines pass.

Bilinear interpolation between four cells of one sign keeps that sign. Between two cells of different signs a row of
pixels changes its sign once, since both terms of `a * (1 - f) + b * f` then fall or rise together, in floating point
too. So a mask is determined by the quads of cells whose signs are mixed: for each row of pixels through such a quad,
the column where the sign changes. Sorted, these columns are the run lengths (`run_lengths.py`).

The device part has static shapes where it is given limits: no operation waits for a GPU. Each multiplication and each
addition is an operation of its own, so that no device fuses them, and CPU, GPU and `masks.logits_to_mask` agree in
every bit. (Logits between 0 and 1e-20 are excluded: their weighted parts may vanish.)
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..preprocessing import Placement
from ..transfer import upload
from .region import LOGIT_STRIDE, PixelAxis


class OutlineCapacity(NamedTuple):
    """Buffer sizes for a frame on a device, summed over its masks."""

    lines: int = 2**13
    """Number of rows of quads that touch a mask."""
    quads: int = 2**16
    """Number of quads of mixed signs."""
    edges: int = 2**17
    """Number of places where a row of pixels enters or leaves a mask."""


class Edges(NamedTuple):
    """Places where rows of pixels enter and leave masks, unordered."""

    found: Tensor
    """Numbers of lines, quads and edges found, int32 [3]; where one is above its limit, edges are missing."""
    mask: Tensor
    """Mask of each edge, int32 [N]; entries after the edges that were found are undefined."""
    position: Tensor
    """Position of each edge, int32 [N]: row * (image width + 1) + the column of the first pixel after the change."""


@dataclass(frozen=True)
class PixelGrid:
    """The pixels between the cells of a map, as tensors on a device.

    Quad row j lies between cell rows j and j + 1, interval k between cell columns k - 1 and k: the first begins at the
    left border, the last ends at the right one, and beyond the borders everything is outside all masks.
    """

    columns: int
    """Number of cell columns that the image uses."""
    image_width: int
    step: float
    """Distance in cells from a pixel to the next one in its row."""
    below: Tensor
    """Cell row below each quad row, int64 [J]."""
    first_y: Tensor
    """First row of pixels in each quad row, int64 [J]."""
    lower: Tensor
    """Weight of the lower cells for each row of pixels in a quad row, [J, R]."""
    has_line: Tensor
    """Whether each of these rows of pixels exists, bool [J, R]."""
    first_x: Tensor
    """First column of pixels in each interval, int64 [columns + 1]."""
    count_x: Tensor
    """Number of columns of pixels in each interval, int64 [columns + 1]."""
    right: Tensor
    """Weight of the cell at the right of each column of pixels, [image width + 1]."""

    @staticmethod
    @lru_cache(maxsize=16)
    def of(rows: int, columns: int, place: Placement, device: torch.device) -> "PixelGrid":
        """Make the grid for maps of `rows` by `columns` cells."""
        y = PixelAxis.of(rows, place.image_height, place.scaled_height)
        x = PixelAxis.of(columns, place.image_width, place.scaled_width)
        quad_rows, used = int(y.low[-1]) + 1, min(int(x.low[-1]) + 2, columns)
        first_y, count_y = y.first[:quad_rows], np.diff(y.first)[:quad_rows]
        line = np.arange(count_y.max())
        pixel_y = np.minimum(first_y[:, None] + line, place.image_height - 1)
        # The intervals at the borders hold no pixels: edges there lie on the image's own border.
        first_x = np.concatenate(([0], x.first[: used - 1], [place.image_width]))
        count_x = np.pad(np.diff(x.first)[: used - 1], 1)
        tables = (
            np.minimum(np.arange(quad_rows) + 1, rows - 1),
            first_y,
            y.fraction[pixel_y],
            line < count_y[:, None],
            first_x,
            count_x,
            np.append(x.fraction, np.float32(0)),
        )
        step = place.scaled_width / place.image_width / LOGIT_STRIDE
        return PixelGrid(used, place.image_width, step, *(upload(torch.from_numpy(table), device) for table in tables))


def trace(logits: Tensor, wanted: Tensor, grid: PixelGrid, limits: OutlineCapacity | None) -> Edges:
    """Find the edges of masks.

    Args:
        logits: [M, h, w], contiguous.
        wanted: the masks to trace, bool [M].
        grid: pixel grid of h by w cells.
        limits: sizes of the result and of intermediate tensors; None for the exact sizes, which only the CPU
            knows without waiting.
    """
    touched = logits.amax(dim=-1) > 0
    touched = (touched[:, : len(grid.below)] | touched[:, grid.below]) & wanted[:, None]
    line, lines, valid = _indices(touched, limits and limits.lines)
    mask, row = _split(line, len(grid.below))

    cells, first = logits.flatten(0, 1), mask * logits.shape[1]
    top, bottom = (
        F.pad(_take(cells, first + cell_row)[:, : grid.columns].float(), (1, 1), value=-1.0)
        for cell_row in (row, _take(grid.below, row))
    )
    above, under = top > 0, bottom > 0
    some, every = above | under, above & under
    mixed = (some[:, :-1] | some[:, 1:]) ^ (every[:, :-1] & every[:, 1:])
    if valid is not None:
        mixed &= valid[:, None]
    quad, quads, valid = _indices(mixed, limits and limits.quads)

    line, interval = _split(quad, mixed.shape[1])
    mask, row = _take(mask, line), _take(row, line)
    corner = line * top.shape[1] + interval
    lower = _take(grid.lower, row)
    upper = 1 - lower
    left, right = (
        _take(top.flatten(), at)[:, None] * upper + _take(bottom.flatten(), at)[:, None] * lower
        for at in (corner, corner + 1)
    )
    changes = ((left > 0) != (right > 0)) & _take(grid.has_line, row)
    if valid is not None:
        changes &= valid[:, None]
    edge, edges, _ = _indices(changes, limits and limits.edges)

    quad, line = _split(edge, changes.shape[1])
    y = _take(grid.first_y, _take(row, quad)) + line
    x = _crossing(_take(left.flatten(), edge), _take(right.flatten(), edge), _take(interval, quad), grid)
    found = torch.stack((lines, quads, edges)).to(torch.int32)
    return Edges(found, _take(mask, quad).to(torch.int32), (y * (grid.image_width + 1) + x).to(torch.int32))


def _crossing(a: Tensor, b: Tensor, interval: Tensor, grid: PixelGrid) -> Tensor:
    """Return the column [N] at which the sign has changed, between values [N] of different signs.

    Solving for it gives the place up to one pixel; that pixel's own value decides.
    """
    first, count = _take(grid.first_x, interval), _take(grid.count_x, interval)
    guess = (a / (a - b) + interval - 0.5) / grid.step - 0.5 - first
    pixel = torch.minimum(guess.round().to(torch.int64).clamp(min=0), count)
    f = _take(grid.right, first + pixel)
    value = a * (1 - f) + b * f
    return first + pixel + (((value > 0) == (a > 0)) & (pixel < count))


def _indices(found: Tensor, limit: int | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return flat indices [N] of true entries, their number, and, with a limit, which of the N are valid."""
    flat = found.flatten()
    if limit is None:
        index = torch.from_numpy(np.flatnonzero(flat.numpy()))  # torch.nonzero takes eight times as long.
        return index, torch.tensor(len(index)), None
    rank = flat.cumsum(0, dtype=torch.int32)
    wanted = torch.arange(1, limit + 1, dtype=torch.int32, device=flat.device)
    index = torch.searchsorted(rank, wanted).clamp(max=len(flat) - 1)
    return index, rank[-1].to(torch.int64), wanted <= rank[-1]


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Return values[index]; several times as fast as indexing on a CPU."""
    return values.index_select(0, index)


def _split(index: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return index // size and index % size."""
    quotient = index.div(size, rounding_mode="floor")
    return quotient, index - quotient * size
