"""How long a stream takes, from the image's bytes to masks as run lengths, and which part of it takes how long."""

import platform
import resource
import time
from collections import deque
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
from .modeling import FrameFeatures, StreamNetwork, concatenate
from .preprocessing import FrameTransform
from .tracking.observations import FrameReader
from .tracking.streaming import StreamingTracker
from .tracking.tracks import TrackManager, TrackSettings

EVERY_SLOT = TrackSettings(start_score=0, keep_score=0, min_area=1, confirm_frames=1, duplicate_iou=1, duplicate_part=1)
"""Every slot with a mask is a track: the most that can happen."""

NETWORK_PARTS = {
    "backbone": "detector.backbone",
    "pixel decoder": "detector.pixel_decoder",
    "frame decoder": "detector.frame_decoder",
    "amodal features": "samh.features",
    "instance prototypes": "prototypes",
    "prototype update": "update",
    "visible mask head": "visible_head",
    "SAMH": "samh",
    "class head": "class_head",
}
"""Submodules of a network by what the paper calls them; an engine has none that could be timed."""

_VIDEO_FRAMES = 16


def sample_video(height: int, width: int) -> list[NDArray[np.uint8]]:
    """Some RGB images of plain rectangles that drift over a smooth background."""
    rng = np.random.default_rng(0)
    background = cv2.resize(rng.integers(60, 200, (4, 6, 3), np.uint8), (width, height))
    colours, places = rng.integers(0, 256, (6, 3), np.uint8), rng.random((6, 2))
    video = []
    for t in range(_VIDEO_FRAMES):
        image = background.copy()
        for colour, place in zip(colours, places, strict=True):
            y, x = ((place + 0.01 * t) % 0.7 * (height, width)).astype(int)
            image[y : y + height // 4, x : x + width // 5] = colour
        video.append(image)
    return video


@dataclass(frozen=True)
class StreamTimes:
    """How fast a stream is. Times are of a frame; frames decided together share theirs."""

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
    """Seconds by part. A part's time is its own, without that of parts inside it, so they add up to the whole.

    Args:
        device: whose work is waited for at every border of a part.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._inside: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What runs inside belongs to this part."""
        self.enter(name)
        yield
        self.leave()

    def enter(self, name: str) -> None:
        """A part begins."""
        self._account()
        self._inside.append(name)

    def leave(self) -> None:
        """The part that began last ends."""
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
    """The parts of a network that are modules of their own; none of what was compiled."""
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
    """Milliseconds a frame by part, waiting for the device between parts: their sum is more than a frame's time.

    Args:
        network: what runs.
        modules: parts of it to time by themselves, see `network_parts`.
        config: its configuration.
        video: repeated as often as it takes.
        stride: frames between clips.
        frames: how many to time, after some that are not counted.
        settings: of the tracks.
    """
    device = network.device
    transform = FrameTransform(input_height=config.input_height, input_width=config.input_width, device=device)
    reader, manager = FrameReader.on(device), TrackManager(settings)
    window: deque[FrameFeatures] = deque(maxlen=config.clip_length)
    state = network.initial_state()
    times = PartTimes(device)
    warm_up, counted = 2 * config.clip_length, max(frames // stride, 1) * stride
    for number, image in enumerate(islice(cycle(video), warm_up + counted)):
        if number == warm_up:
            times.seconds.clear()
        with hooked(modules, times):
            with times.part("transfer"):
                pixels, place = transform(image)
            with times.part("rest of the frame graph"):
                window.append(network.extract(pixels[None, None]))
            if (number + 1) % stride or len(window) < config.clip_length:
                continue
            with times.part("rest of the clip graph"):
                prediction, state = network.step(concatenate(list(window)), state)
        for frame in range(-stride, 0):
            with times.part("masks"):
                least = manager.least_scores(network.slots)
                observation = reader.read(prediction, frame, place, least, prototypes=state.prototypes[0])
            with times.part("tracks"):
                tracks = manager.update(observation.slots)
            with times.part("masks"):
                for track in tracks:
                    observation.masks(track.slot)
    return {name: seconds * 1e3 / counted for name, seconds in times.seconds.items()}


def memory_mib(device: torch.device) -> float:
    """Memory in use on the GPU, by all that runs there, or the most the process has had of the host's.

    What CUDA graphs and TensorRT hold is not in PyTorch's own count.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return (total - free) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's and how many threads PyTorch uses of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def versions() -> dict[str, Any]:
    """Versions of what the speed depends on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
