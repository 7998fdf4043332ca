"""Instance prototype update: the global prototypes take up the information of the clip's (paper 3.6, Eq. 2)."""

import torch
from torch import Tensor, nn


class PrototypeUpdate(nn.Module):
    """Single-head cross-attention from global to clip prototypes.

    Eq. 2 as printed has neither softmax nor scale nor norm; iterated over the clips of a video it grows
    without bound. Softmax, 1/√C and a final layer norm keep the norm of the prototypes constant. Slot
    embeddings on queries and keys, and keys that are initialised like the queries, let attention begin with slot i
    reading slot i instead of the mean of all.

    Args:
        dim: channels C.
        null_key: let a slot read nothing. A softmax over the clip's prototypes alone makes a slot whose object is
            hidden take up another's. "Nothing" has a learned key and an initial score that a prototype of the
            same slot reaches when its content differs from the slot's, and exceeds when it is alike.
        gain: gain of the query and key projections' initial weights; 0.5 starts slot-aligned (about 0.9 of
            the weight on a slot's own prototype) without saturating the softmax.
    """

    def __init__(self, *, dim: int, null_key: bool, gain: float = 0.5) -> None:
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
        self.null_key: nn.Parameter | None = None
        if null_key:
            self.null_key = nn.Parameter(torch.zeros(dim))
            self.null_score = nn.Parameter(torch.tensor([gain**2 * dim**0.5]))

    def forward(self, global_prototypes: Tensor, clip_prototypes: Tensor, slot: Tensor) -> Tensor:
        """Update p^G with p^k.

        Args:
            global_prototypes: p^G [B, Q, C].
            clip_prototypes: p^k [B, Q, C].
            slot: embedding of each slot [Q, C].

        Returns:
            p^G [B, Q, C].
        """
        weights = self.weights(global_prototypes, clip_prototypes, slot)
        return self.norm(global_prototypes + torch.matmul(weights, self.v(clip_prototypes)))

    def weights(self, global_prototypes: Tensor, clip_prototypes: Tensor, slot: Tensor) -> Tensor:
        """Compute how much each slot reads of each clip prototype: [B, Q, Q].

        Rows sum to 1, or to less with a null key.
        """
        query = self.q(global_prototypes + slot)
        key = self.k(clip_prototypes + slot)
        scores = torch.matmul(query, key.transpose(1, 2)) * self.scale
        if self.null_key is None:
            return scores.softmax(dim=-1)
        nothing = torch.matmul(query, self.null_key.unsqueeze(1)) * self.scale + self.null_score
        return torch.cat((scores, nothing), dim=-1).softmax(dim=-1)[..., :-1]


class PrototypeGate(nn.Module):
    """Gate on what the next clip gets of each slot's update: p^G ← p^G + g · (p_L - p^G).

    Every post-norm residual that a prototype passes in a clip erodes its earlier content, whether or not its object is
    in view. The gate g in (0, 1), one number per slot, closes where there is nothing to learn and opens where there is.

    Args:
        dim: channels C.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.open = nn.Linear(2 * dim, 1)
        nn.init.zeros_(self.open.weight)
        nn.init.constant_(self.open.bias, -1.5)

    @torch.no_grad()
    def mark(self, start: nn.Parameter) -> None:
        """Initialise the gate: wide open for slots [Q, C] at their start and mostly closed for all others.

        Layer norms leave channels with a mean of zero; the start gets a mean of 1/2, which the gate detects.
        """
        start.add_(0.5 - start.mean(dim=-1, keepdim=True))
        self.open.weight[:, : self.dim] = 7 / self.dim

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Compute p^G for the next clip from p^G at the start of a clip and p_L at its end, all [B, Q, C]."""
        return before + self.open(torch.cat((before, after), dim=-1)).sigmoid() * (after - before)
