"""EfficientNet-Lite0 (Tan & Le 2019, without squeeze-and-excitation and with ReLU6), without its head."""

from .inverted_residual import Blocks, InvertedResidualNet


class EfficientNetLite0(InvertedResidualNet):
    """EfficientNet-Lite0: maps of 24, 40, 112 and 320 channels.

    Its published weights come from TensorFlow, which explains the padding and the epsilon.
    """

    def __init__(self) -> None:
        super().__init__(
            stem_channels=32,
            stages=(
                (Blocks(1, 16, stride=1, expansion=1), Blocks(2, 24, stride=2)),
                (Blocks(2, 40, stride=2, kernel=5),),
                (Blocks(3, 80, stride=2), Blocks(3, 112, stride=1, kernel=5)),
                (Blocks(4, 192, stride=2, kernel=5), Blocks(1, 320, stride=1)),
            ),
            eps=1e-3,
            same_padding=True,
        )
