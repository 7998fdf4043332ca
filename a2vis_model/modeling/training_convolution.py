"""Convolutions of a training step on a CPU, which waits for memory more than it computes.

oneDNN adds the bias and clamps the results while they are in registers, so that a map is written once and only the
clamped one is kept for the gradient. 1x1 convolutions are always given to oneDNN.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..compat import convolution_gradients, convolve_and_activate

Activation = Literal["none", "relu", "relu6"]
_LEAST_MAPS = 16
"""Number of maps from which on PyTorch (2.13) leaves a 1x1 convolution to oneDNN where it has one thread."""


def can_convolve(x: Tensor) -> bool:
    """Return whether `convolve` takes this map: fp32 on a CPU with oneDNN, neither autocast nor traced."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def convolve(
    x: Tensor, kernel: Tensor, bias: Tensor, *, stride: int, padding: int, groups: int, activation: Activation
) -> Tensor:
    """Convolve, add a constant bias, which gets no gradient, and activate.

    Args:
        x: map [N, C, H, W], channels last in memory where it should be fast.
        kernel: kernel [C', C / groups, h, w].
        bias: bias [C'].
        stride: stride of both axes.
        padding: zeros on all four sides.
        groups: groups of channels.
        activation: activation of the result.

    Returns:
        [N, C', H', W'].
    """
    if kernel.shape[2:] != (1, 1) or stride != 1:
        result: Tensor = _Convolution.apply(x, kernel, bias, stride, padding, groups, activation)
        return result
    # Where no cell sees another one it makes no difference how the cells are divided into maps.
    n, channels, height, width = x.shape
    cells = height * width
    parts = next((p for p in range(1, _LEAST_MAPS + 1) if n * p >= _LEAST_MAPS and cells % p == 0), 1)
    rows = x.permute(0, 2, 3, 1).reshape(n * parts, 1, cells // parts, channels).permute(0, 3, 1, 2)
    result = _Convolution.apply(rows, kernel, bias, stride, padding, groups, activation)
    return result.permute(0, 2, 3, 1).reshape(n, height, width, -1).permute(0, 3, 1, 2)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        kernel: Tensor,
        bias: Tensor,
        stride: int,
        padding: int,
        groups: int,
        activation: Activation,
    ) -> Tensor:
        y = convolve_and_activate(x, kernel, bias, stride, padding, groups, activation)
        ctx.save_for_backward(x, kernel, None if activation == "none" else y)
        ctx.stride, ctx.padding, ctx.groups, ctx.activation = stride, padding, groups, activation
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, y = ctx.saved_tensors
        if ctx.activation == "relu":
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0.0)
        elif ctx.activation == "relu6":
            gradient = torch.ops.aten.hardtanh_backward(gradient, y, 0.0, 6.0)
        to_x, to_kernel = convolution_gradients(
            gradient, x, kernel, ctx.stride, ctx.padding, ctx.groups, ctx.needs_input_grad[:2]
        )
        return to_x, to_kernel, None, None, None, None, None
