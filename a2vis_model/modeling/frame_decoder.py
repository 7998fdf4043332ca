"""Masked-attention decoder: queries become objects by attending inside their own predicted masks.

Mask2Former's transformer decoder (Cheng et al. 2022, section 3.2). Fed with the tokens of one image it is the
frame decoder of VITA, GenVIS and A2VIS; fed with those of a whole clip it is Mask2Former-VIS.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .layers import MLP, CrossAttention, FeedForward, SelfAttention, attention_bias, upcast


class DecoderLevel(NamedTuple):
    """One level of the pyramid as the decoder reads it: S cells, of one image or of a clip."""

    memory: Tensor
    """Tokens [N, S, dim]."""
    position: Tensor
    """Position encodings [S, dim]."""
    mask_features: Tensor
    """Pixel embeddings at this level's size, [N, mask_dim, S], to find the cells of each query's mask."""


class FrameDecoderLayer(nn.Module):
    """Masked cross-attention, self-attention, feed-forward, all post-norm."""

    def __init__(self, *, dim: int, heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.cross = CrossAttention(dim=dim, heads=heads)
        self.self_attention = SelfAttention(dim=dim, heads=heads)
        self.ffn = FeedForward(dim=dim, hidden_dim=ffn_dim)

    def forward(self, x: Tensor, position: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Update queries x [N, queries, dim] from keys and values [N, S, dim]."""
        x = self.cross(x, position, key, value, bias)
        return self.ffn(self.self_attention(x, position))


class FrameDecoder(nn.Module):
    """Decodes object queries from a pyramid, level after level.

    Args:
        classes: number of classes K, without the no-object class.
        queries: number of object queries.
        dim: channels of queries and memory.
        mask_dim: channels of the mask features.
        layers: number of decoder layers; layer i reads level i mod `levels`.
        levels: number of pyramid levels.
        heads: attention heads.
        ffn_dim: hidden size of the feed-forward blocks.
    """

    def __init__(
        self,
        *,
        classes: int,
        queries: int,
        dim: int,
        mask_dim: int,
        layers: int,
        levels: int,
        heads: int,
        ffn_dim: int,
    ) -> None:
        super().__init__()
        self.query_content = nn.Parameter(torch.randn(queries, dim))
        self.query_position = nn.Parameter(torch.randn(queries, dim))
        self.level_embed = nn.Parameter(torch.randn(levels, dim))
        self.layers = nn.ModuleList(FrameDecoderLayer(dim=dim, heads=heads, ffn_dim=ffn_dim) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.class_head = nn.Linear(dim, classes + 1)
        self.mask_head = MLP(in_dim=dim, hidden_dim=dim, out_dim=mask_dim, layers=3)

    def forward(self, levels: Sequence[DecoderLevel]) -> list[Tensor]:
        """Decode the pyramid, coarsest level first.

        Returns:
            The normalised queries [N, queries, dim] before the first layer and after each one; the last are
            the detected objects, the others are for deep supervision.
        """
        if len(levels) != len(self.level_embed):
            raise ValueError(f"got {len(levels)} levels, the decoder was built for {len(self.level_embed)}")
        memories = [level.memory + embed for level, embed in zip(levels, self.level_embed, strict=True)]
        x = self.query_content.expand(len(memories[0]), -1, -1)
        outputs = [self.norm(x)]
        for i, layer in enumerate(self.layers):
            level, memory = levels[i % len(levels)], memories[i % len(levels)]
            logits = torch.matmul(upcast(self.mask_head(outputs[-1])), upcast(level.mask_features))
            bias = attention_bias(logits.detach() >= 0)
            x = layer(x, self.query_position, memory + level.position, memory, bias)
            outputs.append(self.norm(x))
        return outputs
