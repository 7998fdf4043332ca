"""Frame-level detector: backbone, pixel decoder and frame decoder (Mask2Former; paper 3.3, 4.2)."""

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .frame_decoder import DecoderLevel, FrameDecoder
from .layers import mask_product
from .pixel_decoder import PixelDecoder, PixelFeatures
from .position import sine_position_2d
from .predictions import SetPrediction


class Backbone(Protocol):
    """Interface of a backbone."""

    channels: tuple[int, int, int, int]

    def prepare(self, height: int, width: int) -> None:
        """Build what depends on the input size in pixels."""

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute maps at strides 4, 8, 16 and 32 from images [N, 3, H, W]."""


class FrameDetections(NamedTuple):
    """Objects detected in single frames."""

    classes: Tensor
    """Class logits [N, fQ, K + 1], "no object" last."""
    masks: Tensor
    """Mask logits [N, fQ, H/4, W/4]."""


class DetectorOutput(NamedTuple):
    """Output of the detector that the video part of the network needs, for N frames."""

    pixels: Tensor
    """Finest map P, [N, C, H/4, W/4]."""
    queries: list[Tensor]
    """Normalised frame queries [N, fQ, C] before the first decoder layer and after each one."""


class Detector(nn.Module):
    """Detects the objects of single frames.

    Args:
        backbone: a module that implements `Backbone`.
        pixel_decoder: see `PixelDecoder`.
        frame_decoder: see `FrameDecoder`, with as many levels as the pixel decoder attends to.
    """

    def __init__(self, *, backbone: Backbone, pixel_decoder: PixelDecoder, frame_decoder: FrameDecoder) -> None:
        super().__init__()
        self.backbone = backbone
        self.pixel_decoder = pixel_decoder
        self.frame_decoder = frame_decoder
        self.input_size = (0, 0)

    def prepare(self, height: int, width: int) -> None:
        """Fix the input size in pixels; both must be multiples of 32.

        Sizes are fixed so that every position encoding is a constant and the graph exports with static
        shapes.
        """
        for name, pixels in (("height", height), ("width", width)):
            if pixels <= 0 or pixels % 32:
                raise ValueError(f"{name}={pixels} is not a positive multiple of 32; pad the input to one")
        self.input_size = (height, width)
        self.backbone.prepare(height, width)
        self.pixel_decoder.prepare(height, width)
        embed = self.frame_decoder.level_embed
        for level, (level_height, level_width) in enumerate(self.pixel_decoder.sizes):
            position = sine_position_2d(level_height, level_width, embed.shape[1]).to(embed.device)
            self.register_buffer(f"position_{level}", position, persistent=False)

    def features(self, images: Tensor) -> PixelFeatures:
        """Compute pixel-decoder features of normalised images [N, 3, H, W]."""
        if tuple(images.shape[-2:]) != self.input_size:
            raise ValueError(
                f"images of {tuple(images.shape[-2:])} but the detector is prepared for {self.input_size}; "
                "call prepare(height, width)"
            )
        return self.pixel_decoder(self.backbone(images))

    def levels(self, features: PixelFeatures) -> list[DecoderLevel]:
        """Arrange the pyramid for the frame decoder, each level with mask features of its own size."""
        return [
            DecoderLevel(
                memory=memory.flatten(2).transpose(1, 2),
                position=self.get_buffer(f"position_{i}"),
                mask_features=self.pixel_decoder.mask_features(
                    F.interpolate(features.pixels, size=memory.shape[-2:], mode="bilinear", align_corners=False)
                ).flatten(2),
            )
            for i, memory in enumerate(features.memory)
        ]

    def forward(self, images: Tensor) -> DetectorOutput:
        """Run on normalised RGB images [N, 3, H, W], padded to the prepared size."""
        features = self.features(images)
        return DetectorOutput(pixels=features.pixels, queries=self.frame_decoder(self.levels(features)))

    def detections(self, output: DetectorOutput, layer: int = -1) -> FrameDetections:
        """Predict classes and masks from the queries of one decoder layer, the last by default."""
        queries = output.queries[layer]
        mask_features = self.pixel_decoder.mask_features(output.pixels)
        masks = mask_product(self.frame_decoder.mask_head(queries), mask_features.unsqueeze(1))
        return FrameDetections(classes=self.frame_decoder.class_head(queries), masks=masks.squeeze(1))

    def supervised(self, output: DetectorOutput, *, last_only: bool = False) -> SetPrediction:
        """Return the predictions for N images, T = 1, of every decoder layer or of the last alone."""
        queries = torch.stack(output.queries[-1:] if last_only else output.queries)
        return SetPrediction(
            classes=self.frame_decoder.class_head(queries),
            embeddings=self.frame_decoder.mask_head(queries),
            features=self.pixel_decoder.mask_features(output.pixels).unsqueeze(1),
        )
