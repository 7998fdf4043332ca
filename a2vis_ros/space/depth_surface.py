"""How far away the visible part of an object is, from a registered depth image. No ROS."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
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
_RIM = np.ones((3, 3), np.uint8)
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
    samples = [_samples(probe.visible) for probe in probes]
    counts = [len(found) for _, found in samples]
    layouts = np.array(
        [(*grid, probe.visible.x, probe.visible.y) for (grid, _), probe in zip(samples, probes, strict=True)]
    )
    columns, step, x, y = np.repeat(layouts, counts, axis=0).T
    row, column = np.divmod(np.concatenate([found for _, found in samples]), columns)
    u, v = x + step * column, y + step * row
    z = depth[v, u]
    directions = np.repeat(np.array([probe.direction for probe in probes]), counts, axis=0)
    distances = z * np.einsum("ij,ij->i", camera.coarse_rays_at(u, v), directions)
    # NaN is neither; what is infinite is no distance.
    usable = (z > 0) & (z < np.inf)
    before = np.concatenate([[0], np.cumsum(usable)])[np.cumsum([0, *counts])].tolist()
    distances = distances[usable]
    return [
        _near_side(distances[start:end], count, probe.thickness, noise)
        for probe, count, start, end in zip(probes, counts, before[:-1], before[1:], strict=True)
    ]


def _samples(visible: RunLengthMask) -> tuple[tuple[int, int], NDArray[np.intp]]:
    """Pixels of a mask on a grid inside its box.

    Returns:
        how many columns the grid has, and the pixels from one to the next; [N] places on it, row by row.
    """
    # Every `step`-th pixel in both directions, so that one step of erosion takes `step` pixels off the rim.
    step = max(1, round(math.sqrt(visible.area / _SAMPLES)))
    inside = np.ascontiguousarray(visible.pixels[::step, ::step])
    inner = cv2.erode(inside.view(np.uint8), _RIM, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    (found,) = inner.view(np.bool_).ravel().nonzero()
    if len(found) < _LEAST_SAMPLES:
        # A thin object is all rim.
        (found,) = inside.ravel().nonzero()
    return (inside.shape[1], step), found


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
    slice_std = noise.std(float(distances[len(distances) // 2]))
    ends = distances.searchsorted(distances + (thickness + 2 * slice_std), side="right")
    start = int((ends - np.arange(len(distances))).argmax())
    kept = distances[start : ends[start]]
    if len(kept) < _LEAST_SAMPLES:
        return None
    middle = float(kept[len(kept) // 2])
    std = noise.std(middle)
    near = min(float(kept[int(_NEAR_SHARE * len(kept))]) + _NEAR_SIGMA * std, middle)
    return Surface(near, std) if near > 0 else None
