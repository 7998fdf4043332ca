"""Sensor model of a real camera: blur, exposure, noise, repeated and skipped frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Array
from .texture import Rng

_GRAIN = 64  # Room to shift the noise picture, in pixels.
_LONGEST_BLUR = 21


@dataclass(frozen=True)
class Sensor:
    """Camera of a video.

    Attributes:
        shutter: open share of a frame's time.
        softness: blur of the lens in pixels.
        noise: grey levels, int16 [H + 64, W + 64, 3].
        waves: amplitude, radians per second and phase of exposure, [3, 3].
        quality: quality of the JPEG pictures that it sends; None if it sends none.
    """

    shutter: float
    softness: float
    balance: Array
    gamma: float
    waves: Array
    noise: NDArray[np.int16] | None
    quality: int | None = None

    def expose(
        self, picture: NDArray[np.uint8], *, time: float, shift: tuple[float, float], rng: Rng
    ) -> NDArray[np.uint8]:
        """Return `picture` [H, W, 3] as the camera takes it at `time` seconds.

        Meanwhile the view moves by `shift` (x, y) pixels per frame.
        """
        image: NDArray[Any] = picture
        if self.softness > 0:
            image = cv2.GaussianBlur(image, (3, 3), self.softness)
        kernel = smear(shift[0] * self.shutter, shift[1] * self.shutter)
        if kernel is not None:
            image = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        amplitude, rate, phase = self.waves
        gain = float(np.exp((amplitude * np.sin(rate * time + phase)).sum()))
        levels = (np.arange(256, dtype=np.float32)[:, None] / 255) ** self.gamma * self.balance * gain
        table = np.clip(levels * 255, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table.reshape(1, 256, 3))
        if self.noise is not None:
            y, x = rng.integers(0, _GRAIN, 2)
            height, width = image.shape[:2]
            image = cv2.add(image, self.noise[y : y + height, x : x + width], dtype=cv2.CV_8U)
        if self.quality is not None:
            _, sent = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, self.quality))
            image = np.asarray(cv2.imdecode(sent, cv2.IMREAD_COLOR))
        return np.asarray(image, np.uint8)


def sample_sensor(rng: Rng, height: int, width: int) -> Sensor:
    """Sample a camera for pictures of this size in pixels."""
    sigma = max(0.0, float(rng.uniform(-2, 7)))
    grain = rng.standard_normal((height + _GRAIN, width + _GRAIN, 3), dtype=np.float32) * sigma
    swing = float(rng.uniform(0.05, 0.35)) if rng.uniform() < 0.4 else 0.02
    return Sensor(
        shutter=float(rng.uniform(0.1, 0.9)),
        softness=float(rng.uniform(0.4, 0.9)) if rng.uniform() < 0.8 else 0.0,
        balance=(rng.uniform(0.85, 1.15) * (1 + 0.05 * rng.standard_normal(3))).astype(np.float32),
        gamma=float(rng.uniform(0.8, 1.25)),
        waves=np.stack([swing * rng.uniform(0.2, 0.6, 3), rng.uniform(0.3, 4, 3), rng.uniform(0, 6, 3)]).astype(
            np.float32
        ),
        noise=np.rint(grain).astype(np.int16) if sigma > 0.3 else None,
    )


def smear(x: float, y: float) -> Array | None:
    """Return the line `(x, y)` in pixels along which motion spreads every point, as a kernel; None within a pixel."""
    length = float(np.hypot(x, y))
    if length < 1.2:
        return None
    shrink = min(1.0, (_LONGEST_BLUR - 1) / length)
    x, y = x * shrink, y * shrink
    reach = int(np.ceil(max(abs(x), abs(y)) / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    ends = [(round((reach + s * x / 2) * 16), round((reach + s * y / 2) * 16)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 255, 1, cv2.LINE_AA, 4)
    weights = kernel.astype(np.float32)
    return weights / weights.sum()


def frame_times(rng: Rng, frames: int, fps: float) -> list[float]:
    """Sample the scene time of every frame in seconds: some cameras repeat a frame now and then, some skip a few."""
    period = (1 if rng.uniform() < 0.8 else 2) / fps
    repeating = rng.uniform(0.005, 0.05) if rng.uniform() < 0.3 else 0.0
    skipping = rng.uniform(0.005, 0.05) if rng.uniform() < 0.3 else 0.0
    times: list[float] = []
    now = 0.0
    for _ in range(frames):
        if times and rng.uniform() < repeating:
            times.append(times[-1])
        else:
            if rng.uniform() < skipping:
                now += period * float(rng.integers(1, 6))
            times.append(now)
        now += period
    return times
