"""Memory of hidden objects: where they were last, and whether they could emerge in a region of interest."""

from dataclasses import dataclass

import cv2
import numpy as np

from .mask_codec import RunLengthMask

MAX_GROWTH = 500
"""Largest growth of a footprint in pixels, however long the object has been hidden."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the image, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Sighting:
    """A track in one frame, as far as the memory uses it."""

    track_id: int
    visible: bool
    ended: bool
    amodal: RunLengthMask
    """Amodal mask; empty for a lost track, which has no present position."""


@dataclass(frozen=True)
class Hidden:
    """A track that is not visible and could emerge inside the region."""

    track_id: int
    seconds: float
    """Seconds since it was last visible."""
    footprint: RunLengthMask
    reachable: int
    """Number of pixels of the region that the grown footprint covers."""


@dataclass
class _Memory:
    last_seen: float
    footprint: RunLengthMask


class OcclusionMemory:
    """Keeps the last amodal footprint of every live track.

    Args:
        margin_px: pixels by which a footprint is grown in every direction.
        growth_px_s: pixels by which it grows further for every second that the object has been hidden.
    """

    def __init__(self, *, margin_px: float, growth_px_s: float) -> None:
        self._margin_px = margin_px
        self._growth_px_s = growth_px_s
        self._epoch: int | None = None
        self._tracks: dict[int, _Memory] = {}

    def update(self, epoch: int, seconds: float, sightings: list[Sighting], region: Region) -> list[Hidden]:
        """Take the next frame.

        Args:
            epoch: number of the epoch; when it changes, everything is forgotten.
            seconds: time of the frame in seconds.
            sightings: all live tracks.
            region: region in which an object should not emerge by surprise.

        Returns:
            The hidden tracks that could emerge there, in the order of their IDs.
        """
        if epoch != self._epoch:
            self._epoch = epoch
            self._tracks.clear()
        hidden = []
        present = set()
        for sighting in sightings:
            if sighting.ended:
                continue
            present.add(sighting.track_id)
            memory = self._tracks.setdefault(sighting.track_id, _Memory(seconds, RunLengthMask.empty()))
            # A lost track that is no longer predicted is still hidden: it stays where it was last.
            if sighting.amodal.area:
                memory.footprint = sighting.amodal
            if sighting.visible:
                memory.last_seen = seconds
                continue
            since = max(seconds - memory.last_seen, 0.0)
            reachable = _reach(memory.footprint, self._margin_px + self._growth_px_s * since, region)
            if reachable:
                hidden.append(Hidden(sighting.track_id, since, memory.footprint, reachable))
        # A track that is no longer reported has ended in a message that was lost.
        self._tracks = {track_id: memory for track_id, memory in self._tracks.items() if track_id in present}
        return sorted(hidden, key=lambda track: track.track_id)


def _reach(footprint: RunLengthMask, grow_px: float, region: Region) -> int:
    """Count the pixels of the region that the footprint, grown on all sides, covers."""
    grow = int(np.ceil(min(grow_px, MAX_GROWTH)))
    left, top = footprint.x - grow, footprint.y - grow
    right, bottom = footprint.x + footprint.width + grow, footprint.y + footprint.height + grow
    x0, y0 = max(left, region.x), max(top, region.y)
    x1, y1 = min(right, region.x + region.width), min(bottom, region.y + region.height)
    if not footprint.counts.size or x0 >= x1 or y0 >= y1:
        return 0
    # Pixels that are further from the region than the footprint grows cannot reach it.
    row, column = max(y0 - grow - footprint.y, 0), max(x0 - grow - footprint.x, 0)
    near = footprint.pixels[row : y1 + grow - footprint.y, column : x1 + grow - footprint.x]
    pixels = np.pad(near.astype(np.uint8), grow)
    if grow:
        side = 2 * grow + 1
        pixels = np.asarray(cv2.dilate(pixels, np.ones((side, side), np.uint8)), np.uint8)
    top, left = top + row, left + column
    return int(np.count_nonzero(pixels[y0 - top : y1 - top, x0 - left : x1 - left]))
