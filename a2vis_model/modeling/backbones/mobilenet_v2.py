"""MobileNetV2 (Sandler et al. 2018) without its classification head."""

from .inverted_residual import Blocks, InvertedResidualNet


class MobileNetV2(InvertedResidualNet):
    """MobileNetV2 of width 1: maps of 24, 32, 96 and 320 channels."""

    def __init__(self) -> None:
        super().__init__(
            stem_channels=32,
            stages=(
                (Blocks(1, 16, stride=1, expansion=1), Blocks(2, 24, stride=2)),
                (Blocks(3, 32, stride=2),),
                (Blocks(4, 64, stride=2), Blocks(3, 96, stride=1)),
                (Blocks(3, 160, stride=2), Blocks(1, 320, stride=1)),
            ),
        )
