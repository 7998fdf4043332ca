"""Frozen batch normalisation, the convolution block built on it, and folding the norm into the convolution."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..training_convolution import Activation, can_convolve, convolve

_ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.Identity: "none", nn.ReLU: "relu", nn.ReLU6: "relu6"}


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose statistics and affine terms are constants (He et al. 2016).

    Detection batches are too small to re-estimate statistics, so all four tensors are buffers: loaded and
    saved with the weights, never trained.

    Args:
        channels: number of channels normalised.
        eps: added to the variance; 1e-5 in ResNet and MobileNetV2, 1e-3 in EfficientNet-Lite.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, *, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return the layer as `x * scale + shift`, both [channels]."""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [N, channels, H, W]."""
        scale, shift = (term.to(x.dtype)[None, :, None, None] for term in self.scale_and_shift())
        return torch.addcmul(shift, x, scale)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        # nn.BatchNorm2d counts its updates; a frozen layer has no such counter.
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Describe the layer in the printed module."""
        return f"{self.weight.numel()}, eps={self.eps}"


class ConvNorm(nn.Module):
    """Convolution without bias, frozen batch normalisation and, optionally, an activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: odd kernel size.
        stride: 1 or 2.
        groups: groups of the convolution.
        activation: module applied last; none by default.
        eps: see `FrozenBatchNorm2d`.
        same_padding: pad as TensorFlow's SAME does on an even input: a stride of 2 then gets one row and one
            column less at the top left than at the bottom right, where PyTorch's padding is symmetric.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: nn.Module | None = None,
        eps: float = 1e-5,
        same_padding: bool = False,
    ) -> None:
        super().__init__()
        before, after = kernel // 2, kernel // 2
        if same_padding:
            before = (kernel - stride) // 2
            after = kernel - stride - before
        symmetric = before == after
        self.pad = nn.Identity() if symmetric else nn.ZeroPad2d((before, after, before, after))
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=before if symmetric else 0,
            groups=groups,
            bias=False,
        )
        self.norm: nn.Module = FrozenBatchNorm2d(channels=out_channels, eps=eps)
        self.activation = activation if activation is not None else nn.Identity()
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: [N, in_channels, H, W] to [N, out_channels, H / stride, W / stride]."""
        if not (isinstance(self.norm, FrozenBatchNorm2d) and self.conv.weight.requires_grad):
            return self.activation(self.norm(self.conv(self.pad(x))))
        return self._train(self.pad(x), *self.norm.scale_and_shift())

    def _train(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Convolve with a kernel scaled by the norm, which saves a pass over the map and one over its gradient."""
        conv, kernel = self.conv, self.conv.weight * scale[:, None, None, None]
        stride, padding, groups = conv.stride[0], int(conv.padding[0]), conv.groups
        activation = _ACTIVATIONS.get(type(self.activation))
        if activation is None or not can_convolve(x):
            return self.activation(F.conv2d(x, kernel, shift, stride, padding, groups=groups))
        return convolve(x, kernel, shift, stride=stride, padding=padding, groups=groups, activation=activation)


@torch.no_grad()
def fold_batch_norms(module: nn.Module) -> None:
    """Fold every frozen batch normalisation into the convolution before it, in place.

    The result is the same with one operation less per layer. This is for inference only: afterwards the state dict has
    no norms and cannot be exchanged with an unfolded model's.

    Args:
        module: any module that contains `ConvNorm` blocks.
    """
    for block in module.modules():
        if isinstance(block, ConvNorm) and isinstance(block.norm, FrozenBatchNorm2d):
            scale, shift = block.norm.scale_and_shift()
            block.conv.weight.copy_(block.conv.weight * scale[:, None, None, None])
            block.conv.bias = nn.Parameter(shift, requires_grad=block.conv.weight.requires_grad)
            block.norm = nn.Identity()
