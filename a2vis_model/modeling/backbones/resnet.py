"""ResNet (He et al. 2016) with frozen batch normalisation and the stride in the 3x3 convolution."""

from collections.abc import Sequence

from torch import Tensor, nn

from .norm import ConvNorm


class Bottleneck(nn.Module):
    """1x1 to a quarter of the channels, 3x3, 1x1 back, added to the (projected) input.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, a multiple of 4.
        stride: 1 or 2, taken by the 3x3 convolution.
    """

    def __init__(self, *, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        inner = out_channels // 4
        self.reduce = ConvNorm(in_channels=in_channels, out_channels=inner, kernel=1, activation=nn.ReLU())
        self.spatial = ConvNorm(in_channels=inner, out_channels=inner, kernel=3, stride=stride, activation=nn.ReLU())
        self.expand = ConvNorm(in_channels=inner, out_channels=out_channels, kernel=1)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else ConvNorm(in_channels=in_channels, out_channels=out_channels, kernel=1, stride=stride)
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: [N, in_channels, H, W] to [N, out_channels, H / stride, W / stride]."""
        return self.activation(self.expand(self.spatial(self.reduce(x))) + self.shortcut(x))


class ResNet(nn.Module):
    """Bottleneck ResNet.

    Args:
        depths: blocks in each of the four stages.
        width: channels of the stem; the stages have 4, 8, 16 and 32 times as many.
    """

    def __init__(self, *, depths: Sequence[int], width: int = 64) -> None:
        super().__init__()
        if len(depths) != 4:
            raise ValueError(f"depths={tuple(depths)} must have one entry for each of 4 stages")
        self.channels = (4 * width, 8 * width, 16 * width, 32 * width)
        self.stem = ConvNorm(in_channels=3, out_channels=width, kernel=7, stride=2, activation=nn.ReLU())
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        in_channels = width
        for stage, (depth, out_channels) in enumerate(zip(depths, self.channels, strict=True)):
            blocks = nn.Sequential()
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Bottleneck(in_channels=in_channels, out_channels=out_channels, stride=stride))
                in_channels = out_channels
            self.stages.append(blocks)

    def prepare(self, height: int, width: int) -> None:
        """Do nothing: no part depends on the input size."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute maps at strides 4, 8, 16, 32 from normalised RGB images [N, 3, H, W]."""
        x = self.pool(self.stem(images))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)


class ResNet50(ResNet):
    """ResNet-50: maps of 256, 512, 1024 and 2048 channels."""

    def __init__(self) -> None:
        super().__init__(depths=(3, 4, 6, 3))
