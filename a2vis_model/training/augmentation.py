"""Random changes that leave a sequence one: every frame gets the same, and what moves, moves smoothly."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..data.video import Sample
from ..preprocessing import PIXEL_MEAN, Placement
from .draws import MEDIUM_SIDE, SMALL_SIDE, Focus
from .ranges import check_share

Bytes = NDArray[np.uint8]
Masks = NDArray[np.bool_]

_RESIZED = (0.4, 4.0)
"""Least and greatest factor that makes an object of medium size."""


@dataclass(frozen=True)
class Augmentation:
    """How much is changed. `Augmentation.none()` changes nothing but the size."""

    scale: tuple[float, float] = (0.75, 1.5)
    """Factors on the size at which the image just fits; what then lies outside the input is cropped."""
    travel: float = 0.25
    """How far the crop moves from the first frame to the last, as a share of its room."""
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
    """Probability that objects of another photograph of the same source are pasted onto one."""

    def __post_init__(self) -> None:
        check_share(self, "flip", "resized", "copy_paste")

    @classmethod
    def none(cls) -> Augmentation:
        """The frames as inference sees them."""
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
    """A sequence at the network's input size; N objects that are visible in it, F frames."""

    images: Bytes
    """[F, H, W, 3] RGB."""
    visible: Masks
    """[F, N, H, W]."""
    amodal: Masks
    """[F, N, H, W], empty in the frames before an object is first visible (paper 3.1)."""
    classes: NDArray[np.int64]
    """[N]."""
    amodal_known: bool = True
    """Whether the amodal masks are whole shapes. If not, they hold what is known to belong to an object, which may
    go on where another object is seen."""
    labelled: NDArray[np.bool_] | None = None
    """[K], the classes whose every object is among the N; None for all."""


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

    With `focus`, the crop begins where an object of that class is in view, as much of it as fits.
    Without amodal masks, what is visible of an object is all that is known to belong to it.
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
    # What counts is whether an object is seen in this sequence, after cropping, from which frame on.
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
    """The mask [h, w], in the first frame, of the object that a picture is drawn for; None where it is not there."""
    areas = sample.visible[:, 0].sum(axis=(1, 2)) * scale**2
    choice = np.flatnonzero((areas > 0) & (sample.class_ids == focus.class_id))
    if focus.resize and (areas[choice] < SMALL_SIDE**2).any():
        choice = choice[areas[choice] < SMALL_SIDE**2]
    return np.asarray(sample.visible[rng.choice(choice), 0]) if len(choice) else None


def _medium_scale(side: float, rng: np.random.Generator) -> float:
    """A factor that makes an object of medium size; `side` is the root of its area where the image just fits."""
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
    """Where (y, x) the corner of the scaled image lies in the input in each frame; it moves linearly, from where
    `mask`, of the image before it was scaled, is in view if given."""
    start = rng.random(2)
    room = np.subtract(canvas, size)
    if mask is not None:
        lines = [np.asarray(mask.any(axis=1 - i)) for i in (0, 1)]
        start = np.array([_in_view(start[i], int(room[i]), canvas[i], lines[i]) for i in (0, 1)])
    if not travel:
        # As at inference an image that does not fill the input is at the top left.
        start *= np.greater(size, canvas)
    end = np.clip(start + rng.uniform(-travel, travel, 2), 0, 1)
    return [(round(y), round(x)) for y, x in ((start + (end - start) * t) * room for t in np.linspace(0, 1, frames))]


def _in_view(position: float, room: int, canvas: int, lines: NDArray[np.bool_]) -> float:
    """Move a crop's position along an axis, a share of `room`, so that the lines of the image that are true are in
    view, as many as fit."""
    if room >= 0:
        return position
    size = canvas - room
    inside = np.flatnonzero(lines)
    first, last = inside[0] * size / len(lines), (inside[-1] + 1) * size / len(lines)
    # Where the corner of the image may lie: from 0 down to `room`, and such that the span is inside the canvas, or
    # the canvas inside the span.
    low, high = sorted((-first, canvas - last))
    low, high = max(low, room), min(high, 0)
    return float((low + (high - low) * position) / room)


def _paste(image: Bytes, canvas: Bytes, offset: tuple[int, int]) -> None:
    """Copy what of an image lies on a canvas."""
    spans = []
    for start, length, room in zip(offset, image.shape, canvas.shape, strict=False):
        first, last = max(start, 0), min(start + length, room)
        spans.append((slice(first, last), slice(first - start, last - start)))
    (to_y, from_y), (to_x, from_x) = spans
    canvas[to_y, to_x] = image[from_y, from_x]


def _draw_masks(masks: Masks, size: tuple[int, int], offsets: list[tuple[int, int]], height: int, width: int) -> Masks:
    """Masks [N, F, h, w], scaled to `size` and moved to the offsets: [F, N, height, width]."""
    drawn = np.zeros((len(offsets), len(masks), height, width), np.bool_)
    for n, t in zip(*np.nonzero(masks.any(axis=(2, 3))), strict=True):
        _draw_mask(masks[n, t], drawn[t, n], size, offsets[t])
    return drawn


def _draw_mask(
    mask: NDArray[np.bool_], canvas: NDArray[np.bool_], size: tuple[int, int], offset: tuple[int, int]
) -> None:
    """As resizing and pasting, but only around the mask, which is much smaller than the image as a rule."""
    matrix = np.zeros((2, 3))
    box = []
    for axis in (0, 1):
        lines = np.flatnonzero(mask.any(axis=1 - axis))
        scale = size[axis] / mask.shape[axis]
        first = max(int(lines[0] * scale) - 1, 0) + offset[axis]
        last = min(int((lines[-1] + 1) * scale) + 2, size[axis]) + offset[axis]
        box.append(slice(max(first, 0), max(min(last, canvas.shape[axis]), 0)))
        # From the centre of a cell of the canvas to the mask; OpenCV wants x before y.
        matrix[1 - axis, 1 - axis] = 1 / scale
        matrix[1 - axis, 2] = (box[axis].start - offset[axis] + 0.5) / scale - 0.5
    part = canvas[box[0], box[1]]
    if part.size:
        method = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        # Interpolated values are rounded, so that the edge is where they pass one half.
        part[:] = cv2.warpAffine(
            mask.view(np.uint8), matrix, part.shape[::-1], flags=method, borderMode=cv2.BORDER_REPLICATE
        )


def _resize(image: Bytes, size: tuple[int, int]) -> Bytes:
    """As the preprocessing of inference does."""
    if image.shape[:2] == size:
        return image
    method = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=method), np.uint8)


def _colour_matrix(augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float32] | None:
    """Saturation, contrast around the mean grey and brightness as one affine map [3, 4]; None for the identity."""
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
