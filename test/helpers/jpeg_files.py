"""JPEG pictures that are damaged in their midst."""

import io

import cv2
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 96, 128


def picture(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Smooth, with some noise: [height, width, 3]."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(smooth.astype(int) + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray | None = None, mode: str = "RGB", **options: object) -> bytes:
    """A whole one."""
    buffer = io.BytesIO()
    Image.fromarray(picture() if image is None else image).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def cut_out(content: bytes) -> bytes:
    """Without 100 bytes of the picture's codes: libjpeg meets the end before it has all blocks."""
    middle = len(content) // 2
    return content[:middle] + content[middle + 100 :]


def doubled(content: bytes) -> bytes:
    """With a stretch of codes twice: libjpeg has all blocks before it meets the end."""
    middle = len(content) // 2
    return content[:middle] + content[middle - 300 : middle] + content[middle:]
