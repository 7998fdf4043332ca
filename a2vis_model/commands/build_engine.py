"""`a2vis build-engine`: compile a network ahead of time, so that what runs it starts in seconds."""

import argparse
import time

from ..backends.progress import spoken
from ..config import parse_changes
from ..devices import choose_device
from ..errors import A2VISError
from ..modeling import freeze
from ..weights import load_weights
from .arguments import (
    add_backend_arguments,
    add_set_argument,
    add_weights_argument,
    backend_from,
    engine_cache,
    resize,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_weights_argument(parser)
    add_set_argument(parser)
    parser.add_argument("--size", help="WIDTHxHEIGHT of the network's input (default: as in the weight file)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    add_backend_arguments(parser, "compile")


def run(args: argparse.Namespace) -> int:
    """Build the engine, compare it with eager, and keep it; nothing is done where it is there already."""
    if args.backend in ("auto", "eager"):
        raise A2VISError(f"--backend {args.backend}: choose compile or tensorrt, which have engines")
    start = time.monotonic()
    model, config = load_weights(args.weights, parse_changes(args.set))
    if args.size:
        config = resize(model, config, args.size)
    model = freeze(model.to(choose_device(args.device)))
    backend = backend_from(args, model, config, quiet=False)
    print(f"engine {backend.fingerprint} is ready in {engine_cache(args)}, after {spoken(time.monotonic() - start)}")
    return 0
