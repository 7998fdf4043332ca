"""Arguments that several commands share, and their interpretation."""

import argparse
import dataclasses
import sys
from pathlib import Path

from ..backends import (
    BACKENDS,
    OPENVINO_DEVICES,
    PRECISIONS,
    Backend,
    BackendName,
    Calibration,
    default_cache,
    openvino_device,
    prepare_backend,
)
from ..cluster import LOCAL
from ..config import ModelConfig, change_config, load_config, parse_changes
from ..errors import A2VISError
from ..machine import cores
from ..modeling import VideoNetwork
from ..shipped import DEFAULT_WEIGHTS
from ..weights import RECOMMENDED
from .sizes import parse_size


def add_weights_argument(parser: argparse.ArgumentParser) -> None:
    """Declare which weights to use; a weight file states its own network."""
    parser.add_argument(
        "--weights",
        default=DEFAULT_WEIGHTS,
        metavar="NAME|FILE",
        help="name of weights that ship, see 'a2vis weights', or a weight file (default: %(default)s)",
    )


def add_set_argument(parser: argparse.ArgumentParser) -> None:
    """Declare single values of the network's configuration; `parse_changes` reads them."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value than the preset's or the weights', such as samh.key_stride=8; may be given again",
    )


def add_threshold_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Declare which thresholds of tracks a weight file that is written recommends; `given_thresholds` reads them."""
    for name in ("start-score", "keep-score"):
        parser.add_argument(
            f"--{name}",
            type=float,
            metavar="P",
            help=f"recommend this {name.replace('-', '_')} of tracks to whoever runs the file (default: {default})",
        )
    parser.add_argument(
        "--idle-frames",
        type=int,
        metavar="N",
        help="recommend to reset slots that have no track for N frames (default: as before)",
    )


def given_thresholds(args: argparse.Namespace) -> dict[str, float]:
    """Return the thresholds of tracks that were given, by their names."""
    return {name: value for name in RECOMMENDED if (value := getattr(args, name)) is not None}


def network_config(args: argparse.Namespace) -> ModelConfig:
    """The configuration of --preset and --variant, with the changes of --set."""
    return change_config(load_config(args.preset, getattr(args, "variant", "a2vis")), parse_changes(args.set))


def add_backend_arguments(parser: argparse.ArgumentParser, backend: BackendName = "auto") -> None:
    """Declare which backend computes the network (see docs/backends.md)."""
    parser.add_argument("--backend", default=backend, choices=BACKENDS, help="what computes (default: %(default)s)")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS, help="(default: %(default)s)")
    parser.add_argument("--engine-cache", metavar="DIR", help=f"folder of engines (default: {default_cache()})")


def add_jobs_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the number of processes, which `jobs_of` reads."""
    parser.add_argument("--jobs", type=int, metavar="N", help=f"processes ({cores()})")


def jobs_of(args: argparse.Namespace) -> int:
    """Return the number of processes on this machine, as given or as many as it has cores.

    Raises:
        A2VISError: it is below 1.
    """
    jobs: int = cores() if args.jobs is None else args.jobs
    if jobs < 1:
        raise A2VISError(f"--jobs {jobs}: choose 1 or more")
    return jobs


def add_ray_argument(parser: argparse.ArgumentParser) -> None:
    """Declare which cluster works, where it is not this machine's processes."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help=f"work on a Ray cluster (needs the extra ray), or {LOCAL!r} for one on this machine; --jobs, if given, is "
        "then the number of videos or bags that are worked on at once",
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Declare where to compute; Intel's devices are for the backend openvino."""
    text = f"auto, cuda, {', '.join(OPENVINO_DEVICES)} (default: %(default)s)"
    parser.add_argument("--device", default="auto", help=text)


def engine_cache(args: argparse.Namespace) -> Path:
    """Return the engine folder given on the command line, or the user's default one."""
    return Path(args.engine_cache) if args.engine_cache else default_cache()


def backend_from(
    args: argparse.Namespace,
    model: VideoNetwork,
    config: ModelConfig,
    *,
    quiet: bool,
    calibration: Calibration | None = None,
) -> Backend:
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
        device=openvino_device(args.device),
        calibration=calibration,
        cache=engine_cache(args),
        progress=say,
    )
    say(str(backend))
    return backend


def resize(model: VideoNetwork, config: ModelConfig, size: str) -> ModelConfig:
    """Prepare a network for images of WIDTHxHEIGHT, padded to multiples of 32, and return its new configuration."""
    width, height = (-(-pixels // 32) * 32 for pixels in parse_size(size))
    config = dataclasses.replace(config, input_width=width, input_height=height)
    model.prepare(height, width, config.clip_length)
    return config
