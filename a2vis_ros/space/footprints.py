"""Footprints of hidden objects as points on a grid, for a costmap; imports no ROS."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from .localizer import LocatedObject

_MOST_POINTS = 20_000
"""Largest number of points of one object. A footprint that would have more is drawn with larger steps."""


@dataclass(frozen=True)
class FootprintSettings:
    """Settings of which hidden objects are drawn, and how."""

    existence: float
    """The least probable that is drawn, as a probability."""
    sigma: float
    """Standard deviations of the position by which the box is grown on all sides."""
    max_growth: float
    """Metres by which it is grown at most."""
    step: float
    """Metres between points."""


def hidden_footprints(objects: Sequence[LocatedObject], settings: FootprintSettings) -> NDArray[np.float32]:
    """Points [N, 3] that cover the footprints of hidden objects, at half their height, in the frame of the objects.

    A footprint is the ground rectangle of the object's box, along its axes, grown by how unsure its position is.
    """
    clouds = [
        _footprint(found, settings) for found in objects if found.state.hidden and found.existence >= settings.existence
    ]
    return np.concatenate(clouds) if clouds else np.zeros((0, 3), np.float32)


def _footprint(found: LocatedObject, settings: FootprintSettings) -> NDArray[np.float32]:
    axes = Rotation.from_quat(found.orientation).as_matrix()
    variances = np.einsum("ij,ik,kj->j", axes, found.covariance[:3, :3], axes)[:2]
    growth = np.minimum(settings.sigma * np.sqrt(variances), settings.max_growth)
    half = found.size[:2] / 2 + growth
    step = max(settings.step, math.sqrt(4 * float(half[0] * half[1]) / _MOST_POINTS))
    counts = [int(np.ceil(2 * float(length) / step)) + 1 for length in half]
    along, across = (np.linspace(-length, length, count) for length, count in zip(half, counts, strict=True))
    grid = np.stack(np.meshgrid(along, across, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.asarray(found.position + grid @ axes[:, :2].T, np.float32)
