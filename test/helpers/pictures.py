"""Small pictures of things and places, of which clips are composed."""

from pathlib import Path

import cv2
import numpy as np

_SHAPES = {"person": (6, 40, 16), "car": (5, 20, 40), "dog": (4, 16, 20), "truck": (1, 24, 40)}


def cut_out(height: int, width: int, colour: tuple[int, int, int], margin: int = 2) -> np.ndarray:
    """An ellipse of one colour as RGBA on a transparent ground of another."""
    y, x = (2 * (np.arange(side) + 0.5) / side - 1 for side in (height, width))
    pixels = np.full((height, width, 4), (0, 255, 0, 0), np.uint8)
    pixels[x**2 + y[:, None] ** 2 <= 1] = (*colour, 255)
    return np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)))


def save(path: Path, pixels: np.ndarray) -> None:
    """RGB or RGBA as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    assert cv2.imwrite(str(path), cv2.cvtColor(pixels, order))


def scenery(seed: int) -> np.ndarray:
    """A photograph without things."""
    coarse = np.random.default_rng(seed).integers(40, 200, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, (108, 72), interpolation=cv2.INTER_LINEAR)


def make_pictures(root: Path) -> Path:
    """Cut-outs of four classes in ``root/cutouts``, one of them rare, and two photographs in ``root/backgrounds``."""
    for name, (number, height, width) in _SHAPES.items():
        for n in range(number):
            save(root / "cutouts" / name / f"{n}.png", cut_out(height, width, (250 - 20 * n, 60, 40)))
    for n in range(2):
        save(root / "backgrounds" / f"{n}.png", scenery(n))
    return root
