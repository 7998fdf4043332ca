"""`a2vis benchmark`: measure a preset's speed on this machine, part by part.

The measurement covers everything from the bytes of an image to run-length masks.
"""

import argparse
import dataclasses
import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import ModelConfig, parse_changes
from ..devices import tensor_device
from ..errors import A2VISError, printable
from ..modeling import VideoNetwork, build_model, freeze
from ..profiling import (
    EVERY_SLOT,
    device_name,
    memory_mib,
    network_parts,
    time_parts,
    time_stream,
    versions,
)
from ..sample_video import sample_video
from ..tracking.settings import TrackSettings
from ..tracking.streaming import StreamingTracker
from ..weights import load_weights
from .arguments import (
    add_backend_arguments,
    add_device_argument,
    add_set_argument,
    backend_from,
    network_config,
)
from .sizes import parse_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    network = parser.add_mutually_exclusive_group()
    network.add_argument("--preset", default="onboard", help="name or YAML file (default: %(default)s)")
    network.add_argument(
        "--weights",
        metavar="NAME|FILE",
        help="weights to use, by name or file; without them they are random, which costs the same",
    )
    add_set_argument(parser)
    parser.add_argument("--size", help="WIDTHxHEIGHT of images, and of the network apart from padding (the preset's)")
    add_backend_arguments(parser)
    parser.add_argument("--stride", type=int, default=1, help="frames between clips (default: %(default)s)")
    add_device_argument(parser)
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("--frames", type=int, default=60, help="frames to time (default: %(default)s)")
    parser.add_argument("--every-slot", action="store_true", help="make every slot a track, the most possible work")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure the speed and print it."""
    measured = measure(args)
    print(json.dumps(measured, indent=2) if args.json else _text(measured))
    return 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure one combination of network and backend."""
    if args.frames < 1:
        raise A2VISError(f"--frames {args.frames}: choose 1 or more")
    if args.threads is not None:
        if args.threads < 1:
            raise A2VISError(f"--threads {args.threads}: choose 1 or more")
        torch.set_num_threads(args.threads)
    device = tensor_device(args.device)
    model, config, video = _network(args)
    if not 1 <= args.stride <= config.clip_length:
        raise A2VISError(f"--stride {args.stride}: choose 1 to {config.clip_length}, the clip length")
    backend = backend_from(args, freeze(model.to(device)), config, quiet=False)
    settings = EVERY_SLOT if args.every_slot else TrackSettings()
    network, stride, frames = backend.network, args.stride, args.frames
    times = time_stream(StreamingTracker(network, config, stride=stride, settings=settings), video, frames)
    memory = memory_mib(device)
    modules = network_parts(network)
    parts = time_parts(network, modules, config, video, stride=stride, frames=frames, settings=settings)
    return {
        "preset": config.name,
        "size": [video[0].shape[1], video[0].shape[0]],
        "backend": backend.name,
        "precision": backend.precision,
        "stride": args.stride,
        "every_slot": args.every_slot,
        **dataclasses.asdict(times),
        "parts": parts,
        "memory_mib": memory,
        "device": device_name(device),
        "versions": versions(),
    }


def _network(args: argparse.Namespace) -> tuple[VideoNetwork, ModelConfig, list[NDArray[np.uint8]]]:
    if args.weights:
        model, config = load_weights(args.weights, parse_changes(args.set))
    else:
        config = network_config(args)
        # The same in every run, so that an engine is built once.
        torch.manual_seed(0)
        model = build_model(config)
    width, height = parse_size(args.size) if args.size else (config.input_width, config.input_height)
    config = dataclasses.replace(config, input_width=-(-width // 32) * 32, input_height=-(-height // 32) * 32)
    model.prepare(config.input_height, config.input_width, config.clip_length)
    return model, config, sample_video(height, width)


def _text(measured: dict[str, Any]) -> str:
    width, height = measured["size"]
    lines = [
        f"{printable(measured['preset'])} {width}x{height}, {measured['backend']} {measured['precision']}, clip stride "
        f"{measured['stride']}, {'every slot a track, ' if measured['every_slot'] else ''}{measured['device']}",
        f"{measured['fps']:.1f} frames per second over {measured['frames']}; a frame p50 {measured['p50_ms']:.2f} ms, "
        f"p95 {measured['p95_ms']:.2f} ms; memory {measured['memory_mib']:.0f} MiB",
        "parts of a frame, waiting for the device after each:",
        *(f"  {name:<28}{milliseconds:>10.3f} ms" for name, milliseconds in measured["parts"].items()),
        ", ".join(f"{name} {version}" for name, version in measured["versions"].items() if version is not None),
    ]
    return "\n".join(lines)
