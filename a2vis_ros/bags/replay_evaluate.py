"""`replay_evaluate`: runs bags through the node's pipeline in lock step, losing no frame, and scores the results.

They are scored where bags hold ground truth. With `--results` nothing runs, and a live node's recorded results are
scored.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from a2vis_model import A2VISError
from a2vis_model.cluster import RayWorkers
from a2vis_model.commands.arguments import add_jobs_argument, add_ray_argument, jobs_of
from a2vis_model.data.problems import add_strict_argument
from a2vis_model.errors import printable
from a2vis_model.files.home import arguments_at_home
from a2vis_model.workers import LocalWorkers, Workers

from ..space.localizer import LocalizerSettings
from ..space.parameters import default_values, localizer_settings, read_values
from ..stream.loading import load_model
from ..stream.parameters import PARAMETERS, ParameterError, Settings
from . import bag_files
from .bag_files import STORAGES, BagError, BagReader
from .fleet import bags_below, replay_fleet
from .replay import ReplayOptions, image_topic, replay_bag, score_bags, score_in_space, scores_text

_ONLINE_ONLY = (
    "autostart",
    "transport",
    "policy",
    "queue_size",
    "queue_patience_s",
    "overlay_max_width",
    "detection_box",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(prog="replay_evaluate", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("bag", help="bag with images, with ground truth, or both; or a folder of such bags")
    parser.add_argument(
        "output", help="folder for the bag `results` and, with ground truth, the metrics; of many bags, one folder each"
    )
    parser.add_argument(
        "--topic", help=f"of the images (the only one there is); with --results, of these ({bag_files.TRACKS})"
    )
    parser.add_argument(
        "--results",
        metavar="BAG",
        help="run nothing: score the results that were recorded here against the ground truth in the first bag",
    )
    parser.add_argument(
        "--localizer-params",
        metavar="FILE",
        help="parameters of object_localizer, for positions in space: a ROS 2 parameter file",
    )
    parser.add_argument(
        "--profiles", metavar="FILE", help="of the classes, in place of object_localizer's class_profiles"
    )
    parser.add_argument("--storage", choices=STORAGES, default="mcap", help="format of the result bag (%(default)s)")
    add_strict_argument(parser)
    add_jobs_argument(parser)
    add_ray_argument(parser)
    group = parser.add_argument_group("parameters of the node")
    for parameter in PARAMETERS:
        if parameter.name not in _ONLINE_ONLY and not parameter.name.startswith(("age_", "diagnostics_", "no_image")):
            group.add_argument(
                f"--{parameter.name.replace('_', '-')}",
                type=type(parameter.default),
                default=parameter.default,
                help=f"{parameter.description} (%(default)s)",
            )
    args = parser.parse_args(arguments_at_home(arguments))
    try:
        return _run(args) if args.results is None else _score_recorded(args)
    except (A2VISError, ParameterError, OSError) as error:
        print(f"replay_evaluate: {error}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    given: dict[str, Any] = {p.name: getattr(args, p.name) for p in PARAMETERS if hasattr(args, p.name)}
    options = ReplayOptions(Settings.defaults(**given), args.topic, args.storage, args.strict, _localizer(args))
    bags = bags_below(args.bag)
    if bags:
        return replay_fleet(args.bag, bags, Path(args.output), options, jobs=jobs_of(args), workers=_workers(args))
    for name in ("jobs", "ray"):
        if getattr(args, name) is not None:
            raise A2VISError(f"--{name} {getattr(args, name)}: is for a folder of bags, and {args.bag} is none")
    with BagReader(args.bag) as bag:
        image_topic(bag, options)  # What is wrong with a bag is said before the model is loaded.
    model = load_model(options.settings.model, print)
    print(printable(f"running {model.name} from {model.source} on {model.backend}"))
    print(replay_bag(args.bag, Path(args.output), options, model), end="")
    return 0


def _localizer(args: argparse.Namespace) -> LocalizerSettings:
    values = read_values(args.localizer_params) if args.localizer_params else default_values()
    if args.profiles:
        values["class_profiles"] = args.profiles
    return localizer_settings(values)


def _workers(args: argparse.Namespace) -> Workers:
    return LocalWorkers(jobs_of(args)) if args.ray is None else RayWorkers(args.ray, args.jobs, args.device == "cuda")


def _score_recorded(args: argparse.Namespace) -> int:
    topic, localizer = args.topic or bag_files.TRACKS, _localizer(args)
    for path, needed in ((args.bag, bag_files.GROUND_TRUTH), (args.results, topic)):
        with BagReader(path) as bag:
            if not bag.count(needed):
                there = ", ".join(sorted(bag.topics)) or "nothing"
                raise BagError(f"{path}: nothing on {needed}; the bag has {there}")
    print(scores_text(*score_bags(args.results, topic, args.bag, Path(args.output))), end="")
    print(score_in_space(args.bag, args.results, topic, localizer, Path(args.output)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
