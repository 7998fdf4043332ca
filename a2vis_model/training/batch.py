"""Input of a training step: images, and the objects to be found in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
    """The objects of I items (images, clips or sequences) of T frames: n per item, of which some may be padding."""

    classes: NDArray[np.int64]
    """Classes [I, n] on the host, where matching is done."""
    pixels: Tensor
    """Masks, bool [I, T, n, H, W]; all false in padding."""
    cells: Tensor
    """Share of each cell of the mask logits that is covered, float32 [I, T, n, h · w]."""
    present: NDArray[np.bool_]
    """Whether a mask has a pixel, [I, T, n] on the host; never true in padding."""
    unknown: Tensor | None = None
    """Pixels that may belong to an object although its mask does not hold them, bool [I, T, H, W].

    Only the objects whose masks hold such a pixel can be supervised there. None where every mask is complete.
    """
    labelled: NDArray[np.bool_] | None = None
    """Classes of which every object is annotated, [I, K] on the host; None for all."""

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
        """Compute the share of each cell known to belong or not to belong to each object: [I, T, n, h · w]."""
        if self.unknown is None:
            return None
        unknown = F.avg_pool2d(self.unknown[items].float(), LOGIT_STRIDE).flatten(2).unsqueeze(2)
        # The known part of a shape is where the object is, or was, visible.
        return 1 - (unknown - self.cells[items]).clamp(min=0)


@dataclass(frozen=True)
class Batch:
    """A batch of B sequences of F frames. In all masks objects come after frames, so that cutting time never copies."""

    images: Tensor
    """Images, uint8 [B, F, H, W, 3] RGB."""
    packed: Tensor
    """Visible, then amodal masks, uint8 [2, B, F, n, H, W / 8].

    A byte holds eight pixels, the first one in the highest bit. The masks are most of what loader processes hand over
    and what is copied to a GPU.
    """
    classes: NDArray[np.int64]
    """Classes [B, n]."""
    present: NDArray[np.bool_]
    """Whether the mask, visible or amodal, has a pixel: [2, B, F, n]."""
    amodal_known: NDArray[np.bool_]
    """Whether the amodal masks are complete shapes (see `TrainingSample`): [B]."""
    labelled: NDArray[np.bool_] | None
    """Classes of which every object is annotated, [B, K]; None for all."""
    _targets: dict[MaskKind, Targets] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Targets that were asked for before: several losses of a step ask for the same, of one network or of many."""

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
        """Return the batch with its tensors on another device."""
        images, packed = (x.to(device, non_blocking=True) for x in (self.images, self.packed))
        return replace(self, images=images, packed=packed)

    def pin_memory(self) -> Batch:
        """Copy the batch to page-locked memory for the data loader, so that copying to a GPU does not block."""
        return replace(self, images=self.images.pin_memory(), packed=self.packed.pin_memory())

    def cut(self, frames: slice) -> Batch:
        """Return some of the frames."""
        return replace(
            self,
            images=self.images[:, frames],
            packed=self.packed[:, :, frames],
            present=self.present[:, :, frames],
        )

    def normalised(self) -> Tensor:
        """Return the network's input, float32 [B, F, 3, H, W], channels last in memory."""
        # The constants cover whole rows: single pixels are too short for a processor's vector instructions.
        width = self.images.shape[3]
        mean = torch.tensor(PIXEL_MEAN, device=self.images.device).repeat(width)
        scale = (1 / torch.tensor(PIXEL_STD, device=self.images.device)).repeat(width)
        rows = self.images.flatten(3).float().sub_(mean).mul_(scale)
        return rows.unflatten(3, (width, 3)).permute(0, 1, 4, 2, 3)

    def masks(self, kind: MaskKind) -> Tensor:
        """Unpack the masks of a kind: bool [B, F, n, H, W]."""
        bits = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=self.packed.device)
        return (self.packed[_KINDS.index(kind)].unsqueeze(-1) & bits).ne(0).flatten(-2)

    def cells(self, kind: MaskKind) -> Tensor:
        """Return which share of each cell of the mask logits is covered, float32 [B, F, n, h · w].

        Pixels are counted in packed bytes, each of which holds a row of two cells.
        """
        counts = self.packed[_KINDS.index(kind)]
        counts = (counts & 0x55) + (counts >> 1 & 0x55)
        counts = (counts & 0x33) + (counts >> 2 & 0x33)
        rows = torch.stack((counts >> 4, counts & 0x0F), dim=-1).flatten(-2)
        covered = rows.unflatten(-2, (-1, LOGIT_STRIDE)).sum(dim=-2, dtype=torch.uint8)
        return covered.flatten(-2).float() / LOGIT_STRIDE**2

    def targets(self, kind: MaskKind) -> Targets:
        """Return the objects with one kind of masks; the batch keeps them."""
        if kind not in self._targets:
            present, unknown = self.present[_KINDS.index(kind)], self._unknown() if kind == "amodal" else None
            pixels, cells = self.masks(kind), self.cells(kind)
            self._targets[kind] = Targets(self.classes, pixels, cells, present, unknown, self.labelled)
        return self._targets[kind]

    def _unknown(self) -> Tensor | None:
        """Mark where incomplete shapes may extend behind other objects (see `Targets.unknown`)."""
        if self.amodal_known.all():
            return None
        partial = torch.as_tensor(~self.amodal_known, device=self.packed.device)
        return self.masks("visible").any(dim=2) & partial[:, None, None, None]


def _stack_labelled(labelled: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.bool_] | None:
    """Stack [K] each to [B, K]; None stands for all classes."""
    some = next((row for row in labelled if row is not None), None)
    return None if some is None else np.stack([np.ones_like(some) if row is None else row for row in labelled])
