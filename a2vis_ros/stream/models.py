"""Loading and warming up what the pipeline runs. No ROS."""

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from a2vis_model import A2VISError, StreamingTracker, TrackSettings, freeze, load_weights
from a2vis_model.backends import Backend, default_cache, prepare_backend

from .pipeline import Tracker


@dataclass(frozen=True)
class ModelRequest:
    """What to load."""

    weights: str
    """Name of a set that ships, or path of a file."""
    device: str
    """auto, cpu or cuda, as torch names it."""
    backend: str
    """auto, eager, compile or tensorrt."""
    precision: str
    """fp32 or fp16."""
    engine_cache: str
    """Folder of engines; empty for the user's."""
    threads: int
    """Of the CPU, for the network; 0 for torch's choice."""
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
    """Name or file of the weights."""
    backend: str
    """What computes and where, such as "eager/cpu" or "tensorrt-fp16/cuda:0"."""
    classes: tuple[str, ...]
    device: str = "cpu"
    reason: str = ""
    """Why this backend."""
    engine: str = ""
    """Fingerprint of the engine; empty where there is none."""
    parity: str = ""
    """How the engine compares with eager; empty where there is nothing to compare."""
    load_s: float = 0.0
    warmup_s: float = 0.0


@dataclass(frozen=True)
class GpuMemory:
    """Of a GPU, in MiB."""

    process: float
    """Held by torch in this process; what TensorRT has for itself is not in it."""
    used: float
    """By all processes."""
    total: float


Progress = Callable[[str], None]
"""Told in words what is being done."""
Loader = Callable[[ModelRequest, Progress], LoadedModel]
"""Makes a model; may take minutes."""


def load_model(request: ModelRequest, progress: Progress) -> LoadedModel:
    """Load, move to the device, get or build the backend's engine, and warm up.

    Raises:
        A2VISError: for weights, a device, a stride or a backend that cannot be used.
    """
    start = time.monotonic()
    if request.threads:
        # For all threads that have not computed yet: the one that will run the network is made later.
        torch.set_num_threads(request.threads)
    device = _device(request.device)
    progress(f"reading {request.weights}")
    model, config = load_weights(request.weights)
    if request.stride > config.clip_length:
        raise A2VISError(f"stride={request.stride} is over the clip length of {config.name}, {config.clip_length}")
    backend = prepare_backend(
        freeze(model.to(device)),
        config,
        backend=request.backend,
        precision=request.precision,
        cache=Path(os.path.expanduser(request.engine_cache)) if request.engine_cache else default_cache(),
        progress=progress,
    )
    loaded = time.monotonic()
    progress(f"warming up {backend.name}")
    # A tracker of its own, so that the real one counts frames and tracks from the beginning.
    warmup = StreamingTracker(backend.network, config, stride=request.stride)
    blank = np.zeros((config.input_height, config.input_width, 3), np.uint8)
    for _ in range(request.warmup_frames):
        warmup.push(blank, 0.0)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return LoadedModel(
        tracker=StreamingTracker(backend.network, config, stride=request.stride, settings=request.tracks),
        clip_length=config.clip_length,
        name=config.name,
        source=request.weights,
        backend=_backend_name(backend),
        classes=config.classes,
        device=str(device),
        reason=backend.reason,
        engine=backend.fingerprint,
        parity="" if backend.gate is None else str(backend.gate),
        load_s=loaded - start,
        warmup_s=time.monotonic() - loaded,
    )


def free_memory() -> None:
    """Give back what models that nobody holds any more have taken, on the GPU too."""
    # Callbacks and what they belong to are in reference cycles, which Python would break some other day.
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def gpu_memory(device: str) -> GpuMemory | None:
    """Of the GPU that a model runs on; None on a CPU."""
    if not device.startswith("cuda"):
        return None
    free, total = torch.cuda.mem_get_info(device)
    return GpuMemory(torch.cuda.memory_reserved(device) / 2**20, (total - free) / 2**20, total / 2**20)


def _backend_name(backend: Backend) -> str:
    precision = "" if backend.precision == "fp32" else f"-{backend.precision}"
    return f"{backend.name}{precision}/{backend.device}"


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
