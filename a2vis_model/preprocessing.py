"""Conversion of a camera image to the network's input."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .placement import Placement
from .transfer import upload

# ImageNet statistics of RGB in 0..255; every backbone here was trained with them.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


class FrameTransform:
    """Scales, normalises and pads images to a fixed input size.

    Args:
        input_height: height of the network's input in pixels.
        input_width: width of the network's input in pixels.
        device: device of the network; images are copied to it as bytes, without waiting for it.
    """

    def __init__(self, *, input_height: int, input_width: int, device: torch.device | None = None) -> None:
        self.input_height = input_height
        self.input_width = input_width
        self._device = device or torch.device("cpu")
        # The constants cover whole rows: single pixels are too short for a processor's vector instructions.
        self._mean = torch.tensor(PIXEL_MEAN).repeat(input_width).to(self._device)
        self._inverse_std = (1 / torch.tensor(PIXEL_STD)).repeat(input_width).to(self._device)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[Tensor, Placement]:
        """Prepare one RGB image, uint8 [H, W, 3], of any size.

        Returns:
            float32 [3, input_height, input_width], zero where padded, and the position of the image in it.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"image is {image.dtype} {image.shape}; give RGB as uint8 [H, W, 3]")
        height, width = image.shape[:2]
        place = Placement.fit(
            image_height=height,
            image_width=width,
            input_height=self.input_height,
            input_width=self.input_width,
        )
        size = place.scaled_height, place.scaled_width
        # A copy to a GPU is asynchronous only from pinned memory.
        scaled = torch.empty(*size, 3, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        if size == (height, width):
            np.copyto(scaled.numpy(), image)
        else:
            # Averaging when shrinking keeps thin objects that plain bilinear sampling would skip.
            method = cv2.INTER_AREA if place.scaled_height < height else cv2.INTER_LINEAR
            cv2.resize(image, size[::-1], dst=scaled.numpy(), interpolation=method)
        # Channels stay last in memory: convolutions are fastest with this layout, and no copy is needed.
        result = torch.zeros(self.input_height, self.input_width, 3, device=self._device)
        inner = result.view(self.input_height, -1)[: size[0], : 3 * size[1]]
        inner.copy_(upload(scaled, self._device).flatten(1))
        inner.sub_(self._mean[: 3 * size[1]]).mul_(self._inverse_std[: 3 * size[1]])
        return result.permute(2, 0, 1), place
