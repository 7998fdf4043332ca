"""The parity gate: what a backend computes is compared with eager fp32 before it is used.

Builders of engines have been wrong without a word (see docs/backends.md), and differently on every GPU, so the
comparison is made where the engine runs, every time before it does.
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

_CERTAIN = 20.0
"""Mask logits beyond this are compared as this: the mask is as certain as it can be."""


@dataclass(frozen=True)
class Limits:
    """How far a backend may be from eager fp32; what `GateResult` holds."""

    iou: float
    logits: float
    classes: float
    state: float


LIMITS: dict[Precision, Limits] = {
    # Compilers reorder sums, and where that flips a cell of an attention mask, a query changes a little.
    "fp32": Limits(iou=0.99, logits=0.02, classes=0.02, state=0.02),
    "fp16": Limits(iou=0.97, logits=0.05, classes=0.05, state=0.05),
}


@dataclass(frozen=True)
class GateResult:
    """How a backend compares with eager fp32 over a fixed video, each carrying its own state from clip to clip."""

    clips: int
    visible_iou: float
    """Cells where both have visible masks over those where either has; all slots, frames and clips together."""
    amodal_iou: float
    logits: float
    """Root mean square difference of mask logits over that of the logits."""
    classes: float
    """Greatest difference of a class probability."""
    state: float
    """Root mean square difference of p^G after the last clip over that of p^G."""
    failures: tuple[str, ...]
    """What is beyond its limit, with figure and limit; empty if the gate is passed."""

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
def compare(reference: StreamNetwork, candidate: StreamNetwork, config: ModelConfig, limits: Limits) -> GateResult:
    """Run two networks with visible and amodal masks over the same video, clip stride 1, and compare.

    Args:
        reference: the network in eager fp32.
        candidate: what is to be used in its place.
        config: the configuration of both.
        limits: how far they may differ.
    """
    masks = [_Overlap(), _Overlap()]
    logits = _Difference()
    differences: list[Tensor] = []
    expected, found = _Stream(reference, config), _Stream(candidate, config)
    for image in sample_video(config.input_height, config.input_width, CLIPS):
        first, second = expected.push(image), found.push(image)
        for overlap, a, b in zip(masks, _logits(first), _logits(second), strict=True):
            overlap.add(a > 0, b > 0)
            logits.add(a.clamp(-_CERTAIN, _CERTAIN), b.clamp(-_CERTAIN, _CERTAIN))
        differences.append((first.classes.softmax(dim=-1) - second.classes.softmax(dim=-1)).abs().amax())
    # Of tensors, where NaN does not vanish in a maximum.
    classes = torch.stack(differences).amax().item()
    state = _Difference()
    state.add(expected.window.state.prototypes, found.window.state.prototypes)
    visible_iou, amodal_iou = (overlap.iou() for overlap in masks)
    figures = {
        "visible mask IoU": (visible_iou, limits.iou, visible_iou >= limits.iou),
        "amodal mask IoU": (amodal_iou, limits.iou, amodal_iou >= limits.iou),
        "logits": (logits.relative(), limits.logits, logits.relative() <= limits.logits),
        "classes": (classes, limits.classes, classes <= limits.classes),
        "state": (state.relative(), limits.state, state.relative() <= limits.state),
    }
    failures = tuple(
        f"{name} {figure:.4g}, limit {limit:g}" for name, (figure, limit, held) in figures.items() if not held
    )
    return GateResult(CLIPS, visible_iou, amodal_iou, logits.relative(), classes, state.relative(), failures)


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
    """Intersection and union of masks, added up."""

    def __init__(self) -> None:
        self.both = self.either = 0

    def add(self, a: Tensor, b: Tensor) -> None:
        self.both += int((a & b).sum())
        self.either += int((a | b).sum())

    def iou(self) -> float:
        return self.both / self.either if self.either else 1.0


class _Difference:
    """Squares of differences and of what they are compared with, added up."""

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
