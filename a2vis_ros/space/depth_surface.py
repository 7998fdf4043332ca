"""How far away the visible part of an object is, from a registered depth image. No ROS."""

import math
from dataclasses import dataclass

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
"""With fewer depths than these an object counts as one hole."""
_LEAST_SHARE = 0.05
"""So it does where a smaller share of its pixels than this has a depth."""
_RIM = np.ones((3, 3), np.uint8)
_NEAR_SHARE, _NEAR_SIGMA = 0.1, 1.2816
"""The nearest tenth of a noisy flat surface is by 1.28 standard deviations nearer than the surface is."""


@dataclass(frozen=True)
class DepthNoise:
    """Standard deviation of a depth z: constant + quadratic z², in metres; the latter is that of stereo cameras."""

    constant: float = 0.02
    quadratic: float = 0.004

    def std(self, z: float) -> float:
        """At a depth in metres."""
        return self.constant + self.quadratic * z * z


@dataclass(frozen=True)
class Surface:
    """The nearest part of an object's visible surface."""

    distance: float
    """Along the direction that was asked for, in metres."""
    std: float
    """Standard deviation of the distance in metres."""


def surface_distance(
    depth: DepthMetres,
    visible: RunLengthMask,
    camera: CameraModel,
    direction: NDArray[np.float64],
    thickness: float,
    noise: DepthNoise,
) -> Surface | None:
    """Distance of an object's near side, robust against pixels of other things inside its mask.

    The mask's rim is left out, for depth images are blurred there. Of the rest those are kept which lie in the slice,
    as thick as the object, that holds most of them: background and occluders lie outside. The object's near side is
    where the nearest tenth of these begins, corrected for noise.

    Args:
        depth: registered to the image that the mask is of.
        visible: the visible mask.
        camera: of the image.
        direction: [3] unit vector in the optical frame, along which distance is measured.
        thickness: of the object along the direction, in metres.
        noise: of the depth.

    Returns:
        None where the object is a hole in the depth image.
    """
    # Every `step`-th pixel in both directions, so that one step of erosion takes `step` pixels off the rim.
    step = max(1, round(math.sqrt(visible.area / _SAMPLES)))
    inside = np.ascontiguousarray(visible.pixels[::step, ::step]).view(np.uint8)
    inner = cv2.erode(inside, _RIM, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    # Single pixels from here on, for most of a box is not the object.
    rows, columns = np.nonzero(inner)
    if len(rows) < _LEAST_SAMPLES:
        # A thin object is all rim.
        rows, columns = np.nonzero(inside)
    v, u = visible.y + step * rows, visible.x + step * columns
    z = depth[v, u]
    distances = z * (camera.coarse_rays_at(u, v) @ direction)
    # NaN is neither; what is infinite is no distance.
    distances = distances[(z > 0) & (z < np.inf)]
    if len(distances) < max(_LEAST_SAMPLES, _LEAST_SHARE * len(rows)):
        return None
    distances.sort()
    slice_std = noise.std(float(distances[len(distances) // 2]))
    ends = np.searchsorted(distances, distances + thickness + 2 * slice_std, side="right")
    start = int(np.argmax(ends - np.arange(len(distances))))
    kept = distances[start : ends[start]]
    if len(kept) < _LEAST_SAMPLES:
        return None
    middle = float(kept[len(kept) // 2])
    std = noise.std(middle)
    near = min(float(kept[int(_NEAR_SHARE * len(kept))]) + _NEAR_SIGMA * std, middle)
    return Surface(near, std) if near > 0 else None
