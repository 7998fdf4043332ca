"""Spatiotemporal-prior Amodal Mask Head (SAMH; paper 3.5, Fig. 3, Algorithm 1)."""

from functools import reduce
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import MLP, CrossAttention, SelfAttention, attention_bias, mask_product
from .position import sine_position_2d, sine_position_3d


class AmodalFeatures(NamedTuple):
    """Output of Ω for N frames."""

    attention: Tensor
    """Attention features O, [N, C, H/key_stride, W/key_stride]: keys and values of SAMH's attention."""
    mask: Tensor
    """Amodal mask features E, [N, C, H/4, W/4]: pixel embeddings of the amodal masks."""


class SamhOutput(NamedTuple):
    """Output of SAMH for a clip."""

    amodal: list[Tensor]
    """Amodal masks A^k, logits [B, T, Q, H/4, W/4], before each layer and after the last; the last are the answer."""
    prototypes: Tensor
    """Prototypes p^G [B, Q, dim] after the last layer, which the next clip starts from."""


class AmodalFeatureExtraction(nn.Module):
    """Amodal feature extraction Ω: a chain of 3x3 convolutions; its first half yields O, its second half E.

    ReLU stands between convolutions; O and E themselves are linear.

    Args:
        channels: channels of F, O and E.
        layers: number of convolutions, 2 or more; the first ⌈layers / 2⌉ lead to O.
        stride: image pixels a cell of the convolutions covers: 4 as in the paper, or a multiple of it, such as 8 for a
            quarter of the work (E is then interpolated back to stride 4).
        residual: let E start as F and the convolutions learn the difference, so that amodal masks begin as
            the visible ones; it also gives E its fine detail back where `stride` is above 4.
        position: add sine positions of x and y to what the first convolution reads, so that E knows where a cell
            is and a prototype can place what no pixel shows.
    """

    def __init__(self, *, channels: int, layers: int, stride: int, residual: bool, position: bool) -> None:
        super().__init__()
        if layers < 2:
            raise ValueError(f"layers={layers}: Ω needs 2 or more, one for O and one for E")
        self.pool = stride // 4
        self.residual = residual
        self.split = (layers + 1) // 2
        convs = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(layers)]
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        if residual:
            nn.init.zeros_(convs[-1].weight)
        self.convs = nn.ModuleList(convs)
        self.position: Tensor | None
        self.register_buffer("position", torch.zeros(channels, 1, 1) if position else None, persistent=False)

    def prepare(self, height: int, width: int) -> None:
        """Build the positions for images of this size (pixels)."""
        if self.position is not None:
            stride = 4 * self.pool
            height, width = height // stride, width // stride
            position = sine_position_2d(height, width, len(self.position)).T.unflatten(1, (height, width))
            self.register_buffer("position", position.to(self.position), persistent=False)

    def forward(self, features: Tensor) -> AmodalFeatures:
        """Compute O at this module's stride and E at stride 4 from F [N, C, h, w] at stride 4."""
        x = F.avg_pool2d(features, self.pool) if self.pool > 1 else features
        if self.position is not None:
            x = x + self.position
        attention = x
        for i, conv in enumerate(self.convs):
            x = conv(F.relu(x) if i else x)
            if i + 1 == self.split:
                attention = x
        if self.pool > 1:
            x = F.interpolate(x, size=features.shape[-2:], mode="bilinear", align_corners=False)
        return AmodalFeatures(attention=attention, mask=features + x if self.residual else x)


class SamhLayer(nn.Module):
    """Spatiotemporal-prior masked attention, then self-attention between the prototypes (no feed-forward)."""

    def __init__(self, *, dim: int, heads: int, memory_dim: int) -> None:
        super().__init__()
        self.cross = CrossAttention(dim=dim, heads=heads, memory_dim=memory_dim)
        self.self_attention = SelfAttention(dim=dim, heads=heads)

    def forward(self, x: Tensor, position: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """Update prototypes x [B, Q, dim] from keys and values [B, S, memory_dim] under the prior's bias [B, Q, S]."""
        return self.self_attention(self.cross(x, position, key, value, bias), position)


class SAMH(nn.Module):
    """Amodal mask head that decodes amodal characteristics into the prototypes and predicts amodal masks.

    Args:
        dim: channels of the prototypes.
        mask_dim: channels of the frame features.
        heads: attention heads.
        layers: number of decoding layers L.
        conv_layers: number of convolutions of Ω.
        vspm: attend within what is visible somewhere in the clip (short range).
        aspm: attend within the amodal mask known so far (long range). Without both priors attention is plain
            cross-attention (paper Table 4).
        feature_stride: stride of Ω's convolutions, 4 or a multiple of it.
        key_stride: stride of the attention's keys, `feature_stride` or a multiple of it. Both divide the images' sides.
        residual, position: see `AmodalFeatureExtraction`.
    """

    def __init__(
        self,
        *,
        dim: int,
        mask_dim: int,
        heads: int,
        layers: int,
        conv_layers: int,
        vspm: bool,
        aspm: bool,
        feature_stride: int,
        key_stride: int,
        residual: bool,
        position: bool,
    ) -> None:
        super().__init__()
        if feature_stride < 4 or feature_stride % 4:
            raise ValueError(f"feature_stride={feature_stride}; choose 4 or a multiple of it")
        if key_stride < feature_stride or key_stride % feature_stride:
            raise ValueError(f"key_stride={key_stride}; choose feature_stride={feature_stride} or a multiple of it")
        self.vspm, self.aspm = vspm, aspm
        self.key_stride = key_stride
        self.key_pool = key_stride // feature_stride
        self.features = AmodalFeatureExtraction(
            channels=mask_dim, layers=conv_layers, stride=feature_stride, residual=residual, position=position
        )
        self.layers = nn.ModuleList(SamhLayer(dim=dim, heads=heads, memory_dim=mask_dim) for _ in range(layers))
        self.mask_embed = MLP(in_dim=dim, hidden_dim=dim, out_dim=mask_dim, layers=3)
        self.mask_dim = mask_dim
        self.position: Tensor

    def prepare(self, height: int, width: int, frames: int) -> None:
        """Build the positions for clips of `frames` images of this size (pixels)."""
        self.features.prepare(height, width)
        position = sine_position_3d(frames, height // self.key_stride, width // self.key_stride, self.mask_dim)
        device = next(self.parameters()).device
        self.register_buffer("position", position.to(device), persistent=False)

    def extract(self, features: Tensor) -> AmodalFeatures:
        """Apply Ω to frame features F [N, mask_dim, H/4, W/4]; the result depends on single frames only."""
        attention, mask = self.features(features)
        if self.key_pool > 1:
            attention = F.avg_pool2d(attention, self.key_pool)
        return AmodalFeatures(attention=attention, mask=mask)

    def forward(self, prototypes: Tensor, slot: Tensor, visible: Tensor, attention: Tensor, mask: Tensor) -> SamhOutput:
        """Run Algorithm 1 on a clip.

        Args:
            prototypes: p^G [B, Q, dim].
            slot: embedding of each slot [Q, dim], the queries' position.
            visible: M^k, logits [B, T, Q, H/4, W/4].
            attention: O^k [B, T, mask_dim, H/key_stride, W/key_stride].
            mask: E^k [B, T, mask_dim, H/4, W/4].
        """
        frames = visible.shape[1]
        value = attention.permute(0, 1, 3, 4, 2).flatten(1, 3)
        if value.shape[1] != len(self.position):
            raise ValueError(
                f"the clip has {value.shape[1]} keys, SAMH is prepared for {len(self.position)}; "
                "call prepare(height, width, frames)"
            )
        key = value + self.position
        amodal = []
        for layer in self.layers:
            # Without ASPM only the auxiliary loss reads the intermediate masks.
            if self.aspm or self.training:
                amodal.append(mask_product(self.mask_embed(prototypes), mask))
            bias = self.prior_bias(visible, amodal[-1] if amodal else None)
            if bias is not None:
                bias = bias.repeat(1, 1, frames)
            prototypes = layer(prototypes, slot, key, value, bias)
        amodal.append(mask_product(self.mask_embed(prototypes), mask))
        return SamhOutput(amodal=amodal, prototypes=prototypes)

    def prior_bias(self, visible: Tensor, amodal: Tensor | None) -> Tensor | None:
        """Compute T^k: where each prototype may attend, the union over frames of VSPM and ASPM.

        There is one spatial mask per prototype, the same for all frames: a part hidden in one frame is reached at the
        same place in another.

        Args:
            visible: m^k logits [B, T, Q, H/4, W/4].
            amodal: a^k logits [B, T, Q, H/4, W/4]; may be None when ASPM is off.

        Returns:
            Additive bias [B, Q, S] over the S cells at key stride; None when both priors are off.
        """
        priors = [m for m, on in ((visible, self.vspm), (amodal, self.aspm)) if on and m is not None]
        if not priors:
            return None
        union = priors[0].detach().amax(dim=1)
        for prior in priors[1:]:
            union = torch.maximum(union, prior.detach().amax(dim=1))
        pool = self.key_stride // 4
        if pool > 1:
            # Many times as fast on a CPU as max_pool2d.
            union = reduce(torch.maximum, [union[..., i::pool, :] for i in range(pool)])
            union = reduce(torch.maximum, [union[..., i::pool] for i in range(pool)])
        return attention_bias((union > 0).flatten(2))
