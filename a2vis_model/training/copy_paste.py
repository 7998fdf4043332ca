"""Copy-paste of objects from one photograph to another (Ghiasi et al., 2021): more objects per class, and hidden parts.

Both pictures have already been scaled, cropped, flipped and recoloured at random. Pixels of an object that are pasted
over are still known to belong to it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .augmentation import Masks, TrainingSample

LEAST_LEFT = 0.1
"""Visible share below which, in every frame, an object is removed."""
_SEEDS = 3
"""Largest number of pasted objects, not counting those that touch them."""
_NEAR = np.ones((5, 5), np.uint8)
"""Structuring element: masks touch when they overlap after one is dilated by it."""


def copy_paste(sample: TrainingSample, other: TrainingSample, rng: np.random.Generator) -> TrainingSample:
    """Paste some objects of another sequence of equal length and size onto a sequence, frame by frame.

    All objects that touch a pasted one are pasted with it, so that what hides it in its own picture still does.
    """
    count = len(other.classes)
    if not count:
        return sample
    seeds = rng.choice(count, size=min(int(rng.integers(1, _SEEDS + 1)), count), replace=False)
    chosen = _with_neighbours(seeds, _touching(other.visible))
    pasted = other.visible[:, chosen]
    cover = np.asarray(pasted.any(axis=1))
    visible = sample.visible & ~cover[:, None]
    kept = _left(sample.visible, visible) >= LEAST_LEFT
    visible = np.concatenate((visible[:, kept], pasted), axis=1)
    amodal = np.concatenate((sample.amodal[:, kept], other.amodal[:, chosen]), axis=1)
    # Paper 3.1: no amodal mask before an object is first visible, which may now be later.
    amodal &= np.logical_or.accumulate(np.asarray(visible.any(axis=(2, 3))), axis=0)[:, :, None, None]
    return TrainingSample(
        images=np.where(cover[..., None], other.images, sample.images),
        visible=visible,
        amodal=amodal,
        classes=np.concatenate((sample.classes[kept], other.classes[chosen])),
        amodal_known=sample.amodal_known and other.amodal_known,
        labelled=sample.labelled,
    )


def _touching(masks: Masks) -> NDArray[np.bool_]:
    """Find out which objects of masks [F, N, H, W] touch each other in any frame: [N, N]."""
    frames, count = masks.shape[:2]
    touching = np.eye(count, dtype=np.bool_)
    for t in range(frames):
        for n in np.flatnonzero(masks[t].any(axis=(1, 2))):
            near = cv2.dilate(masks[t, n].view(np.uint8), _NEAR).view(np.bool_)
            touching[n] |= (masks[t] & near).any(axis=(1, 2))
    return touching | touching.T


def _with_neighbours(seeds: NDArray[np.int64], touching: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return these objects, those that touch them, those that touch those, and so on, in their order."""
    found = np.isin(np.arange(len(touching)), seeds)
    while not np.array_equal(found, grown := np.asarray(touching[found].any(axis=0))):
        found = grown
    return np.flatnonzero(found)


def _left(before: Masks, after: Masks) -> NDArray[np.float64]:
    """Compute the greatest share [N] of each object that is still visible in a frame, from masks [F, N, H, W]."""
    areas = before.sum(axis=(2, 3))
    share = after.sum(axis=(2, 3)) / np.maximum(areas, 1)
    return np.asarray(share.max(axis=0, initial=0.0))
