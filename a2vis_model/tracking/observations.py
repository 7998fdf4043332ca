"""Frame of a clip prediction, copied from the device to the host at once."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..masks.certainty import certainty, loose_area
from ..masks.components import large_parts
from ..masks.outlines import OutlineCapacity, PixelGrid, positive_cells, trace
from ..masks.region import LOGIT_STRIDE, RegionMask
from ..masks.run_lengths import MaskRuns, Segments
from ..modeling import ClipPrediction
from ..placement import Placement
from ..transfer import fetch, upload
from .tracks import SlotObservation

CELL = 2 * LOGIT_STRIDE
"""Number of input pixels along each axis that a cell of the coarse masks covers."""


class FrameObservation(NamedTuple):
    """Predictions for one frame, on the host."""

    slots: SlotObservation
    runs: MaskRuns
    """Masks of one kind followed by those of the other, each kind in the order of the slots."""

    def masks(self, slot: int) -> tuple[RegionMask | None, RegionMask | None]:
        """Return visible and amodal mask of a slot in image pixels.

        Empty where its score was below the given minimum.
        """
        number, masks = slot, []
        for area in (self.slots.visible_area, self.slots.amodal_area):
            masks.append(None if area is None else self.runs.mask(number))
            number += 0 if area is None else len(area)
        return masks[0], masks[1]


class PredictionReader:
    """Reads frames of predictions, each with one synchronisation.

    A frame whose masks have more outline than the buffers on a GPU hold is read again with larger buffers, which are
    kept.

    Args:
        limits: initial size of the buffers; None, for a CPU, is unlimited.
    """

    def __init__(self, limits: OutlineCapacity | None) -> None:
        self._limits = limits

    @classmethod
    def on(cls, device: torch.device) -> "PredictionReader":
        """Return a reader for predictions on a device."""
        return cls(None if device.type == "cpu" else OutlineCapacity())

    def read(
        self,
        prediction: ClipPrediction,
        frame: int,
        place: Placement,
        least_scores: NDArray[np.float32],
        least_part: float = 0.0,
        prototypes: Tensor | None = None,
    ) -> FrameObservation:
        """Bring frame `frame` of a clip to the host.

        Args:
            prediction: prediction of batch size 1.
            frame: index along T.
            place: where the frame's image lies in the input.
            least_scores: lowest score [Q] at which a slot gets masks.
            least_part: parts of a mask smaller than this share of its largest are left out (see `large_parts`).
            prototypes: prototypes [Q, C] of the clip, by which tracks recognise their objects; None where there are no
                tracks.
        """
        least = upload(torch.from_numpy(least_scores), prediction.classes.device)
        while True:
            packed = fetch(pack(prediction, frame, place, least, self._limits, prototypes)).numpy()
            if self._limits is None or (packed[:3] <= self._limits).all():
                return _unpack(packed, prediction, place, least_part, 0 if prototypes is None else prototypes.shape[-1])
            needed = (1 << (found - 1).bit_length() for found in packed[:3].tolist())
            self._limits = OutlineCapacity(*map(max, self._limits, needed))


def frame_masks(prediction: ClipPrediction, frame: int) -> list[Tensor]:
    """Return the mask logits [Q, h, w] of frame `frame` of a clip, of each kind that the network predicts."""
    kinds = [masks[0, frame] for masks in (prediction.visible, prediction.amodal) if masks is not None]
    if not kinds:
        raise ValueError("the prediction holds no masks")
    return kinds


def slot_certainty(kinds: Sequence[Tensor], cells: Tensor) -> Tensor:
    """Return how certain slots are of their visible masks, [Q]; of the amodal ones where nothing is visible.

    Args:
        kinds: what `frame_masks` returns, K of them.
        cells: number of cells [K, Q] of the masks (see `positive_cells`).
    """
    sure = certainty(cells, torch.stack([loose_area(masks) for masks in kinds]))
    return torch.where(cells[0] > 0, sure[0], sure[-1])


def pack(
    prediction: ClipPrediction,
    frame: int,
    place: Placement,
    least_scores: Tensor,
    limits: OutlineCapacity | None,
    prototypes: Tensor | None = None,
) -> Tensor:
    """Pack everything that the host needs of a frame into one tensor int32 [N]; floats keep their bits.

    With `limits` it does not wait for the device (see `outlines.trace`).
    """
    probability = prediction.classes[0].float().softmax(dim=-1)
    scores, classes = probability[:, :-1].max(dim=-1)
    kinds = frame_masks(prediction, frame)
    # By definition an amodal mask contains the visible one: both functions see to that.
    positive = positive_cells(kinds)
    # Rows are counted in 16 bits, since PyTorch first converts all cells to the type of the sum.
    cells = positive.sum(dim=-1, dtype=torch.int16).sum(dim=-1, dtype=torch.int32)
    area = cells * LOGIT_STRIDE**2
    sure = slot_certainty(kinds, cells)
    scores, existence = scores * sure, (1 - probability[:, -1]) * sure
    grid = PixelGrid.of(positive.shape[-2], positive.shape[-1], place, positive.device)
    wanted = (scores >= least_scores).expand(len(kinds), -1)
    edges = trace(kinds, positive, wanted, grid, limits)
    if prototypes is None:
        prototypes = scores.new_zeros(len(scores), 0)
    prototypes = F.normalize(prototypes.float(), dim=-1)
    bits = _pack_bits(_coarse(positive.flatten(0, 1)))
    parts = (edges.found, classes, scores, existence, area, bits, prototypes, edges.mask, edges.position)
    return torch.cat([_as_int32(part).flatten() for part in parts])


def _unpack(
    packed: NDArray[np.int32], prediction: ClipPrediction, place: Placement, least_part: float, dim: int
) -> FrameObservation:
    q = prediction.classes.shape[1]
    kinds = [masks is not None for masks in (prediction.visible, prediction.amodal)]
    logits = next(masks for masks in (prediction.visible, prediction.amodal) if masks is not None)
    height, width = (-(-side // 2) for side in logits.shape[-2:])
    words = -(-height * width // 32)
    sizes = (3, q, q, q, q * sum(kinds), q * sum(kinds) * words, q * dim)
    ends = (0, *accumulate(sizes), len(packed))
    found, classes, scores, existence, area, cells, prototypes, edges = (packed[a:b] for a, b in pairwise(ends))
    areas = iter(area.reshape(-1, q).astype(np.int64))
    mask, position = edges.reshape(2, -1)[:, : found[2]]
    masks = iter(_unpack_bits(cells.reshape(-1, words), height, width).reshape(-1, q, height, width))
    slots = SlotObservation(
        classes=classes.astype(np.int64),
        scores=scores.view(np.float32),
        existence=existence.view(np.float32),
        visible_area=next(areas) if kinds[0] else None,
        amodal_area=next(areas) if kinds[1] else None,
        visible=next(masks) if kinds[0] else None,
        amodal=next(masks) if kinds[1] else None,
        prototypes=prototypes.view(np.float32).reshape(q, dim),
    )
    segments = Segments.between(mask, position, place)
    if least_part:
        segments = segments.choose(large_parts(segments, place, q if all(kinds) else None, least_part))
    return FrameObservation(slots, MaskRuns(segments, place))


def _as_int32(values: Tensor) -> Tensor:
    return values.contiguous().view(torch.int32) if values.is_floating_point() else values.to(torch.int32)


def _coarse(positive: Tensor) -> Tensor:
    """Halve the resolution of bool [M, h, w] to [M, ceil(h / 2), ceil(w / 2)].

    A cell is set where any of its four cells is.
    """
    height, width = positive.shape[-2:]
    even = F.pad(positive, (0, width % 2, 0, height % 2)) if height % 2 or width % 2 else positive
    # Two neighbours in a row are the two bytes of one number, which is much faster than a pooling.
    return (even[:, ::2] | even[:, 1::2]).view(torch.int16) != 0


def _pack_bits(masks: Tensor) -> Tensor:
    """Pack bool [M, h, w] → int32 [M, ceil(h w / 32)]: one bit per cell, lowest first, with zeros at the end."""
    flat = masks.flatten(1)
    words = F.pad(flat, (0, -flat.shape[1] % 32)).unflatten(1, (-1, 32)).to(torch.int32)
    shift = torch.arange(32, dtype=torch.int32, device=masks.device)
    return (words << shift).sum(dim=-1, dtype=torch.int32)


def _unpack_bits(words: NDArray[np.int32], height: int, width: int) -> NDArray[np.bool_]:
    """Undo `_pack_bits`: int32 [M, N] → bool [M, height, width]."""
    count = height * width
    little = words.astype("<i4", copy=False).view(np.uint8)
    bits = np.unpackbits(little, axis=-1, count=count, bitorder="little")
    return bits.view(np.bool_).reshape(-1, height, width)
