"""Timing of a stream, from an image's bytes to run-length masks, as a whole and by part."""

import platform
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .config import ModelConfig
from .machine import processor_name
from .modeling import ClipWindow, StreamNetwork
from .preprocessing import FrameTransform
from .tracking.observations import PredictionReader
from .tracking.settings import TrackSettings
from .tracking.streaming import StreamingTracker
from .tracking.tracks import TrackManager

EVERY_SLOT = TrackSettings(start_score=0, keep_score=0, min_area=1, confirm_frames=1, duplicate_iou=1, duplicate_part=1)
"""Settings that make every slot with a mask a track, the most work that can occur."""

NETWORK_PARTS = {
    "backbone": "detector.backbone",
    "pixel decoder": "detector.pixel_decoder",
    "frame decoder": "detector.frame_decoder",
    "amodal feature extraction": "samh.features",
    "instance prototypes": "prototypes",
    "prototype update": "update",
    "visible mask head": "visible_head",
    "SAMH": "samh",
    "classification head": "class_head",
}
"""Submodules of a network by the paper's names; an engine has none that could be timed."""


@dataclass(frozen=True)
class StreamTimes:
    """Speed of a stream. Times are per frame; frames that are decided together share theirs."""

    fps: float
    p50_ms: float
    p95_ms: float
    frames: int


def time_stream(tracker: StreamingTracker, video: Sequence[NDArray[np.uint8]], frames: int) -> StreamTimes:
    """Time a stream that repeats a video, after some frames that are not counted."""
    stride, images = tracker.stride, cycle(video)
    for image in islice(images, 2 * tracker.config.clip_length):
        tracker.push(image, 0.0)
    times = []
    for _ in range(max(frames // stride, 1)):
        start = time.perf_counter()
        for image in islice(images, stride):
            tracker.push(image, 0.0)
        times.append((time.perf_counter() - start) / stride)
    p50, p95 = np.percentile(times, (50, 95)) * 1e3
    return StreamTimes(1 / float(np.mean(times)), float(p50), float(p95), len(times) * stride)


class PartTimes:
    """Seconds by part. A part's time excludes that of parts inside it, so that the times add up to the whole.

    Args:
        device: device that is waited for whenever a part begins or ends.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._inside: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of the block as that of a part."""
        self.enter(name)
        yield
        self.leave()

    def enter(self, name: str) -> None:
        """Begin a part."""
        self._account()
        self._inside.append(name)

    def leave(self) -> None:
        """End the part that began last."""
        self._account()
        self._inside.pop()

    def _account(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._inside:
            name = self._inside[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


def network_parts(network: object) -> dict[str, nn.Module]:
    """Return the parts of a network that are modules of their own; a compiled network has none."""
    if not isinstance(network, nn.Module):
        return {}
    modules = dict(network.named_modules())
    return {name: modules[path] for name, path in NETWORK_PARTS.items() if path in modules}


@contextmanager
def hooked(parts: dict[str, nn.Module], times: PartTimes) -> Iterator[None]:
    """Count the time of modules as parts."""
    with ExitStack() as hooks:
        for name, module in parts.items():
            for handle in (
                module.register_forward_pre_hook(lambda *_, name=name: times.enter(name)),
                module.register_forward_hook(lambda *_: times.leave()),
            ):
                hooks.callback(handle.remove)
        yield


@torch.inference_mode()
def time_parts(
    network: StreamNetwork,
    modules: dict[str, nn.Module],
    config: ModelConfig,
    video: Sequence[NDArray[np.uint8]],
    *,
    stride: int,
    frames: int,
    settings: TrackSettings,
) -> dict[str, float]:
    """Measure milliseconds per frame by part, waiting for the device between parts.

    Because of the waiting, their sum is more than the time of a frame.

    Args:
        network: the network that runs.
        modules: parts of it to time separately (see `network_parts`).
        config: its configuration.
        video: images, repeated as often as needed.
        stride: frames between clips.
        frames: number of frames to time, after some that are not counted.
        settings: settings of the tracks.
    """
    device = network.device
    transform = FrameTransform(input_height=config.input_height, input_width=config.input_width, device=device)
    reader, manager = PredictionReader.on(device), TrackManager(settings)
    window = ClipWindow(network, config)
    times = PartTimes(device)
    warm_up, counted = 2 * config.clip_length, max(frames // stride, 1) * stride
    for number, image in enumerate(islice(cycle(video), warm_up + counted)):
        if number == warm_up:
            times.seconds.clear()
        with hooked(modules, times):
            with times.part("transfer"):
                pixels, place = transform(image)
            with times.part("rest of the frame graph"):
                window.push(network.extract(pixels[None, None]))
            if window.open < stride:
                continue
            with times.part("rest of the clip graph"):
                prediction, decided = window.decode()
        for frame in decided:
            with times.part("masks"):
                least = manager.least_scores(network.slots)
                observation = reader.read(prediction, frame, place, least, prototypes=window.state.prototypes[0])
            with times.part("tracks"):
                tracks = manager.update(observation.slots, number / 30)
            with times.part("masks"):
                for track in tracks:
                    observation.masks(track.slot)
    return {name: seconds * 1e3 / counted for name, seconds in times.seconds.items()}


def memory_mib(device: torch.device) -> float:
    """Return the GPU memory in use by all processes, or the peak host memory of this process, in MiB.

    PyTorch's own count does not include the memory of CUDA graphs and TensorRT.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return (total - free) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def device_name(device: torch.device) -> str:
    """Return the GPU's name, or the processor's with the number of PyTorch's threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor_name()}, {torch.get_num_threads()} threads"


def versions() -> dict[str, Any]:
    """Return the versions of the software that the speed depends on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }
