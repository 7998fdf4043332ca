"""A fixed video without any file, for whatever has to compute something: the parity gate, warming up, measuring."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .preprocessing import PIXEL_MEAN, PIXEL_STD

_FRAMES = 16


def sample_video(height: int, width: int, frames: int = _FRAMES) -> list[NDArray[np.uint8]]:
    """RGB images [H, W, 3] of plain rectangles that drift over a smooth background, always the same.

    Smooth, because in noise the sign of a mask logit is noise too.
    """
    random = np.random.default_rng(0)
    coarse = random.normal(PIXEL_MEAN, PIXEL_STD, (4, 6, 3)).clip(0, 255).astype(np.uint8)
    background = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    colours = random.normal(PIXEL_MEAN, 1.5 * np.array(PIXEL_STD), (4, 3)).clip(0, 255).astype(np.uint8)
    places = random.random((4, 2))
    speeds = random.uniform(-0.02, 0.02, (4, 2))
    video = []
    for t in range(frames):
        image = background.copy()
        for colour, place in zip(colours, places + t * speeds, strict=True):
            top, left = (int(x * size) for x, size in zip(place % 0.7, (height, width), strict=True))
            image[top : top + height // 4, left : left + width // 5] = colour
        video.append(image)
    return video
