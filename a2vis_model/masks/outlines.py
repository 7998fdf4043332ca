"""Masks of a frame from logits to run lengths, all at once, computed only where outlines pass.

Bilinear interpolation between four cells of one sign keeps that sign. Between two cells of different signs a row of
pixels changes its sign once, since both terms of `a * (1 - f) + b * f` then fall or rise together, in floating point
too. So a mask is determined by the quads of cells whose signs are mixed: for each row of pixels through such a quad,
the column where the sign changes. Sorted, these columns are the run lengths (`run_lengths.py`).

The device part has static shapes where it is given limits: no operation waits for a GPU. Each multiplication and each
addition is an operation of its own, so that no device fuses them, and CPU, GPU and `masks.logits_to_mask` agree in
every bit. (Logits between 0 and 1e-20 are excluded: their weighted parts may vanish.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..placement import Placement
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
    last_x: Tensor
    """First column of pixels after each interval, int64 [columns + 1]."""
    offset: Tensor
    """Column, as a fraction of pixels, at which each interval begins, [columns + 1]."""
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
        last_x = first_x + np.pad(np.diff(x.first)[: used - 1], 1)
        step = place.scaled_width / place.image_width / LOGIT_STRIDE
        offset = ((np.arange(used + 1) - 0.5) / step - 0.5).astype(np.float32)
        tables = (
            np.minimum(np.arange(quad_rows) + 1, rows - 1),
            first_y,
            y.fraction[pixel_y],
            line < count_y[:, None],
            first_x,
            last_x,
            offset,
            np.append(x.fraction, np.float32(0)),
        )
        return PixelGrid(used, place.image_width, step, *(upload(torch.from_numpy(table), device) for table in tables))


def trace(
    logits: Sequence[Tensor], positive: Tensor, wanted: Tensor, grid: PixelGrid, limits: OutlineCapacity | None
) -> Edges:
    """Find the edges of masks, numbered by kind, then by slot.

    Args:
        logits: [Q, h, w] of each of K kinds of masks, contiguous. A mask of the second kind contains that of the first:
            its logits are the maximum of both.
        positive: where these are above 0, bool [K, Q, h, w], contiguous (see `positive_cells`).
        wanted: the masks to trace, bool [K, Q].
        grid: pixel grid of h by w cells.
        limits: sizes of the result and of intermediate tensors; None for the exact sizes, which only the CPU
            knows without waiting.
    """
    height, width = positive.shape[-2:]
    touched = torch.stack([values.amax(dim=-1) > 0 for values in logits])
    if len(logits) > 1:
        touched[1] |= touched[0]
    touched = touched.flatten(0, 1)
    touched = (touched[:, : len(grid.below)] | touched[:, grid.below]) & wanted.flatten()[:, None]
    lines = _find(touched, limits and limits.lines)
    row = lines.column
    around = lines.row * height + torch.stack((row, _take(grid.below, row)))

    # One column of cells at either side is outside of all masks.
    above, under = F.pad(_take(positive.flatten(0, -2), around)[..., : grid.columns], (1, 1))
    crossed, stepped = above ^ under, above[:, 1:] ^ above[:, :-1]
    mixed = crossed[:, 1:] | crossed[:, :-1] | stepped
    quads = _find(mixed if lines.valid is None else mixed & lines.valid[:, None], limits and limits.quads)

    mask, row, interval = _take(lines.row, quads.row), _take(row, quads.row), quads.column
    # The cells at the corners of each quad, above and below, left and right.
    columns = torch.stack((interval - 1, interval))
    inside = (columns >= 0) & (columns < grid.columns)
    corners = around[:, None, quads.row] * width + columns.clamp(0, grid.columns - 1)
    top, bottom = _values(logits, corners).where(inside, -1.0)[..., None]
    lower = _take(grid.lower, row)
    left, right = top * (1 - lower) + bottom * lower
    changes = ((left > 0) != (right > 0)) & _take(grid.has_line, row)
    edges = _find(changes if quads.valid is None else changes & quads.valid[:, None], limits and limits.edges)

    y = _take(grid.first_y, _take(row, edges.row)) + edges.column
    a, b = (_take(side.flatten(), edges.place) for side in (left, right))
    x = _crossing(a, b, _take(interval, edges.row), grid)
    found = torch.stack((lines.number, quads.number, edges.number)).to(torch.int32)
    return Edges(found, _take(mask, edges.row).to(torch.int32), (y * (grid.image_width + 1) + x).to(torch.int32))


def positive_cells(logits: Sequence[Tensor]) -> Tensor:
    """Return where the masks of K kinds are above 0, bool [K, Q, h, w].

    Args:
        logits: [Q, h, w] of each kind, one or two, as `trace` takes them.
    """
    positive = torch.empty(len(logits), *logits[0].shape, dtype=torch.bool, device=logits[0].device)
    for values, cells in zip(logits, positive, strict=True):
        if values.device.type == "cpu" and values.dtype == torch.float32:
            np.greater(values.numpy(), 0, out=cells.numpy())  # NumPy takes a sixth of PyTorch's time.
        else:
            torch.gt(values, 0, out=cells)
    if len(logits) > 1:
        positive[1] |= positive[0]
    return positive


def _values(logits: Sequence[Tensor], index: Tensor) -> Tensor:
    """Return the logits of masks, as `trace` takes them, at flat indices over kinds, slots, rows and columns."""
    first, *others = (values.flatten() for values in logits)
    if not others:
        return _take(first, index).float()
    second = index >= len(first)
    index = index - second * len(first)
    values = _take(first, index)
    # Unlike torch.maximum, this takes the number where the other is NaN, as `positive_cells` does.
    return torch.fmax(values, _take(others[0], index)).where(second, values).float()


def _crossing(a: Tensor, b: Tensor, interval: Tensor, grid: PixelGrid) -> Tensor:
    """Return the column [N] at which the sign has changed, between values [N] of different signs.

    Solving for it gives the place up to one pixel; that pixel's own value decides.
    """
    guess = a / (a - b) / grid.step + _take(grid.offset, interval)
    last = _take(grid.last_x, interval)
    pixel = guess.round().to(torch.int64).clamp(_take(grid.first_x, interval), last)
    f = _take(grid.right, pixel)
    value = a * (1 - f) + b * f
    return pixel + (((value > 0) == (a > 0)) & (pixel < last))


class _Found(NamedTuple):
    """Places of the true entries of a matrix, row by row."""

    place: Tensor
    """Flat index of each, int64 [N]."""
    row: Tensor
    column: Tensor
    number: Tensor
    """Number of true entries, int64 []."""
    valid: Tensor | None
    """Which of the N places hold one, bool [N]; None where all do."""


def _find(matrix: Tensor, limit: int | None) -> _Found:
    """Find the true entries of a bool matrix; with a limit, that is N, and no device has to wait."""
    flat, width = matrix.flatten(), matrix.shape[1]
    if limit is None:
        # NumPy takes an eighth of the time of torch.nonzero, and a fraction of that of dividing tensors.
        index = np.flatnonzero(flat.numpy())
        quotient = index // width
        place, row, column = (torch.from_numpy(values) for values in (index, quotient, index - quotient * width))
        return _Found(place, row, column, torch.tensor(len(index)), None)
    rank = flat.cumsum(0, dtype=torch.int32)
    wanted = torch.arange(1, limit + 1, dtype=torch.int32, device=flat.device)
    place = torch.searchsorted(rank, wanted).clamp(max=len(flat) - 1)
    row = place.div(width, rounding_mode="floor")
    return _Found(place, row, place - row * width, rank[-1].to(torch.int64), wanted <= rank[-1])


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Return values[index]; several times as fast as indexing on a CPU."""
    return values.index_select(0, index.flatten()).unflatten(0, index.shape)
