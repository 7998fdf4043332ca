"""Instance prototype modelling Θ: frame queries of a clip become one embedding per object (paper 3.3; VITA)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import BLOCKED, CrossAttention, FeedForward, SelfAttention


class Prototypes(NamedTuple):
    """Clip-based instance prototypes."""

    layers: list[Tensor]
    """Normalised prototypes p^k [B, Q, C] after each decoder layer.

    The last are the answer, the others are for deep supervision.
    """
    raw: Tensor
    """Output of the last layer before the norm, [B, Q, C]; GenVIS carries it to the next clip."""
    tokens: Tensor
    """Encoded frame queries [B, T, fQ, C]; a training loss pulls those of the same object together."""


class EncoderLayer(nn.Module):
    """Self-attention over the object tokens of a clip, then feed-forward."""

    def __init__(self, *, dim: int, heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.self_attention = SelfAttention(dim=dim, heads=heads)
        self.ffn = FeedForward(dim=dim, hidden_dim=ffn_dim)

    def forward(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """Update tokens [N, S, dim]; `bias` [N, S, S] is added to the attention scores."""
        return self.ffn(self.self_attention(tokens, bias=bias))


class DecoderLayer(nn.Module):
    """Prototypes attend to the clip's tokens, then to each other."""

    def __init__(self, *, dim: int, heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.cross = CrossAttention(dim=dim, heads=heads)
        self.self_attention = SelfAttention(dim=dim, heads=heads)
        self.ffn = FeedForward(dim=dim, hidden_dim=ffn_dim)

    def forward(self, x: Tensor, position: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Update prototypes x [B, Q, dim] from keys and values [B, S, dim]."""
        return self.ffn(self.self_attention(self.cross(x, position, key, value), position))


class InstancePrototypes(nn.Module):
    """VITA's object encoder and decoder (Heo et al. 2022).

    Args:
        classes: number of classes K, for the auxiliary class head of training.
        prototypes: number Q of instance prototypes.
        frame_queries: number fQ of object queries of a frame.
        dim: channels C.
        heads: attention heads.
        ffn_dim: hidden size of the feed-forward blocks.
        encoder_layers: number of encoder layers.
        decoder_layers: number of decoder layers.
        window: frames that attend to each other in the encoder; 0 is the whole clip. Windows shift by half
            in every second layer; they are for long clips (VITA takes whole videos with 6).
    """

    def __init__(
        self,
        *,
        classes: int,
        prototypes: int,
        frame_queries: int,
        dim: int,
        heads: int,
        ffn_dim: int,
        encoder_layers: int,
        decoder_layers: int,
        window: int,
    ) -> None:
        super().__init__()
        self.window = window
        self.input_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.input_proj.weight)
        self.encoder = nn.ModuleList(EncoderLayer(dim=dim, heads=heads, ffn_dim=ffn_dim) for _ in range(encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(dim=dim, heads=heads, ffn_dim=ffn_dim) for _ in range(decoder_layers))
        self.token_position = nn.Parameter(torch.randn(frame_queries, dim))
        self.query_content = nn.Parameter(torch.randn(prototypes, dim))
        self.query_position = nn.Parameter(torch.randn(prototypes, dim))
        self.norm = nn.LayerNorm(dim)
        # The three heads below serve auxiliary losses only.
        self.class_head = nn.Linear(dim, classes + 1)
        self.frame_similarity = nn.Linear(dim, dim)
        self.clip_similarity = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, seed: Tensor | None = None) -> Prototypes:
        """Model the objects of a clip.

        Args:
            queries: frame queries [B, T, fQ, C].
            seed: initial prototypes [B, Q, C]; the learned `query_content` when None. A2VIS
                keeps clips independent here (paper 3.3); GenVIS seeds with the previous clip.
        """
        tokens = self._encode(self.input_proj(queries))
        memory = tokens.flatten(1, 2)
        key = (tokens + self.token_position).flatten(1, 2)
        x = self.query_content.expand(len(queries), -1, -1) if seed is None else seed
        layers = []
        for layer in self.decoder:
            x = layer(x, self.query_position, key, memory)
            layers.append(self.norm(x))
        return Prototypes(layers=layers, raw=x, tokens=tokens)

    def _encode(self, tokens: Tensor) -> Tensor:
        frames = tokens.shape[1]
        if self.window == 0 or frames <= self.window:
            x = tokens.flatten(1, 2)
            for layer in self.encoder:
                x = layer(x)
            return x.view_as(tokens)
        return self._encode_windows(tokens)

    def _encode_windows(self, tokens: Tensor) -> Tensor:
        batch, frames, count, dim = tokens.shape
        window, shift = self.window, (self.window + 1) // 2
        windows = -(-frames // window)
        x = F.pad(tokens, (0, 0, 0, 0, 0, windows * window - frames))
        frame = torch.arange(windows * window, device=tokens.device)
        # A frame attends only to real frames that were neighbours before the shift wrapped around.
        plain = (frame < frames).view(windows, 1, window).expand(-1, window, -1)
        rolled = frame.roll(-shift).view(windows, window)
        wrapped = (rolled < shift) & (torch.arange(windows, device=tokens.device)[:, None] == windows - 1)
        shifted = (rolled < frames)[:, None] & (wrapped[:, :, None] == wrapped[:, None])
        for i, layer in enumerate(self.encoder):
            shift_now = i % 2 == 1 and not self.training
            allowed = shifted if shift_now else plain
            bias = torch.where(allowed, 0.0, BLOCKED)
            bias = bias.repeat_interleave(count, dim=1).repeat_interleave(count, dim=2)
            if shift_now:
                x = x.roll(-shift, dims=1)
            x = x.reshape(batch * windows, window * count, dim)
            x = layer(x, bias.repeat(batch, 1, 1))
            x = x.view(batch, windows * window, count, dim)
            if shift_now:
                x = x.roll(shift, dims=1)
        return x[:, :frames]
