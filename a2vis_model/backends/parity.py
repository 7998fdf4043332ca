"""The parity gate: a backend's results are compared with eager fp32 before it is used.

Engine builders have been silently wrong (see docs/backends.md), and differently on every GPU, so the
comparison runs where the engine runs, every time before it is used.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import ModelConfig
from ..modeling import ClipPrediction, ClipWindow, StreamNetwork
from ..preprocessing import FrameTransform
from ..sample_video import sample_video
from .choice import Precision

CLIPS = 10
"""Frames of the video, and clips: with clip stride 1 every frame ends one."""
CLIPS_AGAIN = 3
"""Clips for an engine of the cache, which passed over `CLIPS` when it was built.

What has become wrong since shows in any clip, in the second if it is the state, and a robot waits for each.
"""

_CERTAIN = 20.0
"""Mask logits are limited to this magnitude before they are compared: beyond it a mask is certain."""


@dataclass(frozen=True)
class Tolerances:
    """How far a backend may be from eager fp32; what `GateResult` holds."""

    iou: float
    logits: float
    classes: float
    state: float


TOLERANCES: dict[Precision, Tolerances] = {
    # Compilers reorder sums, and where that flips a cell of an attention mask, a query changes slightly.
    "fp32": Tolerances(iou=0.99, logits=0.02, classes=0.02, state=0.02),
    "fp16": Tolerances(iou=0.97, logits=0.05, classes=0.05, state=0.05),
    # With 8 bits many cells of attention masks flip. This finds engines that are wrong; what the rounding costs is
    # measured on data (docs/backends.md).
    "bf16": Tolerances(iou=0.75, logits=0.1, classes=0.2, state=0.2),
    "int8": Tolerances(iou=0.75, logits=0.1, classes=0.2, state=0.2),
}


@dataclass(frozen=True)
class GateResult:
    """How a backend compares with eager fp32 over a fixed video, each carrying its own state from clip to clip."""

    clips: int
    visible_iou: float
    """IoU of the visible masks of both, over all slots, frames and clips together."""
    amodal_iou: float
    logits: float
    """Root mean square difference of mask logits, relative to the root mean square of the logits."""
    classes: float
    """Greatest difference of a class probability."""
    state: float
    """Root mean square difference of p^G after the last clip, relative to the root mean square of p^G."""
    failures: tuple[str, ...]
    """Values beyond their limits, each with value and limit; empty if the gate is passed."""

    @property
    def passed(self) -> bool:
        """Whether the backend may be used."""
        return not self.failures

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "failed: " + "; ".join(self.failures)
        return (
            f"{verdict} ({self.clips} clips: visible mask IoU {self.visible_iou:.4f}, amodal {self.amodal_iou:.4f}, "
            f"logits {self.logits:.1e}, classes {self.classes:.1e}, state {self.state:.1e})"
        )


@torch.inference_mode()
def compare(
    reference: StreamNetwork,
    candidate: StreamNetwork,
    config: ModelConfig,
    tolerances: Tolerances,
    clips: int = CLIPS,
) -> GateResult:
    """Run two networks with visible and amodal masks over the same video, clip stride 1, and compare.

    Args:
        reference: the network in eager fp32.
        candidate: the network to be used in its place.
        config: the configuration of both.
        tolerances: how far they may differ.
        clips: how many clips, from the beginning of the video.
    """
    masks = [_Overlap(), _Overlap()]
    logits = _Difference()
    differences: list[Tensor] = []
    expected, found = _Stream(reference, config), _Stream(candidate, config)
    for image in sample_video(config.input_height, config.input_width, clips):
        first, second = expected.push(image), found.push(image)
        for overlap, a, b in zip(masks, _logits(first), _logits(second), strict=True):
            overlap.add(a > 0, b > 0)
            logits.add(a.clamp(-_CERTAIN, _CERTAIN), b.clamp(-_CERTAIN, _CERTAIN))
        differences.append((first.classes.softmax(dim=-1) - second.classes.softmax(dim=-1)).abs().amax())
    # The maximum is taken over tensors, where it does not lose NaN.
    classes = torch.stack(differences).amax().item()
    state = _Difference()
    state.add(expected.window.state.prototypes, found.window.state.prototypes)
    visible_iou, amodal_iou = (overlap.iou() for overlap in masks)
    figures = {
        "visible mask IoU": (visible_iou, tolerances.iou, visible_iou >= tolerances.iou),
        "amodal mask IoU": (amodal_iou, tolerances.iou, amodal_iou >= tolerances.iou),
        "logits": (logits.relative(), tolerances.logits, logits.relative() <= tolerances.logits),
        "classes": (classes, tolerances.classes, classes <= tolerances.classes),
        "state": (state.relative(), tolerances.state, state.relative() <= tolerances.state),
    }
    failures = tuple(
        f"{name} {figure:.4g}, limit {limit:g}" for name, (figure, limit, held) in figures.items() if not held
    )
    return GateResult(clips, visible_iou, amodal_iou, logits.relative(), classes, state.relative(), failures)


class _Stream:
    """A network and its window of frames, with clip stride 1."""

    def __init__(self, network: StreamNetwork, config: ModelConfig) -> None:
        self.network = network
        self.transform = FrameTransform(
            input_height=config.input_height, input_width=config.input_width, device=network.device
        )
        self.window = ClipWindow(network, config)

    def push(self, image: NDArray[np.uint8]) -> ClipPrediction:
        """Take an image [H, W, 3]; the clip it ends, decoded."""
        pixels, _ = self.transform(image)
        self.window.push(self.network.extract(pixels[None, None]))
        prediction, _ = self.window.decode()
        return prediction


class _Overlap:
    """Sums of the intersections and unions of masks."""

    def __init__(self) -> None:
        self.both = self.either = 0

    def add(self, a: Tensor, b: Tensor) -> None:
        self.both += int((a & b).sum())
        self.either += int((a | b).sum())

    def iou(self) -> float:
        return self.both / self.either if self.either else 1.0


class _Difference:
    """Sums of the squares of differences and of the reference values."""

    def __init__(self) -> None:
        self.difference = self.size = 0.0

    def add(self, a: Tensor, b: Tensor) -> None:
        self.difference += float((a.double() - b.double()).square().sum())
        self.size += float(a.double().square().sum())

    def relative(self) -> float:
        return (self.difference / self.size) ** 0.5 if self.size else self.difference**0.5


def _logits(prediction: ClipPrediction) -> tuple[Tensor, Tensor]:
    if prediction.visible is None or prediction.amodal is None:
        raise ValueError("the network predicts one kind of masks only; compare an A2VIS with SAMH")
    return prediction.visible, prediction.amodal
