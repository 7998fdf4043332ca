"""Pixel normalisation of imported weights, folded into the first layer.

The layer then takes our pixels: RGB, normalised with ImageNet's mean and standard deviation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..preprocessing import PIXEL_MEAN, PIXEL_STD

PIXEL_KEYS = ("pixel_mean", "pixel_std")
"""Keys of the pixel normalisation in detectron2's checkpoints."""
_FIRST_LAYERS = (
    ("detector.backbone.stem.conv.weight", "detector.backbone.stem.norm.running_mean"),
    ("detector.backbone.patch_embed.proj.weight", "detector.backbone.patch_embed.proj.bias"),
)
"""First convolutions, and the tensor that can subtract a constant from their output: a batch norm's mean, or a bias."""


@dataclass(frozen=True)
class Pixels:
    """Normalisation of the pixels that a network was trained with.

    Attributes:
        mean: mean of the channels in 0..255, red first.
        std: standard deviation of the channels in 0..255, red first.
        bgr: whether the network takes blue first.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool = False

    @property
    def is_ours(self) -> bool:
        """Return whether the normalisation is already ours."""
        ours = torch.tensor([PIXEL_MEAN, PIXEL_STD])
        return not self.bgr and torch.allclose(torch.tensor([self.mean, self.std]), ours, rtol=1e-3)

    def __str__(self) -> str:
        order = "BGR" if self.bgr else "RGB"
        return f"{order} images of mean {_text(self.mean)} and std {_text(self.std)} (red first)"


def pixels_of(state: Mapping[str, Tensor]) -> Pixels | None:
    """Read a checkpoint's own `pixel_mean` and `pixel_std` (detectron2); None where it has none.

    The order of the channels is inferred from the means: ImageNet's red is brighter than its blue. Where both are
    equal,
    it is BGR, detectron2's default.
    """
    if any(key not in state for key in PIXEL_KEYS):
        return None
    mean, std = (state[key].float().flatten().tolist() for key in PIXEL_KEYS)
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        return None
    if mean[0] <= mean[2]:
        return Pixels(tuple(mean[::-1]), tuple(std[::-1]), bgr=True)
    return Pixels(tuple(mean), tuple(std))


def read_our_pixels(tensors: dict[str, tuple[str, Tensor]], pixels: Pixels) -> None:
    """Fold another pixel normalisation into the first layer in place, so that it takes ours.

    This is exact except at the image's border, where zero padding means another grey.

    Args:
        tensors: our names, each with its foreign name and tensor.
        pixels: pixel normalisation that the layer was trained with.
    """
    for weight_name, offset_name in _FIRST_LAYERS:
        if weight_name not in tensors or offset_name not in tensors:
            continue
        (foreign_weight, weight), (foreign_offset, offset) = tensors[weight_name], tensors[offset_name]
        if weight.dim() != 4 or weight.shape[1] != len(PIXEL_STD) or offset.shape != weight.shape[:1]:
            continue  # A layer of another architecture: it does not fit the model and will be skipped.
        weight = weight.float().flip(1) if pixels.bgr else weight.float()
        std = torch.tensor(pixels.std)
        constant = weight.sum(dim=(2, 3)) @ ((torch.tensor(PIXEL_MEAN) - torch.tensor(pixels.mean)) / std)
        weight = weight * (torch.tensor(PIXEL_STD) / std)[:, None, None]
        tensors[weight_name] = foreign_weight, weight
        tensors[offset_name] = foreign_offset, offset - constant if "running_mean" in offset_name else offset + constant


def _text(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)
