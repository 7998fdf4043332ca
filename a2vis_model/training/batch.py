"""What one training step is given: images, and what is to be found in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..masks.region import LOGIT_STRIDE
from ..preprocessing import PIXEL_MEAN, PIXEL_STD
from .augmentation import TrainingSample

MaskKind = Literal["visible", "amodal"]
_KINDS: tuple[MaskKind, ...] = ("visible", "amodal")


class Targets(NamedTuple):
    """The objects of I items (images, clips or sequences) of T frames; n of them, the rest padding."""

    classes: NDArray[np.int64]
    """[I, n], on the host, where matching is done."""
    pixels: Tensor
    """bool [I, T, n, H, W]; all false in padding."""
    cells: Tensor
    """float32 [I, T, n, h · w]: which share of each cell of the mask logits is covered."""
    present: NDArray[np.bool_]
    """[I, T, n] on the host: there is a pixel; never true in padding."""
    unknown: Tensor | None = None
    """bool [I, T, H, W]: pixels that may belong to an object whose mask they are not in, so that only the objects in
    whose masks they are can be taught there. None where every mask is the whole truth."""
    labelled: NDArray[np.bool_] | None = None
    """[I, K] on the host: the classes whose every object is there; None for all."""

    def split(self, length: int) -> Targets:
        """Cut every item into pieces of `length` frames: [I, T, ...] → [I · T / length, length, ...]."""
        frames = self.pixels.shape[1]
        return Targets(
            classes=self.classes.repeat(frames // length, axis=0),
            pixels=self.pixels.unflatten(1, (-1, length)).flatten(0, 1),
            cells=self.cells.unflatten(1, (-1, length)).flatten(0, 1),
            present=self.present.reshape(-1, length, self.present.shape[-1]),
            unknown=None if self.unknown is None else self.unknown.unflatten(1, (-1, length)).flatten(0, 1),
            labelled=None if self.labelled is None else self.labelled.repeat(frames // length, axis=0),
        )

    def known_cells(self, items: slice | NDArray[np.int64] = slice(None)) -> Tensor | None:
        """Which share of each cell is known to belong or not to belong to each object: [I, T, n, h · w]."""
        if self.unknown is None:
            return None
        unknown = F.avg_pool2d(self.unknown[items].float(), LOGIT_STRIDE).flatten(2).unsqueeze(2)
        # What is known of a shape is where an object is, or was, seen.
        return 1 - (unknown - self.cells[items]).clamp(min=0)


@dataclass(frozen=True)
class Batch:
    """B sequences of F frames. Objects come after frames in all masks, so that cutting time never copies."""

    images: Tensor
    """uint8 [B, F, H, W, 3] RGB."""
    packed: Tensor
    """uint8 [2, B, F, n, H, W / 8]: visible, then amodal masks, eight pixels a byte, the first one highest. They are
    the bulk of what loader processes hand over and what is copied to a GPU."""
    classes: NDArray[np.int64]
    """[B, n]."""
    present: NDArray[np.bool_]
    """[2, B, F, n]: the mask, visible or amodal, has a pixel."""
    amodal_known: NDArray[np.bool_]
    """[B]: the amodal masks are whole shapes (see `TrainingSample`)."""
    labelled: NDArray[np.bool_] | None
    """[B, K]: the classes whose every object is there; None for all."""

    @classmethod
    def collate(cls, samples: Sequence[TrainingSample]) -> Batch:
        """Stack sequences of the same length, padding to the greatest number of objects, at least one."""
        count = max(1, *(len(sample.classes) for sample in samples))
        frames, height, width = samples[0].images.shape[:3]
        classes = np.zeros((len(samples), count), np.int64)
        packed = np.zeros((2, len(samples), frames, count, height, width // 8), np.uint8)
        present = np.zeros(packed.shape[:4], np.bool_)
        for i, sample in enumerate(samples):
            objects = len(sample.classes)
            classes[i, :objects] = sample.classes
            for kind, masks in enumerate((sample.visible, sample.amodal)):
                packed[kind, i, :, :objects] = np.packbits(masks, axis=-1)
                present[kind, i, :, :objects] = masks.any(axis=(2, 3))
        return cls(
            images=torch.from_numpy(np.stack([sample.images for sample in samples])),
            packed=torch.from_numpy(packed),
            classes=classes,
            present=present,
            amodal_known=np.array([sample.amodal_known for sample in samples]),
            labelled=_stack_labelled([sample.labelled for sample in samples]),
        )

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on another device."""
        images, packed = (x.to(device, non_blocking=True) for x in (self.images, self.packed))
        return replace(self, images=images, packed=packed)

    def pin_memory(self) -> Batch:
        """For the data loader: page-locked, so that copying to a GPU does not wait."""
        return replace(self, images=self.images.pin_memory(), packed=self.packed.pin_memory())

    def cut(self, frames: slice) -> Batch:
        """Some of the frames."""
        return replace(
            self,
            images=self.images[:, frames],
            packed=self.packed[:, :, frames],
            present=self.present[:, :, frames],
        )

    def normalised(self) -> Tensor:
        """The network's input, float32 [B, F, 3, H, W], channels last in memory."""
        mean = torch.tensor(PIXEL_MEAN, device=self.images.device)
        scale = 1 / torch.tensor(PIXEL_STD, device=self.images.device)
        return ((self.images - mean) * scale).permute(0, 1, 4, 2, 3)

    def masks(self, kind: MaskKind) -> Tensor:
        """bool [B, F, n, H, W]."""
        shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=self.packed.device)
        return ((self.packed[_KINDS.index(kind)].unsqueeze(-1) >> shifts) & 1).bool().flatten(-2)

    def targets(self, kind: MaskKind) -> Targets:
        """The objects with one kind of masks."""
        pixels = self.masks(kind)
        cells = F.avg_pool2d(pixels.flatten(0, 1).float(), LOGIT_STRIDE).flatten(2).unflatten(0, pixels.shape[:2])
        unknown = self._unknown() if kind == "amodal" else None
        return Targets(self.classes, pixels, cells, self.present[_KINDS.index(kind)], unknown, self.labelled)

    def _unknown(self) -> Tensor | None:
        """Where shapes that are not known as a whole may go on, behind what is seen: see `Targets.unknown`."""
        if self.amodal_known.all():
            return None
        partial = torch.as_tensor(~self.amodal_known, device=self.packed.device)
        return self.masks("visible").any(dim=2) & partial[:, None, None, None]


def _stack_labelled(labelled: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.bool_] | None:
    """[B, K] of [K] each, None standing for all classes."""
    some = next((row for row in labelled if row is not None), None)
    return None if some is None else np.stack([np.ones_like(some) if row is None else row for row in labelled])
