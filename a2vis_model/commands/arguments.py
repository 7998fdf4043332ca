"""Arguments that several commands share, and their interpretation."""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from ..backends import BACKENDS, PRECISIONS, Backend, BackendName, default_cache, prepare_backend
from ..config import ModelConfig
from ..errors import A2VISError
from ..modeling import VideoNetwork
from ..shipped import DEFAULT_WEIGHTS


def add_weights_argument(parser: argparse.ArgumentParser) -> None:
    """Declare which weights to use; a weight file states its own network."""
    parser.add_argument(
        "--weights",
        default=DEFAULT_WEIGHTS,
        metavar="NAME|FILE",
        help="name of weights that ship, see 'a2vis weights', or a weight file (default: %(default)s)",
    )


def add_backend_arguments(parser: argparse.ArgumentParser, backend: BackendName = "auto") -> None:
    """Declare which backend computes the network (see docs/backends.md)."""
    parser.add_argument("--backend", default=backend, choices=BACKENDS, help="what computes (default: %(default)s)")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS, help="(default: %(default)s)")
    parser.add_argument("--engine-cache", metavar="DIR", help=f"folder of engines (default: {default_cache()})")


def engine_cache(args: argparse.Namespace) -> Path:
    """Return the engine folder given on the command line, or the user's default one."""
    return Path(args.engine_cache) if args.engine_cache else default_cache()


def backend_from(args: argparse.Namespace, model: VideoNetwork, config: ModelConfig, *, quiet: bool) -> Backend:
    """Return the given or automatically chosen backend for a frozen network on its device.

    The choice is reported on standard error.
    """

    def say(text: str) -> None:
        if not quiet:
            print(text, file=sys.stderr, flush=True)

    backend = prepare_backend(
        model,
        config,
        backend=args.backend,
        precision=args.precision,
        cache=engine_cache(args),
        progress=say,
    )
    say(str(backend))
    return backend


def choose_device(name: str) -> torch.device:
    """Return the device of `--device`: cpu, cuda, or auto for a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise A2VISError(f"--device {name}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise A2VISError("--device cuda: this PyTorch finds no usable NVIDIA GPU; use --device cpu")
    return torch.device(name)


def parse_size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT to width and height in pixels."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise A2VISError(f"--size {text}: give WIDTHxHEIGHT, such as 480x320")
    return int(width), int(height)


def resize(model: VideoNetwork, config: ModelConfig, size: str) -> ModelConfig:
    """Prepare a network for images of WIDTHxHEIGHT, padded to multiples of 32, and return its new configuration."""
    width, height = (-(-pixels // 32) * 32 for pixels in parse_size(size))
    config = dataclasses.replace(config, input_width=width, input_height=height)
    model.prepare(height, width, config.clip_length)
    return config
