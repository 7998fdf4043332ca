"""Pixel decoder: deformable attention over the coarse levels, then a feature pyramid down to stride 4.

Mask2Former's MSDeformAttn pixel decoder (Cheng et al. 2022), which VITA, GenVIS and A2VIS build on (paper 4.2).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .deformable_attention import DeformableAttention, Sampling
from .layers import FeedForward
from .position import sine_position_2d

STRIDES = (4, 8, 16, 32)


class PixelFeatures(NamedTuple):
    """Output of the pixel decoder for N images."""

    pixels: Tensor
    """Finest map P, [N, C, H/4, W/4], from which all mask features are computed."""
    memory: tuple[Tensor, ...]
    """Maps for the frame decoder to attend to, [N, C, H/s, W/s], coarsest first."""


def _projection(in_channels: int, dim: int, groups: int, *, bias: bool) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, dim, 1, bias=bias)
    nn.init.xavier_uniform_(conv.weight)
    return nn.Sequential(conv, nn.GroupNorm(groups, dim))


def _fusion(dim: int, groups: int, *, separable: bool) -> nn.Sequential:
    if separable:
        conv: nn.Module = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False), nn.Conv2d(dim, dim, 1, bias=False)
        )
    else:
        conv = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(groups, dim), nn.ReLU())


class PixelDecoderLayer(nn.Module):
    """One post-norm encoder layer over the tokens of all attended levels: [N, S, dim] → [N, S, dim]."""

    def __init__(self, *, dim: int, heads: int, levels: int, points: int, ffn_dim: int, sampling: Sampling) -> None:
        super().__init__()
        self.attention = DeformableAttention(dim=dim, heads=heads, levels=levels, points=points, sampling=sampling)
        self.norm = nn.LayerNorm(dim)
        self.ffn = FeedForward(dim=dim, hidden_dim=ffn_dim)

    def forward(
        self,
        tokens: Tensor,
        position: Tensor,
        reference: Tensor,
        cell_size: Tensor,
        sizes: Sequence[tuple[int, int]],
    ) -> Tensor:
        """Update tokens [N, S, dim] (see `DeformableAttention.forward` for the other arguments)."""
        read = self.attention(tokens + position, tokens, reference, cell_size, sizes)
        return self.ffn(self.norm(tokens + read))


class PixelDecoder(nn.Module):
    """Multi-scale deformable attention on the coarse backbone maps, feature pyramid on the fine ones.

    Args:
        in_channels: channels of the backbone's maps at strides 4, 8, 16 and 32.
        dim: channels C of every map inside.
        mask_dim: channels of the mask features.
        layers: deformable encoder layers.
        heads: attention heads.
        points: sampling points per head and level.
        ffn_dim: hidden size of the encoder's feed-forward blocks.
        attended: how many levels, counted from stride 32, take part in attention; the others join in the
            feature pyramid. Mask2Former attends to 3 (strides 32, 16, 8).
        groups: groups of the group norms.
        separable: make the pyramid's 3x3 convolutions depthwise-separable.
        sampling: how deformable attention samples, see `sample_bilinear`.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        dim: int,
        mask_dim: int,
        layers: int,
        heads: int,
        points: int,
        ffn_dim: int,
        attended: int,
        groups: int,
        separable: bool,
        sampling: Sampling,
    ) -> None:
        super().__init__()
        if not 1 <= attended < len(STRIDES):
            raise ValueError(f"attended={attended} levels; choose 1 to {len(STRIDES) - 1}")
        self.strides = tuple(reversed(STRIDES))[:attended]
        coarse_first = list(reversed(in_channels))
        self.input_proj = nn.ModuleList(
            _projection(channels, dim, groups, bias=True) for channels in coarse_first[:attended]
        )
        self.level_embed = nn.Parameter(torch.randn(attended, dim))
        self.layers = nn.ModuleList(
            PixelDecoderLayer(dim=dim, heads=heads, levels=attended, points=points, ffn_dim=ffn_dim, sampling=sampling)
            for _ in range(layers)
        )
        self.lateral = nn.ModuleList(
            _projection(channels, dim, groups, bias=False) for channels in coarse_first[attended:]
        )
        self.fusion = nn.ModuleList(_fusion(dim, groups, separable=separable) for _ in coarse_first[attended:])
        self.mask_conv = nn.Conv2d(dim, mask_dim, 1)
        self.position: Tensor
        self.reference: Tensor
        self.cell_size: Tensor
        self.sizes: tuple[tuple[int, int], ...] = ()

    def prepare(self, height: int, width: int) -> None:
        """Build positions and reference points for images of this size (pixels, multiples of 32)."""
        self.sizes = tuple((height // stride, width // stride) for stride in self.strides)
        dim = self.level_embed.shape[1]
        position = torch.cat([sine_position_2d(h, w, dim) for h, w in self.sizes])
        reference = torch.cat([_cell_centres(h, w) for h, w in self.sizes])
        cell_size = torch.tensor([(1 / w, 1 / h) for h, w in self.sizes])
        device = self.level_embed.device
        self.register_buffer("position", position.to(device), persistent=False)
        self.register_buffer("reference", reference.to(device), persistent=False)
        self.register_buffer("cell_size", cell_size.to(device), persistent=False)

    def forward(self, features: Sequence[Tensor]) -> PixelFeatures:
        """Decode backbone maps [N, C_s, H/s, W/s] at strides s = 4, 8, 16, 32."""
        coarse_first = list(reversed(features))
        attended = len(self.sizes)
        got = tuple(tuple(feature.shape[-2:]) for feature in coarse_first[:attended])
        if got != self.sizes or not attended:
            raise ValueError(
                f"feature sizes {got} are not the prepared {self.sizes}; call prepare(height, width) first"
            )
        projected = [proj(feature) for proj, feature in zip(self.input_proj, coarse_first[:attended], strict=True)]
        tokens = torch.cat([x.flatten(2).transpose(1, 2) for x in projected], dim=1)
        lengths = [h * w for h, w in self.sizes]
        level = torch.cat([e.expand(n, -1) for e, n in zip(self.level_embed.split(1), lengths, strict=True)])
        for layer in self.layers:
            tokens = layer(tokens, self.position + level, self.reference, self.cell_size, self.sizes)
        memory = tuple(
            x.transpose(1, 2).unflatten(2, size)
            for x, size in zip(tokens.split(lengths, dim=1), self.sizes, strict=True)
        )
        pixels = memory[-1]
        for lateral, fusion, feature in zip(self.lateral, self.fusion, coarse_first[attended:], strict=True):
            side = lateral(feature)
            up = F.interpolate(pixels, size=side.shape[-2:], mode="bilinear", align_corners=False)
            pixels = fusion(side + up)
        return PixelFeatures(pixels=pixels, memory=memory)

    def mask_features(self, pixels: Tensor) -> Tensor:
        """Compute pixel embeddings of the frame decoder's masks: [N, C, h, w] → [N, mask_dim, h, w].

        The convolution is 1x1 and bilinear weights add up to one, so resizing `pixels` before it gives the
        same features as resizing after, at a fraction of the work.
        """
        return self.mask_conv(pixels)


def _cell_centres(height: int, width: int) -> Tensor:
    """Return centres (x, y) in [0, 1] of a map's cells, row-major: [height · width, 2]."""
    y = (torch.arange(height, dtype=torch.float32) + 0.5) / height
    x = (torch.arange(width, dtype=torch.float32) + 0.5) / width
    return torch.stack((x[None].expand(height, width), y[:, None].expand(height, width)), dim=-1).flatten(0, 1)
