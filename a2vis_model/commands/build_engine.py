"""`a2vis build-engine`: compile a network ahead of time, so that programs that use it start within seconds."""

import argparse
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from torch import Tensor

from ..backends import Calibration
from ..backends.progress import duration_text
from ..config import ModelConfig, parse_changes
from ..devices import tensor_device
from ..errors import A2VISError
from ..extras import optional_packages
from ..modeling import freeze
from ..preprocessing import FrameTransform
from ..weights import load_weights
from .arguments import (
    add_backend_arguments,
    add_device_argument,
    add_set_argument,
    add_weights_argument,
    backend_from,
    engine_cache,
    resize,
)

if TYPE_CHECKING:
    from ..files.video_io import VideoInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_weights_argument(parser)
    add_set_argument(parser)
    parser.add_argument("--size", help="WIDTHxHEIGHT of the network's input (default: as in the weight file)")
    add_device_argument(parser)
    add_backend_arguments(parser, "compile")
    parser.add_argument(
        "--calibrate",
        metavar="VIDEO|FOLDER",
        help="for --precision int8: a video, or a folder of images, like those that the robot sees",
    )
    parser.add_argument(
        "--calibration-frames", type=int, default=64, help="spread over it, to calibrate with (default: %(default)s)"
    )


def calibration_images(video: "VideoInput", config: ModelConfig, count: int) -> Iterator[Tensor]:
    """Up to `count` images of a video, spread over it evenly, as the network takes them: [1, 3, H, W]."""
    transform = FrameTransform(input_height=config.input_height, input_width=config.input_width)
    step = max((video.length or count) // count, 1)
    for _, image in islice(video.frames(), 0, step * count, step):
        yield transform(image)[0][None]


def run(args: argparse.Namespace) -> int:
    """Build the engine, compare it with the eager network, and store it; do nothing if it exists."""
    if args.backend in ("auto", "eager"):
        raise A2VISError(f"--backend {args.backend}: choose compile, tensorrt or openvino, which have engines")
    if args.calibrate and args.precision != "int8":
        raise A2VISError(f"--calibrate goes with --precision int8, not with {args.precision}")
    if args.calibration_frames < 1:
        raise A2VISError(f"--calibration-frames {args.calibration_frames}: choose 1 or more")
    start = time.monotonic()
    model, config = load_weights(args.weights, parse_changes(args.set))
    if args.size:
        config = resize(model, config, args.size)
    model = freeze(model.to(tensor_device(args.device)))
    calibration: Calibration | None = None
    if args.calibrate:
        with optional_packages():
            from ..files.video_io import VideoInput
        video = VideoInput.open(args.calibrate)
        calibration = partial(calibration_images, video, config, args.calibration_frames)
    backend = backend_from(args, model, config, quiet=False, calibration=calibration)
    took = duration_text(time.monotonic() - start)
    print(f"engine {backend.fingerprint} is ready in {engine_cache(args)}, after {took}")
    return 0
