"""Which images a network was trained on, and how its first layer is made to read ours: RGB, ImageNet's mean and std."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..preprocessing import PIXEL_MEAN, PIXEL_STD

PIXEL_KEYS = ("pixel_mean", "pixel_std")
"""What detectron2 calls them in its checkpoints."""
_FIRST_LAYERS = (
    ("detector.backbone.stem.conv.weight", "detector.backbone.stem.norm.running_mean"),
    ("detector.backbone.patch_embed.proj.weight", "detector.backbone.patch_embed.proj.bias"),
)
"""The convolution, and what can take a constant off its output: the mean of a batch norm, or else a bias."""


@dataclass(frozen=True)
class Pixels:
    """How the pixels of images were given to a network.

    Attributes:
        mean, std: of the channels in 0..255, red first.
        bgr: whether the network took blue first.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether nothing is to be done."""
        ours = torch.tensor([PIXEL_MEAN, PIXEL_STD])
        return not self.bgr and torch.allclose(torch.tensor([self.mean, self.std]), ours, rtol=1e-3)

    def __str__(self) -> str:
        order = "BGR" if self.bgr else "RGB"
        return f"{order} images of mean {_text(self.mean)} and std {_text(self.std)} (red first)"


def pixels_of(state: Mapping[str, Tensor]) -> Pixels | None:
    """What a checkpoint's own `pixel_mean` and `pixel_std` say (detectron2); None where it has none.

    The order of the channels is seen by the means: ImageNet's red is brighter than its blue. Where both are the same,
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
    """Fold other pixels into the first layer, so that it reads ours, in place.

    Exact but for the image's border: padding with zeros means another grey there.

    Args:
        tensors: our names to foreign names and tensors.
        pixels: those that the layer was trained with.
    """
    for weight_name, offset_name in _FIRST_LAYERS:
        if weight_name not in tensors or offset_name not in tensors:
            continue
        (foreign_weight, weight), (foreign_offset, offset) = tensors[weight_name], tensors[offset_name]
        if weight.dim() != 4 or weight.shape[1] != len(PIXEL_STD) or offset.shape != weight.shape[:1]:
            continue  # of another architecture; what does not fit the model will be skipped
        weight = weight.float().flip(1) if pixels.bgr else weight.float()
        std = torch.tensor(pixels.std)
        constant = weight.sum(dim=(2, 3)) @ ((torch.tensor(PIXEL_MEAN) - torch.tensor(pixels.mean)) / std)
        weight = weight * (torch.tensor(PIXEL_STD) / std)[:, None, None]
        tensors[weight_name] = foreign_weight, weight
        tensors[offset_name] = foreign_offset, offset - constant if "running_mean" in offset_name else offset + constant


def _text(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)
