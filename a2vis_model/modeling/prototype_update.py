"""Instance prototype update: the global prototypes take up what the clip's prototypes saw (paper 3.6, Eq. 2)."""

import torch
from torch import Tensor, nn


class PrototypeUpdate(nn.Module):
    """Single-head cross-attention from global to clip prototypes.

    Eq. 2 as printed has neither softmax nor scale nor norm; iterated over the clips of a video it grows
    without bound. Softmax, 1/√C and a final layer norm keep the norm of the prototypes constant. Slot
    embeddings on queries and keys, and keys that start as the queries' twin, let attention begin with slot i
    reading slot i instead of the mean of all.

    Args:
        dim: channels C.
        gain: gain of the query and key projections' initial weights; 0.5 starts slot-aligned (about 0.9 of
            the weight on a slot's own prototype) without saturating the softmax.
    """

    def __init__(self, *, dim: int, gain: float = 0.5) -> None:
        super().__init__()
        self.scale = dim**-0.5
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        nn.init.xavier_uniform_(self.q.weight, gain=gain)
        nn.init.xavier_uniform_(self.v.weight)
        for layer in (self.q, self.k, self.v):
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.k.weight.copy_(self.q.weight)

    def forward(self, global_prototypes: Tensor, clip_prototypes: Tensor, slot: Tensor) -> Tensor:
        """Update p^G with p^k.

        Args:
            global_prototypes: p^G [B, Q, C].
            clip_prototypes: p^k [B, Q, C].
            slot: embedding of each slot [Q, C].

        Returns:
            p^G [B, Q, C].
        """
        query = self.q(global_prototypes + slot)
        key = self.k(clip_prototypes + slot)
        weights = (torch.matmul(query, key.transpose(1, 2)) * self.scale).softmax(dim=-1)
        return self.norm(global_prototypes + torch.matmul(weights, self.v(clip_prototypes)))
