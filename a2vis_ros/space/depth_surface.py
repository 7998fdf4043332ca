"""How far away the visible part of an object is, from a registered depth image. No ROS."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..planner.mask_codec import MaskSet
from .camera import CameraModel

DepthMetres = NDArray[np.float32]
"""[H, W] along the optical axis, in metres; what is not above 0 and finite is a hole."""

_SAMPLES = 400
"""About so many pixels of a mask are looked at."""
_LEAST_SAMPLES = 8
"""Number of depths below which an object counts as one hole."""
_LEAST_SHARE = 0.05
"""Share of an object's pixels with a depth below which it counts as one hole."""
_NEAR_SHARE, _NEAR_SIGMA = 0.1, 1.2816
"""The nearest tenth of a noisy flat surface is by 1.28 standard deviations nearer than the surface is."""


@dataclass(frozen=True)
class DepthNoise:
    """Standard deviation of a depth z: constant + quadratic z², in metres; the latter is that of stereo cameras."""

    constant: float = 0.02
    quadratic: float = 0.004

    def std(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard deviations at depths, both in metres."""
        return self.constant + self.quadratic * z * z


class Surfaces(NamedTuple):
    """The nearest parts of the visible surfaces of N objects; NaN where an object is a hole in the depth image."""

    distance: NDArray[np.float64]
    """[N] along the direction that was asked for, in metres."""
    std: NDArray[np.float64]
    """[N] standard deviation of the distance in metres."""


def surface_distances(
    depth: DepthMetres,
    visible: MaskSet,
    directions: NDArray[np.float64],
    thickness: NDArray[np.float64],
    camera: CameraModel,
    noise: DepthNoise,
) -> Surfaces:
    """Distances of objects' near sides, robust against pixels of other things inside their masks.

    A mask's rim is left out, for depth images are blurred there. Of the rest those pixels are kept which lie in the
    slice, as thick as the object, that holds most of them: background and occluders lie outside. The object's near side
    is where the nearest tenth of these begins, corrected for noise.

    Args:
        depth: registered to the image that the masks are of.
        visible: visible masks of N objects.
        directions: [N, 3] unit vectors in the optical frame, along which distance is measured; NaN for a hole.
        thickness: [N] of the objects along their directions, in metres.
        camera: camera of the image.
        noise: noise of the depth.
    """
    u, v, counts = _samples(visible)
    z = depth.take(v * depth.shape[1] + u)
    with np.errstate(invalid="ignore", over="ignore"):
        distances = z * camera.coarse_along(u, v, np.repeat(directions.T, counts, axis=1))
        # NaN is neither; what is infinite is no distance.
        distances[~((z > 0) & (distances < np.inf))] = np.inf
    return _near_sides(_rows(distances, counts), counts, thickness, noise)


def _samples(visible: MaskSet) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Pixels of N masks, on a grid inside the box of each and off its rim.

    Returns:
        columns and rows in the image, [M] of one mask after the other, and [N] how many are of each.
    """
    # Every `step`-th pixel in both directions, so that one step of erosion takes `step` pixels off the rim.
    steps = np.maximum(np.rint(np.sqrt(visible.areas / _SAMPLES)).astype(np.intp), 1)
    grids = [pixels[::step, ::step] for pixels, step in zip(visible.pixels, steps.tolist(), strict=True)]
    # The grids lie below each other on one canvas; what is outside of all of them keeps them apart.
    tops = np.cumsum([1, *(len(grid) + 1 for grid in grids)])
    canvas = np.zeros((int(tops[-1]), max((grid.shape[1] for grid in grids), default=0) + 2), np.bool_)
    for grid, top in zip(grids, tops[:-1].tolist(), strict=True):
        canvas[top : top + len(grid), 1 : grid.shape[1] + 1] = grid
    inner, limits = _eroded(canvas), tops * canvas.shape[1]
    cells = inner.ravel().nonzero()[0]
    counts = np.diff(cells.searchsorted(limits))
    thin = np.flatnonzero(counts < _LEAST_SAMPLES).tolist()
    if thin:
        # A thin object is all rim.
        for index in thin:
            own = slice(tops[index], tops[index + 1])
            inner[own] = canvas[own]
        cells = inner.ravel().nonzero()[0]
        counts = np.diff(cells.searchsorted(limits))
    row = cells // canvas.shape[1]
    column = cells - row * canvas.shape[1]
    # A place on the canvas in pixels of the image: its step, and the pixel of the canvas' own corner.
    x, y = np.array([mask.box[:2] for mask in visible.masks], np.intp).reshape(-1, 2).T
    step, x, y = np.repeat((steps, x - steps, y - steps * tops[:-1]), counts, axis=1)
    return x + step * column, y + step * row, counts


def _eroded(canvas: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells [H, W] all of whose eight neighbours are True like themselves; no cell of the canvas' border is.

    Done for the cells row by row as one line, which has the neighbours at fixed distances from each other.
    """
    line, width = canvas.ravel(), canvas.shape[1]
    across = line[:-2] & line[1:-1] & line[2:]
    inner = np.zeros_like(line)
    inner[width + 1 : -width - 1] = across[: -2 * width] & across[width:-width] & across[2 * width :]
    return inner.reshape(canvas.shape)


def _rows(distances: NDArray[np.float64], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Distances of each object in ascending order, [N, K], with infinity behind the last.

    Args:
        distances: [M] of one object after the other; infinity for a hole.
        counts: [N] how many are of each.
    """
    # One column more, so that there is one where no object has a distance.
    length = int(counts.max(initial=0)) + 1
    cells = np.full(len(counts) * length, np.inf)
    shift = length * np.arange(len(counts)) - np.cumsum(counts) + counts
    cells[np.arange(len(distances)) + np.repeat(shift, counts)] = distances
    rows = cells.reshape(-1, length)
    rows.sort(axis=1)
    return rows


def _near_sides(
    distances: NDArray[np.float64], samples: NDArray[np.intp], thickness: NDArray[np.float64], noise: DepthNoise
) -> Surfaces:
    """Where objects begin.

    Args:
        distances: [N, K] of `_rows`, in metres.
        samples: [N] how many pixels were looked at.
        thickness: [N] of the objects, in metres.
        noise: of the depth.
    """
    counts = np.count_nonzero(distances < np.inf, axis=1)
    every = np.arange(len(distances))
    known = counts >= np.maximum(_LEAST_SAMPLES, _LEAST_SHARE * samples)
    first, kept = np.zeros_like(counts), np.where(known, counts, 1)
    with np.errstate(invalid="ignore", over="ignore"):
        slices = thickness + 2 * noise.std(distances[every, kept // 2])
        spread = distances[every, kept - 1] > distances[:, 0] + slices
    # Mostly nothing else is in the mask, and the slice holds all.
    for index in np.flatnonzero(spread & known).tolist():
        own = distances[index, : counts[index]]
        ends = own.searchsorted(own + slices[index], side="right")
        first[index] = start = int((ends - np.arange(len(own))).argmax())
        kept[index] = ends[start] - start
    middle = distances[every, first + kept // 2]
    nearest = distances[every, first + (_NEAR_SHARE * kept).astype(np.intp)]
    with np.errstate(invalid="ignore", over="ignore"):
        std = noise.std(middle)
        near = np.minimum(nearest + _NEAR_SIGMA * std, middle)
    known &= (kept >= _LEAST_SAMPLES) & (near > 0)
    return Surfaces(np.where(known, near, np.nan), np.where(known, std, np.nan))
