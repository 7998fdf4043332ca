"""Classification head: an MLP embedding followed by a fully connected layer (paper 3.7)."""

import torch.nn.functional as F
from torch import Tensor, nn


class ClassificationHead(nn.Module):
    """Class logits of prototypes, "no object" last.

    Args:
        dim: channels C of the prototypes.
        classes: number of classes K.
    """

    def __init__(self, *, dim: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Linear(dim, dim)
        self.classify = nn.Linear(dim, classes + 1)

    def forward(self, prototypes: Tensor) -> Tensor:
        """Compute logits: [B, Q, C] → [B, Q, K + 1]."""
        return self.classify(F.relu(self.embed(prototypes)))
