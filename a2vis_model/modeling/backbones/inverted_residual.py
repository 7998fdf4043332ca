"""The inverted residual block (Sandler et al. 2018) and the network that both mobile backbones consist of."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from .norm import ConvNorm


class Blocks(NamedTuple):
    """A sequence of equal blocks: `repeats` of them, the first with `stride`."""

    repeats: int
    out_channels: int
    stride: int
    kernel: int = 3
    expansion: int = 6


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, linear 1x1 projection, added to the input where the shapes allow.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: size of the depthwise kernel.
        stride: 1 or 2, taken by the depthwise convolution.
        expansion: inner channels as a multiple of `in_channels`; 1 leaves the expansion out.
        eps: see `FrozenBatchNorm2d`.
        same_padding: see `ConvNorm`.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        expansion: int,
        eps: float,
        same_padding: bool,
    ) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.residual = stride == 1 and in_channels == out_channels
        self.expand = (
            nn.Identity()
            if expansion == 1
            else ConvNorm(in_channels=in_channels, out_channels=inner, kernel=1, activation=nn.ReLU6(), eps=eps)
        )
        self.depthwise = ConvNorm(
            in_channels=inner,
            out_channels=inner,
            kernel=kernel,
            stride=stride,
            groups=inner,
            activation=nn.ReLU6(),
            eps=eps,
            same_padding=same_padding,
        )
        self.project = ConvNorm(in_channels=inner, out_channels=out_channels, kernel=1, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: [N, in_channels, H, W] to [N, out_channels, H / stride, W / stride]."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class InvertedResidualNet(nn.Module):
    """A stride-2 stem and four stages of inverted residual blocks; a stage holds all blocks up to its stride.

    Args:
        stem_channels: channels of the stem.
        stages: the blocks of each of the four stages, which end at strides 4, 8, 16 and 32.
        eps: see `FrozenBatchNorm2d`.
        same_padding: see `ConvNorm`.
    """

    def __init__(
        self,
        *,
        stem_channels: int,
        stages: Sequence[Sequence[Blocks]],
        eps: float = 1e-5,
        same_padding: bool = False,
    ) -> None:
        super().__init__()
        first, second, third, fourth = (runs[-1].out_channels for runs in stages)
        self.channels = (first, second, third, fourth)
        self.stem = ConvNorm(
            in_channels=3,
            out_channels=stem_channels,
            kernel=3,
            stride=2,
            activation=nn.ReLU6(),
            eps=eps,
            same_padding=same_padding,
        )
        self.stages = nn.ModuleList()
        in_channels = stem_channels
        for runs in stages:
            blocks = nn.Sequential()
            for run in runs:
                for position in range(run.repeats):
                    blocks.append(
                        InvertedResidual(
                            in_channels=in_channels,
                            out_channels=run.out_channels,
                            kernel=run.kernel,
                            stride=run.stride if position == 0 else 1,
                            expansion=run.expansion,
                            eps=eps,
                            same_padding=same_padding,
                        )
                    )
                    in_channels = run.out_channels
            self.stages.append(blocks)

    def prepare(self, height: int, width: int) -> None:
        """Do nothing: no part depends on the input size."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute maps at strides 4, 8, 16, 32 from normalised RGB images [N, 3, H, W]."""
        x = self.stem(images)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)
