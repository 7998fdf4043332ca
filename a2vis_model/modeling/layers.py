"""Small layers that several parts of the network share."""

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)

# Added to the score of a blocked key: large enough that its softmax weight is exactly 0 in fp32, and small
# enough for fp16. Minus infinity would become NaN in a compiled fp16 engine.
BLOCKED = -1e4

FEW_KEYS = 16_384
"""Largest number of keys over which a softmax can stay in fp16.

The mean weight is 1 / keys, and below 1 / 16384 fp16 loses digits. TensorRT's fused fp16 attention overflows from
65,504 keys on.
"""


def upcast(x: Tensor) -> Tensor:
    """Return the tensor in fp32, for sums that fp16 is too coarse for.

    Unchanged under autocast, which chooses types.
    """
    return x if torch.is_autocast_enabled(x.device.type) else x.float()


def attention_bias(allowed: Tensor) -> Tensor:
    """Turn a mask of allowed keys into an additive bias, letting an empty row attend everywhere.

    A row with no allowed key would be a softmax over nothing, which is NaN; Mask2Former's rule is to open
    such a row completely.

    Args:
        allowed: bool [..., Q, S].

    Returns:
        float [..., Q, S]: 0 where a key may be attended, `BLOCKED` elsewhere.
    """
    allowed = allowed | ~allowed.any(dim=-1, keepdim=True)
    return torch.where(allowed, 0.0, BLOCKED)


class ScaledDotProduct(nn.Module):
    """Softmax attention without weights of its own: softmax(q kᵀ / √d + bias) v.

    One fused operation where PyTorch runs or compiles it, and separate ones in a network of
    `with_decomposed_attention`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.decomposed = False
        """Whether it is computed as matrix products and a softmax."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """Attend: query [..., Q, d], key and value [..., S, d], bias broadcast to [..., Q, S] → [..., Q, d]."""
        return (_separately if self.decomposed else _fused)(query, key, value, bias)


def with_decomposed_attention(model: ModuleT) -> ModuleT:
    """Return a copy of a network that computes attention as matrix products and a softmax.

    This is for converters to other formats: each decomposes the fused operation in its own way and assumes memory
    layouts that its eager kernel does not have. The copy shares all weights and buffers with the network, which itself
    stays as it is and may run meanwhile.
    """
    shared: dict[int, object] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    for module in twin.modules():
        if isinstance(module, ScaledDotProduct):
            module.decomposed = True
    return twin


def _separately(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    dtype = query.dtype
    if key.shape[-2] > FEW_KEYS:
        query, key, value = upcast(query), upcast(key), upcast(value)
    scores = upcast(torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-2, -1)))
    scores = scores if bias is None else scores + bias.to(scores.dtype)
    return torch.matmul(scores.softmax(dim=-1).to(value.dtype), value).to(dtype)


def _fused(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    if torch.is_autocast_enabled("cpu") and torch.is_grad_enabled() and query.device.type == "cpu":
        # Its backward pass is 2 to 14 times as fast in fp32 as in bf16, and forwards it is no slower.
        with torch.autocast("cpu", enabled=False):
            result = F.scaled_dot_product_attention(
                query.float(), key.float(), value.float(), attn_mask=None if bias is None else bias.float()
            )
        return result.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)


class MLP(nn.Module):
    """Linear layers with ReLU between them: [..., in_dim] → [..., out_dim]."""

    def __init__(self, *, in_dim: int, hidden_dim: int, out_dim: int, layers: int) -> None:
        super().__init__()
        dims = [in_dim] + [hidden_dim] * (layers - 1) + [out_dim]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(dims[:-1], dims[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers: [..., in_dim] → [..., out_dim]."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class FeedForward(nn.Module):
    """Post-norm transformer feed-forward block with its residual: [..., dim] → [..., dim]."""

    def __init__(self, *, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, hidden_dim)
        self.linear2 = nn.Linear(hidden_dim, dim)
        self.norm = nn.LayerNorm(dim)
        nn.init.xavier_uniform_(self.linear1.weight)
        nn.init.xavier_uniform_(self.linear2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: [..., dim] → [..., dim]."""
        return self.norm(x + self.linear2(F.relu(self.linear1(x))))


class Attention(nn.Module):
    """Multi-head attention with separate projections, so that every weight has a name of its own.

    `nn.MultiheadAttention` is avoided on purpose: its fused projection, fast path and `need_weights`
    branches do not export cleanly.

    Args:
        dim: size of the queries and of the result.
        heads: number of heads; must divide `dim`.
        memory_dim: size of keys and values, `dim` by default.
    """

    def __init__(self, *, dim: int, heads: int, memory_dim: int | None = None) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} does not divide dim={dim}; choose a divisor")
        memory_dim = dim if memory_dim is None else memory_dim
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(memory_dim, dim)
        self.v = nn.Linear(memory_dim, dim)
        self.out = nn.Linear(dim, dim)
        self.attend = ScaledDotProduct()
        for layer in (self.q, self.k, self.v, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from every query to every key.

        Args:
            query: [B, Q, dim].
            key: [B, S, memory_dim].
            value: [B, S, memory_dim].
            bias: added to the scores of all heads, [B, Q, S], or None.

        Returns:
            [B, Q, dim], without residual or norm.
        """
        q, k, v = self._split(self.q(query)), self._split(self.k(key)), self._split(self.v(value))
        if bias is not None:
            bias = bias.unsqueeze(1).to(q.dtype)
        x = self.attend(q, k, v, bias)
        return self.out(x.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        return x.view(batch, length, self.heads, dim // self.heads).transpose(1, 2)


class CrossAttention(nn.Module):
    """Post-norm cross-attention with its residual; positions go to queries and keys, never to values."""

    def __init__(self, *, dim: int, heads: int, memory_dim: int | None = None) -> None:
        super().__init__()
        self.attention = Attention(dim=dim, heads=heads, memory_dim=memory_dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, position: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend: x [B, Q, dim], position [Q, dim], key and value [B, S, memory_dim], bias [B, Q, S] → [B, Q, dim]."""
        return self.norm(x + self.attention(x + position, key, value, bias))


class SelfAttention(nn.Module):
    """Post-norm self-attention with its residual; the position goes to queries and keys only."""

    def __init__(self, *, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(dim=dim, heads=heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, position: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Attend: x [B, Q, dim], position [Q, dim] or None, bias [B, Q, Q] or None → [B, Q, dim]."""
        q = x if position is None else x + position
        return self.norm(x + self.attention(q, q, x, bias))


def mask_product(embedding: Tensor, features: Tensor) -> Tensor:
    """Correlate mask embeddings with pixel embeddings (the dot products Γ and Φ of paper 3.4 and 3.5).

    Args:
        embedding: [B, Q, C].
        features: [B, T, C, H, W].

    Returns:
        Mask logits [B, T, Q, H, W].
    """
    height, width = features.shape[-2:]
    logits = torch.matmul(upcast(embedding).unsqueeze(1), upcast(features).flatten(3))
    return logits.unflatten(-1, (height, width))
