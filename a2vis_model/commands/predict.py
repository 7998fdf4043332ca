"""`a2vis predict`: track the objects of a video and draw them."""

import argparse
import json
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..config import parse_changes
from ..data.problems import add_strict_argument
from ..devices import tensor_device
from ..errors import A2VISError
from ..files.atomic import write_text
from ..files.video_io import DamageLog, VideoInput, VideoWriter
from ..modeling import freeze
from ..tracking.overlay import draw_overlay
from ..tracking.results import TrackCollector
from ..tracking.streaming import StreamingTracker
from ..tracking.tracks import FrameResult
from ..weights import load_weights, read_track_settings
from .arguments import (
    add_backend_arguments,
    add_device_argument,
    add_set_argument,
    add_weights_argument,
    backend_from,
    resize,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("input", help="video file, or folder of images in the order of the numbers in their names")
    parser.add_argument("--output", required=True, help="folder for tracks.json and overlay.mp4")
    add_weights_argument(parser)
    add_set_argument(parser)
    parser.add_argument("--stride", type=int, default=1, help="frames between clips (default: %(default)s)")
    parser.add_argument("--size", help="WIDTHxHEIGHT of the network's input (default: as in the weight file)")
    add_device_argument(parser)
    add_backend_arguments(parser)
    parser.add_argument("--no-overlay", action="store_true", help="write only tracks.json")
    add_strict_argument(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress on standard error")


def run(args: argparse.Namespace) -> int:
    """Track the video and write the results."""
    model, config = load_weights(args.weights, parse_changes(args.set))
    if args.stride < 1 or args.stride > config.clip_length:
        raise A2VISError(f"--stride {args.stride}: choose 1 to {config.clip_length}, the clip length")
    if args.size:
        config = resize(model, config, args.size)
    video = VideoInput.open(args.input)
    backend = backend_from(args, freeze(model.to(tensor_device(args.device))), config, quiet=args.quiet)
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    tracker = StreamingTracker(backend.network, config, stride=args.stride, settings=read_track_settings(args.weights))
    damage = DamageLog(str(video.path), strict=args.strict)
    parts: list[_Part] = []
    start = time.perf_counter()
    with damage.told("a2vis predict"), ExitStack() as stack:
        for seconds, image in tqdm(video.frames(damage), total=video.length, unit="frame", disable=args.quiet):
            if not parts or parts[-1].size != image.shape[:2]:
                if parts:
                    parts[-1].take(tracker.flush())
                    tracker.reset()
                parts.append(_Part(len(parts) + 1, image.shape[:2], seconds, TrackCollector(config.classes)))
                if not args.no_overlay:
                    parts[-1].open_overlay(output, video.rate, stack.enter_context)
            parts[-1].push(tracker, image, seconds)
        parts[-1].take(tracker.flush())
        seconds = time.perf_counter() - start
        entries = [entry for part in parts for entry in part.collector.youtube_vis(part.number)]
        write_text(output / "tracks.json", json.dumps(entries))
    frames = sum(part.collector.frames for part in parts)
    if len(parts) > 1:
        print(f"the size changes: {', '.join(str(part) for part in parts)} (video_id in tracks.json), tracked alone")
    print(
        f"{frames} frames in {seconds:.1f} s ({frames / seconds:.1f} per second, including reading and drawing), "
        f"{sum(part.collector.track_count for part in parts)} tracks, wrote {output}"
    )
    return 0


class _Part:
    """Consecutive frames of one size: a video in tracks.json, an overlay file, and an epoch of the tracker.

    Args:
        number: number of the part, from 1; the video_id of the tracks.
        size: height and width in pixels.
        start: time of its first frame in seconds.
        collector: collector of its tracks.
    """

    def __init__(self, number: int, size: tuple[int, ...], start: float, collector: TrackCollector) -> None:
        self.number = number
        self.size = size
        self.collector = collector
        self._start = start
        self._writer: VideoWriter | None = None
        self._waiting: deque[tuple[float, NDArray[np.uint8]]] = deque()

    def __str__(self) -> str:
        return f"{self.collector.frames} frames of {self.size[1]}x{self.size[0]} are video {self.number}"

    def open_overlay(self, output: Path, rate: float, enter: Callable[[Any], VideoWriter]) -> None:
        """Write overlay.mp4, or overlay_2.mp4 and so on for further parts; `enter` closes the writer at the end."""
        name = "overlay.mp4" if self.number == 1 else f"overlay_{self.number}.mp4"
        height, width = self.size
        self._writer = enter(VideoWriter(output / name, height=height, width=width, rate=rate))

    def push(self, tracker: StreamingTracker, image: NDArray[np.uint8], seconds: float) -> None:
        """Track the next frame."""
        self._waiting.append((seconds - self._start, image))
        self.take(tracker.push(image, seconds))

    def take(self, results: list[FrameResult]) -> None:
        """Collect and draw the decided frames, oldest first."""
        for result in results:
            self.collector.add(result)
            seconds, image = self._waiting.popleft()
            if self._writer is not None:
                self._writer.write(draw_overlay(image, result), seconds)
