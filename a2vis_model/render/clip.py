"""A rendered video: pictures, and the visible and amodal masks of every object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..masks import coco as rle
from ..masks.coco import Rle

MIN_VISIBLE_PIXELS = 100
"""Number of pixels visible in the whole video above which an object is kept, as in FISHBOWL."""


@dataclass(frozen=True)
class RenderedObject:
    """One object. Its masks are kept as run lengths, because bool [T, H, W] of a whole video would fill the memory."""

    id: int
    class_id: int
    class_name: str
    speed: float
    scale: float
    visible_rles: tuple[Rle, ...]
    amodal_rles: tuple[Rle, ...]

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Pixels where the object is visible, [T, H, W], decoded at every access."""
        return np.stack([rle.decode(r) for r in self.visible_rles])

    @property
    def amodal(self) -> NDArray[np.bool_]:
        """Complete silhouette inside the frame, hidden parts included, [T, H, W], decoded at every access."""
        return np.stack([rle.decode(r) for r in self.amodal_rles])

    @property
    def visible_areas(self) -> NDArray[np.int64]:
        """Number of visible pixels per frame, [T]."""
        return np.array([rle.area(r) for r in self.visible_rles], np.int64)

    @property
    def amodal_areas(self) -> NDArray[np.int64]:
        """Number of pixels of the complete silhouette per frame, [T]."""
        return np.array([rle.area(r) for r in self.amodal_rles], np.int64)


@dataclass(frozen=True)
class RenderedClip:
    """A rendered video.

    Attributes:
        frames: pictures, uint8 RGB [T, H, W, 3].
        objects: objects with more than `MIN_VISIBLE_PIXELS` visible pixels in all frames together.
    """

    world: str
    seed: int
    frames: NDArray[np.uint8]
    objects: tuple[RenderedObject, ...]
    fps: int = 30
    parameters: Mapping[str, Any] = field(default_factory=dict)
