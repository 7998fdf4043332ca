"""Loading and warming up what the pipeline runs. No ROS."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from a2vis_model import A2VISError, StreamingTracker, TrackSettings, freeze, load_weights, shipped_weights

from .pipeline import Tracker


@dataclass(frozen=True)
class ModelRequest:
    """What to load."""

    weights: str
    """Path of a weight file; empty for those that come with `preset`."""
    preset: str
    device: str
    """auto, cpu or cuda, as torch names it."""
    stride: int
    """Frames between clips."""
    warmup_frames: int
    """Frames run through the network before the first real one."""
    tracks: TrackSettings


@dataclass(frozen=True)
class LoadedModel:
    """A tracker that is ready, and what to say of it."""

    tracker: Tracker
    clip_length: int
    """The most frames between clips."""
    name: str
    """Preset, and variant after a slash if there is one."""
    source: str
    """Where the weights are from."""
    backend: str
    """What computes and where, such as "eager/cpu"."""
    classes: tuple[str, ...]
    load_s: float
    warmup_s: float


def load_model(request: ModelRequest) -> LoadedModel:
    """Load, move to the device and warm up.

    Raises:
        A2VISError: for weights, a device or a stride that cannot be used.
    """
    start = time.monotonic()
    device = _device(request.device)
    source = request.weights or str(shipped_weights(request.preset))
    model, config = load_weights(source)
    if request.stride > config.clip_length:
        raise A2VISError(f"stride={request.stride} is over the clip length of {config.name}, {config.clip_length}")
    network = freeze(model.to(device))
    loaded = time.monotonic()
    # A tracker of its own, so that the real one counts frames and tracks from the beginning.
    warmup = StreamingTracker(network, config, stride=request.stride)
    blank = np.zeros((config.input_height, config.input_width, 3), np.uint8)
    for _ in range(request.warmup_frames):
        warmup.push(blank, 0.0)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return LoadedModel(
        tracker=StreamingTracker(network, config, stride=request.stride, settings=request.tracks),
        clip_length=config.clip_length,
        name=config.name,
        source=source,
        backend=f"eager/{device}",
        classes=config.classes,
        load_s=loaded - start,
        warmup_s=time.monotonic() - loaded,
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise A2VISError(f"device={name!r} is none that torch knows; use auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise A2VISError(f"device={name!r} is not supported; use auto, cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise A2VISError(f"device={name!r}, but this torch finds no usable NVIDIA GPU; use cpu")
    return device
