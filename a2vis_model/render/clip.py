"""What a rendered clip is: pictures, and for every object its visible and its amodal masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.space_truth import SpaceTruth
from . import rle
from .rle import Rle

MIN_VISIBLE_PIXELS = 100
"""An object is kept when more of its pixels than this are seen in the whole clip, as FISHBOWL does."""


@dataclass(frozen=True)
class RenderedObject:
    """One object; its masks are kept as run lengths: ``[T, H, W]`` booleans of a whole clip would fill the
    memory."""

    id: int
    class_id: int
    class_name: str
    speed: float
    scale: float
    visible_rles: tuple[Rle, ...]
    amodal_rles: tuple[Rle, ...]

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Pixels where the object is seen, ``[T, H, W]``, decoded at every access."""
        return np.stack([rle.decode(r) for r in self.visible_rles])

    @property
    def amodal(self) -> NDArray[np.bool_]:
        """The full silhouette in the frame, hidden parts included, ``[T, H, W]``, decoded at every access."""
        return np.stack([rle.decode(r) for r in self.amodal_rles])

    @property
    def visible_areas(self) -> NDArray[np.int64]:
        """Seen pixels per frame, ``[T]``."""
        return np.array([rle.area(r) for r in self.visible_rles], np.int64)

    @property
    def amodal_areas(self) -> NDArray[np.int64]:
        """Pixels of the full silhouette per frame, ``[T]``."""
        return np.array([rle.area(r) for r in self.amodal_rles], np.int64)


@dataclass(frozen=True)
class RenderedClip:
    """``frames`` is uint8 RGB ``[T, H, W, 3]``; ``objects`` are those with more than 100 visible pixels in
    all. ``space`` is what is true in space and ``depth`` uint16 ``[T, H, W]`` in millimetres (0 where unknown), both
    only where they were asked for."""

    world: str
    seed: int
    frames: NDArray[np.uint8]
    objects: tuple[RenderedObject, ...]
    fps: int = 30
    parameters: Mapping[str, Any] = field(default_factory=dict)
    space: SpaceTruth | None = None
    depth: NDArray[np.uint16] | None = None
