"""`a2vis build-engine`: compile a network ahead of time, so that what runs it starts in seconds."""

import argparse
import time

from ..backends.progress import spoken
from ..errors import A2VISError
from ..modeling import freeze
from ..weights import load_weights, shipped_weights
from .arguments import add_backend_arguments, backend_from, choose_device, engine_cache, resize


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--preset", default="onboard", help="whose shipped weights to use (default: %(default)s)")
    parser.add_argument("--weights", help="weight file to use instead; it knows its own preset")
    parser.add_argument("--size", help="WIDTHxHEIGHT of the network's input (default: as in the weight file)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    add_backend_arguments(parser, "compile")


def run(args: argparse.Namespace) -> int:
    """Build the engine, compare it with eager, and keep it; nothing is done where it is there already."""
    if args.backend in ("auto", "eager"):
        raise A2VISError(f"--backend {args.backend}: choose compile or tensorrt, which have engines")
    start = time.monotonic()
    model, config = load_weights(args.weights or shipped_weights(args.preset))
    if args.size:
        config = resize(model, config, args.size)
    model = freeze(model.to(choose_device(args.device)))
    backend = backend_from(args, model, config, quiet=False)
    print(f"engine {backend.fingerprint} is ready in {engine_cache(args)}, after {spoken(time.monotonic() - start)}")
    return 0
