"""How far away the visible part of an object is, from a registered depth image. No ROS."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..planner.mask_codec import RunLengthMask
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

    def std(self, z: float) -> float:
        """Return the standard deviation at a depth, both in metres."""
        return self.constant + self.quadratic * z * z


class Probe(NamedTuple):
    """An object whose surface is looked for."""

    visible: RunLengthMask
    """Its visible mask, not empty."""
    direction: NDArray[np.float64]
    """[3] unit vector in the optical frame, along which distance is measured."""
    thickness: float
    """Thickness of the object along the direction, in metres."""


class Surface(NamedTuple):
    """The nearest part of an object's visible surface."""

    distance: float
    """Along the direction that was asked for, in metres."""
    std: float
    """Standard deviation of the distance in metres."""


def surface_distances(
    depth: DepthMetres, probes: Sequence[Probe], camera: CameraModel, noise: DepthNoise
) -> list[Surface | None]:
    """Distances of objects' near sides, robust against pixels of other things inside their masks.

    A mask's rim is left out, for depth images are blurred there. Of the rest those pixels are kept which lie in the
    slice, as thick as the object, that holds most of them: background and occluders lie outside. The object's near side
    is where the nearest tenth of these begins, corrected for noise.

    Args:
        depth: registered to the image that the masks are of.
        probes: the objects.
        camera: camera of the image.
        noise: noise of the depth.

    Returns:
        for each object its surface; None where it is a hole in the depth image.
    """
    if not probes:
        return []
    # The pixels of all objects are looked up at once, because small arrays cost by the call.
    u, v, counts = _samples([probe.visible for probe in probes])
    z = depth.take(v * depth.shape[1] + u)
    rays = camera.coarse_rays_at(u, v)
    # NaN is neither; what is infinite is no distance.
    usable = (z > 0) & (z < np.inf)
    ends = np.cumsum(counts).tolist()
    surfaces = []
    for probe, count, end in zip(probes, counts, ends, strict=True):
        own = slice(end - count, end)
        distances = (z[own] * (rays[own] @ probe.direction))[usable[own]]
        surfaces.append(_near_side(distances, count, probe.thickness, noise))
    return surfaces


def _samples(masks: Sequence[RunLengthMask]) -> tuple[NDArray[np.intp], NDArray[np.intp], list[int]]:
    """Pixels of N masks, on a grid inside the box of each and off its rim.

    Returns:
        columns and rows in the image, of one mask after the other, and how many are of each.
    """
    # Every `step`-th pixel in both directions, so that one step of erosion takes `step` pixels off the rim.
    steps = [max(1, round(math.sqrt(mask.area / _SAMPLES))) for mask in masks]
    grids = [mask.pixels[::step, ::step] for mask, step in zip(masks, steps, strict=True)]
    # The grids lie below each other on one canvas; what is outside of all of them keeps them apart.
    tops = np.cumsum([1, *(len(grid) + 1 for grid in grids)]).tolist()
    canvas = np.zeros((tops[-1], max(grid.shape[1] for grid in grids) + 2), np.bool_)
    for grid, top in zip(grids, tops[:-1], strict=True):
        canvas[top : top + len(grid), 1 : grid.shape[1] + 1] = grid
    inner = _eroded(canvas)
    counts = []
    for top, end in itertools.pairwise(tops):
        if np.count_nonzero(inner[top:end]) < _LEAST_SAMPLES:
            # A thin object is all rim.
            inner[top:end] = canvas[top:end]
        counts.append(int(np.count_nonzero(inner[top:end])))
    row, column = np.divmod(inner.ravel().nonzero()[0], canvas.shape[1])
    # A place on the canvas in pixels of the image: its step, and the pixel of the canvas' own corner.
    corners = [
        (step, mask.x - step, mask.y - step * top) for mask, step, top in zip(masks, steps, tops[:-1], strict=True)
    ]
    step, x, y = (np.repeat(values, counts) for values in np.array(corners).T)
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


def _near_side(distances: NDArray[np.float64], samples: int, thickness: float, noise: DepthNoise) -> Surface | None:
    """Where an object begins; sorts the distances of its pixels in place.

    Args:
        distances: [N] of those pixels that have a depth, in metres.
        samples: how many were looked at.
        thickness: of the object, in metres.
        noise: of the depth.
    """
    if len(distances) < max(_LEAST_SAMPLES, _LEAST_SHARE * samples):
        return None
    distances.sort()
    slice_thickness = thickness + 2 * noise.std(float(distances[len(distances) // 2]))
    kept = distances
    # Mostly nothing else is in the mask, and the slice holds all.
    if distances[-1] > distances[0] + slice_thickness:
        ends = distances.searchsorted(distances + slice_thickness, side="right")
        start = int((ends - np.arange(len(distances))).argmax())
        kept = distances[start : ends[start]]
    if len(kept) < _LEAST_SAMPLES:
        return None
    middle = float(kept[len(kept) // 2])
    std = noise.std(middle)
    near = min(float(kept[int(_NEAR_SHARE * len(kept))]) + _NEAR_SIGMA * std, middle)
    return Surface(near, std) if near > 0 else None
