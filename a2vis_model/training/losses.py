"""Losses between matched pairs: classes, masks at sampled points, similarity of embeddings (paper 3.8, Eq. 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .value_checks import check_at_least

_LEAST_MARGIN = 8.0
"""Least pixels around a hidden part from which points are drawn too."""


@dataclass(frozen=True)
class PointSampling:
    """Points at which masks are compared, mostly where predictions are uncertain (PointRend, Mask2Former).

    `points` per mask and frame are kept of `oversample` times as many random ones, a share `importance` of them for
    being uncertain, the others at random. For an amodal mask a share `hidden` of the points, in place of as many
    uncertain ones, lies in and around its hidden part where it has one: that part covers a few hundredths of a mask's
    area, so that random points hardly ever hit it.
    """

    points: int = 4096
    oversample: float = 3.0
    importance: float = 0.75
    hidden: float = 0.25

    def __post_init__(self) -> None:
        check_at_least(1, self, "points")


def class_loss(logits: Tensor, labels: Tensor, groups: int, no_object: float, labelled: Tensor | None = None) -> Tensor:
    """Cross-entropy, averaged over the slots of a group and summed over groups and layers.

    A slot without an object may show an object of a class that its item does not label: the probabilities of such
    classes and of "no object" are added up.

    Args:
        logits: logits [L, I, Q, K + 1], "no object" last; item i belongs to group i mod `groups`.
        labels: class of each slot, int64 [L, I, Q].
        groups: number of groups: the clips of a sequence, each of which has a loss of its own.
        no_object: weight of slots whose label is "no object".
        labelled: classes of which every object is known, bool [I, K]; None for all.
    """
    none = logits.shape[-1] - 1
    logits = logits.float()
    loss = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none").view(labels.shape)
    if labelled is not None:
        allowed = F.pad(~labelled, (0, 1), value=True).unsqueeze(1)
        empty = logits.logsumexp(dim=-1) - logits.masked_fill(~allowed, -torch.inf).logsumexp(dim=-1)
        loss = torch.where(labels == none, empty, loss)
    weight = torch.where(labels == none, no_object, 1.0)
    grouped = [x.unflatten(1, (-1, groups)).sum(dim=(1, 3)) for x in (loss * weight, weight)]
    return (grouped[0] / grouped[1]).sum()


def mask_losses(
    logits: Tensor,
    pixels: Tensor,
    item: Tensor,
    instance: Tensor,
    weight: Tensor,
    sampling: PointSampling,
    unknown: Tensor | None = None,
    hidden: HiddenParts | None = None,
) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy and dice loss of matched masks over T frames, where the masks are known.

    Args:
        logits: logits [R, T, h, w] of the R matched predictions.
        pixels: masks of all objects, bool [I, T, n, H, W].
        item: item of the target of each prediction, int64 [R].
        instance: object of the target of each prediction within its item, int64 [R].
        weight: weight of each prediction, float32 [R].
        sampling: choice of the points.
        unknown: pixels that say nothing about the objects whose masks do not hold them, bool [I, T, H, W] (see
            `Targets`).
        hidden: hidden parts of the objects, for amodal masks.

    Returns:
        The two losses.
    """

    def known_at(points: Tensor) -> Tensor:
        assert unknown is not None
        covered = sample_pixels(unknown.unsqueeze(2), item, torch.zeros_like(instance), points)
        return torch.maximum(1 - covered, sample_pixels(pixels, item, instance, points))

    points = uncertain_points(logits, sampling) if unknown is None else uncertain_points(logits, sampling, known_at)
    if hidden is not None:
        points = hidden.replace(points, item, instance, round(sampling.points * sampling.hidden))
    values = sample_logits(logits, points).flatten(1)
    targets = sample_pixels(pixels, item, instance, points).flatten(1)
    known = torch.ones_like(values) if unknown is None else known_at(points).flatten(1)
    cross_entropy = F.binary_cross_entropy_with_logits(values, targets, reduction="none")
    cross_entropy = (cross_entropy * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)
    return (cross_entropy * weight).sum(), (dice_loss(values, targets, known) * weight).sum()


def dice_loss(logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """Dice loss 1 - (2·|A∩B| + 1) / (|A| + |B| + 1) of soft sets [R, P] → [R]; zero for a confidently empty pair.

    Only places that are known count: `known` gives a share of each [R, P].
    """
    probability = logits.sigmoid() * known
    overlap = (probability * targets).sum(dim=1)
    return 1 - (2 * overlap + 1) / (probability.sum(dim=1) + targets.sum(dim=1) + 1)


@torch.no_grad()
def uncertain_points(
    logits: Tensor, sampling: PointSampling, known_at: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Choose points of each map [R, T, h, w] → [R, T, P, 2], x and y in [0, 1].

    `known_at` tells which points are known, 1 or 0: a network stays uncertain where it is not supervised, and the
    points would gather there.
    """
    keep = round(sampling.points * sampling.importance)
    count = max(round(sampling.points * sampling.oversample), keep)
    rows = logits.shape[:2]
    candidates = torch.rand(*rows, count, 2, device=logits.device)
    uncertainty = -sample_logits(logits, candidates).abs()
    if known_at is not None:
        uncertainty = uncertainty.masked_fill(known_at(candidates) == 0, -torch.inf)
    chosen = uncertainty.topk(keep, dim=-1, sorted=False).indices
    certain = torch.rand(*rows, sampling.points - keep, 2, device=logits.device)
    return torch.cat((candidates.gather(2, chosen.unsqueeze(-1).expand(-1, -1, -1, 2)), certain), dim=2)


class HiddenParts:
    """Where objects are hidden, and which points are drawn in and around these parts.

    Points are drawn from the box of a hidden part, grown by a quarter of its sides and by `_LEAST_MARGIN` at least. Its
    own pixels alone would teach that whatever may be hidden is: a mask that reaches too far would hardly be punished,
    and the smaller the object, the less.

    Args:
        visible: visible masks of all objects, bool [I, T, n, H, W].
        amodal: amodal masks of all objects, bool [I, T, n, H, W].
    """

    def __init__(self, visible: Tensor, amodal: Tensor) -> None:
        hidden = amodal & ~visible
        self.shape = hidden.shape[:3]
        # On a CPU the greatest byte is found several times as fast as any that is true.
        columns, rows = (hidden.view(torch.uint8).amax(dim=side).ne(0).flatten(0, 2) for side in (-2, -1))
        self.found = rows.any(dim=-1)
        """Whether something is hidden, bool [I · T · n]."""
        first, last = zip(_extent(columns), _extent(rows), strict=True)
        self.first, self.size = torch.stack(first, dim=-1), torch.stack(last, dim=-1) - torch.stack(first, dim=-1)
        """Corner and sides of the grown boxes, x and y in [0, 1], [I · T · n, 2]."""

    def replace(self, points: Tensor, item: Tensor, instance: Tensor, number: int) -> Tensor:
        """Replace the first `number` points of masks that have a hidden part by random ones in and around it.

        Args:
            points: points [R, T, P, 2], x and y in [0, 1].
            item: item of the mask of each row, int64 [R].
            instance: object of the mask of each row within its item, int64 [R].
            number: number of points to replace, at most P.
        """
        frames, objects = self.shape[1:]
        mask = (item[:, None] * frames + torch.arange(frames, device=points.device)) * objects + instance[:, None]
        place = torch.rand(*mask.shape, number, 2, device=points.device)
        around = self.first[mask].unsqueeze(2) + place * self.size[mask].unsqueeze(2)
        replaced = torch.cat((around, points[:, :, number:]), dim=2)
        return torch.where(self.found[mask][..., None, None], replaced, points)


def _extent(covered: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the lines [R, S] begin and end that are covered, grown and within [0, 1]: twice [R]."""
    size = covered.shape[-1]
    first = covered.int().argmax(dim=-1).float()
    last = size - covered.flip(-1).int().argmax(dim=-1).float()
    margin = ((last - first) / 4).clamp(min=_LEAST_MARGIN)
    return (first - margin).clamp(min=0) / size, (last + margin).clamp(max=size) / size


def sample_logits(logits: Tensor, points: Tensor) -> Tensor:
    """Interpolate maps [R, T, h, w] at points [R, T, P, 2], as enlarging them to the image does: [R, T, P]."""
    maps = logits.float().flatten(0, 1).unsqueeze(1)
    grid = 2 * points.flatten(0, 1).unsqueeze(1) - 1
    sampled = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    return sampled.view(points.shape[:3])


def sample_pixels(pixels: Tensor, item: Tensor, instance: Tensor, points: Tensor) -> Tensor:
    """Read pixels of masks at points: row r of the result is of object `instance[r]` of item `item[r]`.

    Args:
        pixels: masks, bool [I, T, n, H, W].
        item: item of each row, int64 [R].
        instance: object within the item, int64 [R].
        points: points [R, T, P, 2], x and y in [0, 1].

    Returns:
        The pixels [R, T, P].
    """
    frames, count, height, width = pixels.shape[1:]
    x = (points[..., 0] * width).long().clamp(max=width - 1)
    y = (points[..., 1] * height).long().clamp(max=height - 1)
    frame = torch.arange(frames, device=pixels.device)
    mask = (item[:, None] * frames + frame) * count + instance[:, None]
    return pixels.reshape(-1)[(mask[..., None] * height + y) * width + x].float()


def similarity_loss(embeddings: Tensor, identities: Tensor, groups: int) -> Tensor:
    """Embeddings of the same object should have a positive inner product, others a negative one (VITA).

    Args:
        embeddings: embeddings [I, E, C].
        identities: object within the item, int64 [I, E]; negative where there is none.
        groups: number of groups (see `class_loss`).
    """
    embeddings = embeddings.float()
    real = identities >= 0
    pairs = (real[:, :, None] & real[:, None]).float()
    same = (identities[:, :, None] == identities[:, None]).float()
    products = embeddings @ embeddings.transpose(1, 2)
    loss = F.binary_cross_entropy_with_logits(products, same, reduction="none") * pairs
    grouped = [x.unflatten(0, (-1, groups)).sum(dim=(0, 2, 3)) for x in (loss, pairs)]
    return (grouped[0] / grouped[1].clamp(min=1)).sum()
