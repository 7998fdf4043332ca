"""`a2vis predict`: a video in, tracks and an overlay out."""

import argparse
import contextlib
import json
import time
from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..atomic import write_text
from ..errors import A2VISError
from ..modeling import freeze
from ..overlay import draw_overlay
from ..results import TrackCollector
from ..streaming import FrameResult, StreamingTracker
from ..video_io import VideoInput, VideoWriter
from ..weights import load_weights, shipped_weights
from .arguments import add_backend_arguments, backend_from, choose_device, resize


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("input", help="video file, or folder of images in the order of their names")
    parser.add_argument("--output", required=True, help="folder for tracks.json and overlay.mp4")
    parser.add_argument("--preset", default="onboard", help="whose shipped weights to use (default: %(default)s)")
    parser.add_argument("--weights", help="weight file to use instead; it knows its own preset")
    parser.add_argument("--stride", type=int, default=1, help="frames between clips (default: %(default)s)")
    parser.add_argument("--size", help="WIDTHxHEIGHT of the network's input (default: as in the weight file)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    add_backend_arguments(parser)
    parser.add_argument("--no-overlay", action="store_true", help="write tracks.json alone")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def run(args: argparse.Namespace) -> int:
    """Track the video and write the results."""
    model, config = load_weights(args.weights or shipped_weights(args.preset))
    if args.stride < 1 or args.stride > config.clip_length:
        raise A2VISError(f"--stride {args.stride}: choose 1 to {config.clip_length}, the clip length")
    if args.size:
        config = resize(model, config, args.size)
    video = VideoInput.open(args.input)
    backend = backend_from(args, freeze(model.to(choose_device(args.device))), config, quiet=args.quiet)
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    collector = TrackCollector(config.classes)
    tracker = StreamingTracker(backend.network, config, stride=args.stride)
    waiting: deque[NDArray[np.uint8]] = deque()
    start = time.perf_counter()
    with _writer(video, output, wanted=not args.no_overlay) as writer:

        def take(results: list[FrameResult]) -> None:
            for result in results:
                collector.add(result)
                image = waiting.popleft()
                if writer is not None:
                    writer.write(draw_overlay(image, result))

        for timestamp, image in tqdm(video.frames(), total=video.length, unit="frame", disable=args.quiet):
            waiting.append(image)
            take(tracker.push(image, timestamp))
        take(tracker.flush())
    seconds = time.perf_counter() - start
    write_text(output / "tracks.json", json.dumps(collector.youtube_vis()))
    print(
        f"{collector.frames} frames in {seconds:.1f} s ({collector.frames / seconds:.1f} a second, reading and "
        f"drawing included), {collector.track_count} tracks, wrote {output}"
    )
    return 0


def _writer(video: VideoInput, output: Path, *, wanted: bool) -> VideoWriter | contextlib.nullcontext[None]:
    if not wanted:
        return contextlib.nullcontext()
    return VideoWriter(output / "overlay.mp4", height=video.height, width=video.width, rate=video.rate)
