"""Random changes that are consistent over a sequence: every frame gets the same ones, and motion is smooth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..data.video import Sample
from ..placement import Placement
from ..preprocessing import PIXEL_MEAN
from .draws import MEDIUM_SIDE, SMALL_SIDE, Focus
from .value_checks import check_share

Bytes = NDArray[np.uint8]
Masks = NDArray[np.bool_]

_RESIZED = (0.4, 4.0)
"""Smallest and greatest factor by which an image is scaled to make an object of medium size."""


@dataclass(frozen=True)
class Augmentation:
    """Strength of the random changes. `Augmentation.none()` changes nothing but the size."""

    scale: tuple[float, float] = (0.75, 1.5)
    """Range of factors on the size at which the image just fits the input; what then lies outside is cropped."""
    travel: float = 0.25
    """Distance that the crop moves from the first frame to the last, as a share of its room."""
    flip: float = 0.5
    """Probability of a left-right flip."""
    brightness: float = 0.2
    """Largest change of brightness, as a share of the full range."""
    contrast: float = 0.3
    """Largest change of contrast, as a share."""
    saturation: float = 0.3
    """Largest change of saturation, as a share."""
    resized: float = 0.5
    """Probability that a photograph is scaled so that the object it is drawn for becomes of medium size."""
    copy_paste: float = 0.5
    """Probability that objects of another photograph of the same source are pasted onto a photograph."""

    def __post_init__(self) -> None:
        check_share(self, "flip", "resized", "copy_paste")

    @classmethod
    def none(cls) -> Augmentation:
        """Return settings under which training sees the frames as inference does."""
        return cls(
            scale=(1.0, 1.0),
            travel=0.0,
            flip=0.0,
            brightness=0.0,
            contrast=0.0,
            saturation=0.0,
            resized=0.0,
            copy_paste=0.0,
        )


@dataclass(frozen=True)
class TrainingSample:
    """A sequence of F frames at the network's input size, with the N objects that are visible in it."""

    images: Bytes
    """Images [F, H, W, 3] RGB."""
    visible: Masks
    """Visible masks [F, N, H, W]."""
    amodal: Masks
    """Amodal masks [F, N, H, W], empty in the frames before an object is first visible (paper 3.1)."""
    classes: NDArray[np.int64]
    """Classes [N]."""
    amodal_known: bool = True
    """Whether the amodal masks are complete shapes.

    If not, they hold the pixels that are known to belong to an object, which may also extend behind other objects.
    """
    labelled: NDArray[np.bool_] | None = None
    """Classes [K] of which every object is among the N; None for all classes."""


def augment(
    sample: Sample,
    augmentation: Augmentation,
    *,
    height: int,
    width: int,
    rng: np.random.Generator,
    focus: Focus | None = None,
) -> TrainingSample:
    """Bring a sequence to the network's input size `height` x `width`, randomly changed.

    With `focus`, the crop begins where an object of that class is in view, as much of it as fits. Without amodal masks,
    only an object's visible pixels are known to belong to it.
    """
    fit = Placement.fit(
        image_height=sample.frames.shape[1],
        image_width=sample.frames.shape[2],
        input_height=height,
        input_width=width,
    )
    low, high = np.log(augmentation.scale)
    scale = float(np.exp(rng.uniform(low, high)))
    fitted = fit.scaled_height / fit.image_height
    mask = None if focus is None else _choose(sample, focus, fitted, rng)
    if focus is not None and focus.resize and mask is not None:
        scale = _medium_scale(fitted * float(np.sqrt(mask.sum())), rng)
    size = (max(round(fit.scaled_height * scale), 1), max(round(fit.scaled_width * scale), 1))
    offsets = _offsets(size, (height, width), len(sample.frames), augmentation.travel, rng, mask)
    flip = bool(rng.random() < augmentation.flip)
    colour = _colour_matrix(augmentation, rng)
    images = np.empty((len(sample.frames), height, width, 3), np.uint8)
    images[:] = np.round(PIXEL_MEAN)
    for image, frame, offset in zip(images, sample.frames, offsets, strict=True):
        _paste(_resize(_recolour(frame, colour), size), image, offset)
    visible = _draw_masks(sample.visible, size, offsets, height, width)
    amodal = visible.copy() if sample.amodal is None else _draw_masks(sample.amodal, size, offsets, height, width)
    # What counts is whether, and from which frame on, an object is visible in this sequence after cropping.
    seen = np.logical_or.accumulate(visible.any(axis=(2, 3)), axis=0)
    amodal &= seen[:, :, None, None]
    kept = seen[-1]
    order = slice(None, None, -1 if flip else 1)
    return TrainingSample(
        images=np.ascontiguousarray(images[:, :, order]),
        visible=np.ascontiguousarray(visible[:, kept, :, order]),
        amodal=np.ascontiguousarray(amodal[:, kept, :, order]),
        classes=sample.class_ids[kept],
        amodal_known=sample.amodal is not None,
        labelled=sample.labelled,
    )


def _choose(sample: Sample, focus: Focus, scale: float, rng: np.random.Generator) -> NDArray[np.bool_] | None:
    """Return the mask [h, w], in the first frame, of the object that the sequence is drawn for.

    None if it is absent.
    """
    areas = sample.visible[:, 0].sum(axis=(1, 2)) * scale**2
    choice = np.flatnonzero((areas > 0) & (sample.class_ids == focus.class_id))
    if focus.resize and (areas[choice] < SMALL_SIDE**2).any():
        choice = choice[areas[choice] < SMALL_SIDE**2]
    return np.asarray(sample.visible[rng.choice(choice), 0]) if len(choice) else None


def _medium_scale(side: float, rng: np.random.Generator) -> float:
    """Return a factor that makes an object of medium size; `side` is the root of its area where the image just fits."""
    wanted = np.exp(rng.uniform(np.log(SMALL_SIDE), np.log(MEDIUM_SIDE)))
    return float(np.clip(wanted / side, *_RESIZED))


def _offsets(
    size: tuple[int, int],
    canvas: tuple[int, int],
    frames: int,
    travel: float,
    rng: np.random.Generator,
    mask: NDArray[np.bool_] | None = None,
) -> list[tuple[int, int]]:
    """Compute the (y, x) position of the scaled image's corner in the input in each frame; it moves linearly.

    If `mask`, of the image before it was scaled, is given, the motion starts where it is in view.
    """
    start = rng.random(2)
    room = np.subtract(canvas, size)
    if mask is not None:
        lines = [np.asarray(mask.any(axis=1 - i)) for i in (0, 1)]
        start = np.array([_in_view(start[i], int(room[i]), canvas[i], lines[i]) for i in (0, 1)])
    if not travel:
        # As at inference, an image that does not fill the input is at the top left.
        start *= np.greater(size, canvas)
    end = np.clip(start + rng.uniform(-travel, travel, 2), 0, 1)
    return [(round(y), round(x)) for y, x in ((start + (end - start) * t) * room for t in np.linspace(0, 1, frames))]


def _in_view(position: float, room: int, canvas: int, lines: NDArray[np.bool_]) -> float:
    """Move a crop along an axis until the marked lines of the image are in view, as many as fit.

    Args:
        position: position of the crop, a share of `room`.
        room: canvas size minus size of the scaled image, in pixels.
        canvas: size of the input in pixels.
        lines: rows or columns of the image that the object covers.
    """
    if room >= 0:
        return position
    size = canvas - room
    inside = np.flatnonzero(lines)
    first, last = inside[0] * size / len(lines), (inside[-1] + 1) * size / len(lines)
    # The image's corner may lie anywhere from 0 to `room` where the span is inside the canvas, or the canvas inside
    # the span.
    low, high = sorted((-first, canvas - last))
    low, high = max(low, room), min(high, 0)
    return float((low + (high - low) * position) / room)


def _paste(image: Bytes, canvas: Bytes, offset: tuple[int, int]) -> None:
    """Copy the part of an image that lies on a canvas."""
    spans = []
    for start, length, room in zip(offset, image.shape, canvas.shape, strict=False):
        first, last = max(start, 0), min(start + length, room)
        spans.append((slice(first, last), slice(first - start, last - start)))
    (to_y, from_y), (to_x, from_x) = spans
    canvas[to_y, to_x] = image[from_y, from_x]


def _draw_masks(masks: Masks, size: tuple[int, int], offsets: list[tuple[int, int]], height: int, width: int) -> Masks:
    """Scale masks [N, F, h, w] to `size` and move them to the offsets: [F, N, height, width]."""
    drawn = np.zeros((len(offsets), len(masks), height, width), np.bool_)
    for n, t in zip(*np.nonzero(masks.any(axis=(2, 3))), strict=True):
        _draw_mask(masks[n, t], drawn[t, n], size, offsets[t])
    return drawn


def _draw_mask(
    mask: NDArray[np.bool_], canvas: NDArray[np.bool_], size: tuple[int, int], offset: tuple[int, int]
) -> None:
    """Resize and paste one mask, working only around it, because masks are usually much smaller than the image."""
    matrix = np.zeros((2, 3))
    box = []
    for axis in (0, 1):
        lines = np.flatnonzero(mask.any(axis=1 - axis))
        scale = size[axis] / mask.shape[axis]
        first = max(int(lines[0] * scale) - 1, 0) + offset[axis]
        last = min(int((lines[-1] + 1) * scale) + 2, size[axis]) + offset[axis]
        box.append(slice(max(first, 0), max(min(last, canvas.shape[axis]), 0)))
        # Affine map from the centre of a cell of the canvas to the mask; OpenCV expects x before y.
        matrix[1 - axis, 1 - axis] = 1 / scale
        matrix[1 - axis, 2] = (box[axis].start - offset[axis] + 0.5) / scale - 0.5
    part = canvas[box[0], box[1]]
    if part.size:
        method = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        # Interpolated values are rounded, so that the edge lies where they cross one half.
        part[:] = cv2.warpAffine(
            mask.view(np.uint8), matrix, part.shape[::-1], flags=method, borderMode=cv2.BORDER_REPLICATE
        )


def _resize(image: Bytes, size: tuple[int, int]) -> Bytes:
    """Resize an image as the preprocessing of inference does."""
    if image.shape[:2] == size:
        return image
    method = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=method), np.uint8)


def _colour_matrix(augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float32] | None:
    """Combine saturation, contrast around the mean grey and brightness in one affine map [3, 4].

    None for the identity.
    """
    if not (augmentation.brightness or augmentation.contrast or augmentation.saturation):
        return None
    brightness = 255 * rng.uniform(-augmentation.brightness, augmentation.brightness)
    contrast = 1 + rng.uniform(-augmentation.contrast, augmentation.contrast)
    saturation = 1 + rng.uniform(-augmentation.saturation, augmentation.saturation)
    grey = np.tile(np.array([0.299, 0.587, 0.114]), (3, 1))
    linear = contrast * (saturation * np.eye(3) + (1 - saturation) * grey)
    offset = np.full((3, 1), (1 - contrast) * np.mean(PIXEL_MEAN) + brightness)
    return np.hstack((linear, offset)).astype(np.float32)


def _recolour(image: Bytes, matrix: NDArray[np.float32] | None) -> Bytes:
    return image if matrix is None else np.asarray(cv2.transform(image, matrix), np.uint8)
