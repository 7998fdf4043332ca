"""Models that the pipeline runs, whoever makes them; without PyTorch, which not all of them need."""

import gc
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from a2vis_model import TrackSettings

from .pipeline import Tracker


@dataclass(frozen=True)
class ModelRequest:
    """Which model to load, and how."""

    weights: str
    """Name of shipped weights, or path of a file."""
    device: str
    """Device: auto, one by torch's name, intel:gpu or intel:npu."""
    backend: str
    """Backend: one of `a2vis_model.backend_names.BACKENDS`."""
    precision: str
    """Precision: one of `a2vis_model.backend_names.PRECISIONS`."""
    engine_cache: str
    """Folder of engines; empty for the user's default folder."""
    threads: int
    """Number of CPU threads for the network; 0 for torch's default."""
    input_width: int
    """Width of the network's input in pixels; 0 for that of the weights."""
    input_height: int
    """Height of the network's input in pixels; 0 for that of the weights."""
    stride: int
    """Number of frames between clips."""
    warmup_frames: int
    """Number of frames that are run through the network before the first real one."""

    @property
    def changes(self) -> dict[str, int]:
        """Return what differs from the configuration of the weights (see `a2vis_model.weights.load_weights`)."""
        sizes = {"input_width": self.input_width, "input_height": self.input_height}
        return {name: size for name, size in sizes.items() if size}


@dataclass(frozen=True)
class LoadedModel:
    """A network that is ready, and facts about it."""

    new_tracker: Callable[[TrackSettings], Tracker]
    """Makes a tracker for a stream, with these thresholds.

    All trackers share the network and nothing of what they see; one thread at a time may use any of them.
    """
    clip_length: int
    """Clip length of the network, the largest possible stride."""
    name: str
    """Name of the preset, and of the variant after a slash if there is one."""
    source: str
    """Name or path of the weights."""
    backend: str
    """Backend and device, such as "eager/cpu" or "tensorrt-fp16/cuda:0"."""
    classes: tuple[str, ...]
    device: str = "cpu"
    reason: str = ""
    """Reason for which the backend was chosen."""
    engine: str = ""
    """Fingerprint of the engine; empty where there is none."""
    parity: str = ""
    """Result of comparing the engine with eager; empty where there is nothing to compare."""
    load_s: float = 0.0
    warmup_s: float = 0.0
    recommended: Mapping[str, float] = field(default_factory=dict)
    """Thresholds of tracks that the weights recommend, by their names."""


@dataclass(frozen=True)
class GpuMemory:
    """Memory of a GPU in MiB."""

    process: float
    """Memory held by torch in this process; TensorRT's own memory is not included."""
    used: float
    """Memory held by all processes."""
    total: float


ReportProgress = Callable[[str], None]
"""Function that is called with a text on what is being done."""
Loader = Callable[[ModelRequest, ReportProgress], LoadedModel]
"""Function that makes a model; it may take minutes."""


def free_memory() -> None:
    """Free the memory of models that are no longer referenced, on the GPU too."""
    # Callbacks and their owners form reference cycles, which Python would otherwise collect at some later time.
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def gpu_memory(device: str) -> GpuMemory | None:
    """Return the memory of the GPU that a model runs on; None on a CPU."""
    if not device.startswith("cuda"):
        return None
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return GpuMemory(torch.cuda.memory_reserved(device) / 2**20, (total - free) / 2**20, total / 2**20)
