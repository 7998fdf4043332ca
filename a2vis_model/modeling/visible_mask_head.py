"""Visible mask head Γ: prototypes times frame features (paper 3.4)."""

from torch import Tensor, nn

from .layers import MLP, mask_product


class VisibleMaskHead(nn.Module):
    """M^k = Γ(γ(p), F^k): a mask embedding γ, then a dot product with every pixel's feature.

    Args:
        dim: channels C of the prototypes.
        mask_dim: channels of the frame features F.
    """

    def __init__(self, *, dim: int, mask_dim: int) -> None:
        super().__init__()
        self.embed = MLP(in_dim=dim, hidden_dim=dim, out_dim=mask_dim, layers=3)

    def forward(self, prototypes: Tensor, features: Tensor) -> Tensor:
        """Compute mask logits [B, T, Q, He, We] of prototypes [B, Q, C] and features F [B, T, mask_dim, He, We]."""
        return mask_product(self.embed(prototypes), features)
