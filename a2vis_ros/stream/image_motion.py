"""How tracks move through the image, and how long what is hidden is confirmed in. By stamps; no ROS."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a2vis_model import FrameResult, TrackedInstance, TrackState

HALF_LIFE_S = 10.0
"""The belief that a hidden object is still there halves with every so many seconds."""
_MEMORY_S = 0.3
"""Steps older than this have little part in a velocity."""


@dataclass(frozen=True)
class ImageMotion:
    """What is known of a track beside its masks."""

    velocity: tuple[float, float]
    """Velocity of the centre of the amodal mask's box, in pixels a second to the right and downwards."""
    existence: float
    """Probability that the object is there."""


AT_REST = (0.0, 0.0)


@dataclass
class _Memory:
    existence: float
    seen: float
    """Time when it was last seen, in seconds."""
    centre: NDArray[np.float64] | None = None
    at: float = 0.0
    """Time of the centre, in seconds."""
    velocity: NDArray[np.float64] | None = None


class ImageMotionTracker:
    """Follows the live tracks of one stream. What it keeps of a track goes when the track does."""

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._memories: dict[int, _Memory] = {}

    def update(self, result: FrameResult) -> dict[int, ImageMotion]:
        """Take the next frame; frames come in the order of time.

        Returns:
            by track ID, for every instance of the frame.
        """
        if result.epoch != self._epoch:
            self._epoch = result.epoch
            self._memories.clear()
        now = result.timestamp
        found, kept = {}, {}
        for instance in result.instances:
            memory = self._memories.get(instance.track_id) or _Memory(instance.existence, now)
            if instance.state in (TrackState.TENTATIVE, TrackState.VISIBLE):
                memory.existence, memory.seen = instance.existence, now
            centre = _centre(instance)
            # The mask of a lost track is moved on by a velocity, and tells none.
            if centre is not None and instance.state is not TrackState.LOST:
                _step(memory, centre, now)
            velocity = AT_REST if memory.velocity is None else (float(memory.velocity[0]), float(memory.velocity[1]))
            existence = memory.existence * 0.5 ** (max(now - memory.seen, 0.0) / HALF_LIFE_S)
            found[instance.track_id] = ImageMotion(velocity, existence)
            if instance.state is not TrackState.ENDED:
                kept[instance.track_id] = memory
        self._memories = kept
        return found


def true_motions(before: FrameResult | None, now: FrameResult, after: FrameResult | None) -> dict[int, ImageMotion]:
    """Motions of a frame of ground truth, which knows the next frame too: from the frame before to the one after.

    Args:
        before: the frame before; None for the first.
        now: the frame.
        after: the frame after it; None for the last.

    Returns:
        by track ID, for every instance; one that has a mask in a single one of these frames is at rest.
    """
    found = {}
    frames = [frame for frame in (before, now, after) if frame is not None]
    for instance in now.instances:
        places = [
            (frame.timestamp, centre)
            for frame in frames
            for other in frame.instances
            if other.track_id == instance.track_id and (centre := _centre(other)) is not None
        ]
        velocity = AT_REST
        if len(places) > 1 and places[-1][0] > places[0][0]:
            x, y = (places[-1][1] - places[0][1]) / (places[-1][0] - places[0][0])
            velocity = float(x), float(y)
        found[instance.track_id] = ImageMotion(velocity, instance.existence)
    return found


def _centre(instance: TrackedInstance) -> NDArray[np.float64] | None:
    """Centre [2] of the amodal mask's box in pixels, or of the visible one's where there is no amodal mask."""
    mask = instance.visible if instance.amodal is None else instance.amodal
    return np.array([mask.x + mask.width / 2, mask.y + mask.height / 2]) if mask is not None and mask.area else None


def _step(memory: _Memory, centre: NDArray[np.float64], now: float) -> None:
    """Take where the mask is now. Images without a stamp, or with the same, tell no velocity."""
    before, seconds = memory.centre, now - memory.at
    memory.centre, memory.at = centre, now
    if before is None or seconds <= 0:
        return
    velocity = (centre - before) / seconds
    if memory.velocity is None:
        memory.velocity = velocity
    else:
        memory.velocity = memory.velocity + (1 - math.exp(-seconds / _MEMORY_S)) * (velocity - memory.velocity)
