"""`a2vis evaluate`: run a network, or a baseline built on it, over a data set, and score it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ..cluster import RayWorkers
from ..data import FORMATS
from ..data.labels import LABELS_HELP
from ..data.problems import ProblemLog, named_at_an_error, quiet_loaders
from ..devices import choose_device
from ..errors import A2VISError
from ..evaluation.baselines import BOX_TRACKERS, SYSTEMS, System
from ..evaluation.files import Comparison, open_comparison
from ..evaluation.instances import Kind
from ..evaluation.mot_text import write_mot, write_mots
from ..evaluation.occlusion import start_when_seen
from ..evaluation.prediction import CLASS_SCORES, OUTPUT_MODES, PredictionSettings
from ..evaluation.provenance import provenance
from ..evaluation.report import markdown
from ..evaluation.runner import RANKED, TRACKED, TRUTH, Evaluation, ModelSource, frame_loader, open_data, run_evaluation
from ..evaluation.scoring import Results, results_of, score_videos
from ..evaluation.settings import ScoreSettings, add_settings, settings_from
from ..machine import file_hash
from ..tracking.settings import TrackSettings
from ..weights import read_track_settings
from ..workers import LocalWorkers, Workers
from .arguments import (
    add_backend_arguments,
    add_ray_argument,
    add_set_argument,
    add_weights_argument,
    engine_cache,
    jobs_of,
)
from .score import add_job_arguments, print_problems, write_results

EXPORTS = ("mot", "mots")
_THRESHOLDS = ("start_score", "keep_score", "idle_frames", "least_part", "max_predicted_s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)
    add_weights_argument(parser)
    parser.add_argument("--untrained", action="store_true", help="use a network of random weights, to try the command")
    parser.add_argument("--preset", help="preset of the network without training (onboard)")
    parser.add_argument("--variant", help="variant of the network without training; or of the weights")
    add_set_argument(parser)
    parser.add_argument("--system", choices=SYSTEMS, default="network", help="the network or a baseline (%(default)s)")
    parser.add_argument("--name", help="name of the system in tables (default: that of the configuration)")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that do not belong to a single system."""
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of the data set, or its JSON file")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="format of the data set (default: detected)")
    parser.add_argument("--images", metavar="DIR", help="folder of a JSON file's images, if not in the usual place")
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help=f"{LABELS_HELP}, that says which classes are labelled in a JSON file; default: labels.yaml beside it",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for predictions, results and plots")
    parser.add_argument("--export", choices=EXPORTS, action="append", default=[], help="also write this text format")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="(%(default)s)")
    # The backend is fixed, so that scores are the same whatever engines a machine has.
    add_backend_arguments(parser, "eager")
    add_job_arguments(parser)
    add_ray_argument(parser)
    group = parser.add_argument_group("prediction (see docs/evaluation.md)")
    default, life = PredictionSettings(), TrackSettings()
    group.add_argument("--output-mode", choices=OUTPUT_MODES, default=default.output_mode, help="(%(default)s)")
    group.add_argument("--class-score", choices=CLASS_SCORES, default=default.class_score, help="(%(default)s)")
    group.add_argument("--top", type=int, default=default.top, metavar="N", help="ranked in a video (%(default)s)")
    group.add_argument("--stride", type=int, default=0, help="frames between the stream's clips (the clip length)")
    group.add_argument("--start-score", type=float, help="of a track (what the weights recommend)")
    group.add_argument("--keep-score", type=float, help="of a track (what the weights recommend)")
    group.add_argument(
        "--idle-frames",
        type=int,
        metavar="N",
        help="frames without a track after which a slot is reset (what the weights recommend)",
    )
    group.add_argument(
        "--least-part",
        type=float,
        default=life.least_part,
        metavar="SHARE",
        help="of a mask's largest part; smaller parts are left out (%(default)s)",
    )
    group.add_argument(
        "--max-predicted-s",
        type=float,
        default=life.max_predicted_s,
        metavar="S",
        help="seconds for which a lost track has an amodal mask, moved on (%(default)s)",
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Predict, score, print and write; return 1 if anything was broken, and name it."""
    if args.preset is not None and not args.untrained:
        raise A2VISError(f"--preset {args.preset}: weights know their own; add --untrained for a network without any")
    source = ModelSource(
        None if args.untrained else args.weights, args.preset or "onboard", args.variant, tuple(args.set)
    )
    settings = settings_from(args)
    check_run_arguments(args)
    results, status = evaluate(args, source, args.system, Path(args.output), settings, args.name)
    print(markdown([results]))
    return status


def check_run_arguments(args: argparse.Namespace) -> None:
    """Check the ranges of the arguments.

    Raises:
        A2VISError: a value is out of range.
    """
    jobs_of(args)
    for name, least in (("top", 1), ("stride", 0)):
        if getattr(args, name) < least:
            raise A2VISError(f"--{name} {getattr(args, name)}: choose {least} or more")
    choose_device(args.device)


def evaluate(
    args: argparse.Namespace,
    source: ModelSource,
    system: System,
    output: Path,
    settings: ScoreSettings,
    name: str | None,
) -> tuple[Results, int]:
    """Evaluate one system into its folder; return its results and the exit status."""
    if system in BOX_TRACKERS and (args.backend, args.precision) != ("eager", "fp32"):
        raise A2VISError(f"--system {system} takes the detector alone; remove --backend and --precision")
    try:
        recommended = TrackSettings() if source.weights is None else read_track_settings(source.weights)
        given = {name: value for name in _THRESHOLDS if (value := getattr(args, name)) is not None}
        life = replace(recommended, **given)
    except ValueError as error:
        raise A2VISError(str(error)) from error
    jobs, device = jobs_of(args), choose_device(args.device).type
    workers: Workers
    if args.ray is None:
        workers, pace = LocalWorkers(jobs), f"{jobs} jobs"
    else:
        workers, pace = RayWorkers(args.ray, args.jobs, gpus=int(device == "cuda")), "Ray"
    evaluation = Evaluation(
        data=args.data,
        format=args.format,
        images=args.images,
        source=source,
        system=system,
        prediction=PredictionSettings(args.output_mode, args.class_score, args.top, args.stride, life),
        device=device,
        output=str(output),
        pace=pace,
        backend=args.backend,
        precision=args.precision,
        engine_cache=str(engine_cache(args)),
        labels=args.labels,
        strict=args.strict,
    )
    config = source.config()
    if args.stride > config.clip_length:
        raise A2VISError(f"--stride {args.stride}: choose 1 to {config.clip_length}, the clip length of {config.name}")
    output.mkdir(parents=True, exist_ok=True)
    problems = ProblemLog(args.strict)
    with named_at_an_error(problems):
        summary = run_evaluation(evaluation, workers, problems, quiet=args.quiet)
    with quiet_loaders(), named_at_an_error(problems):
        truth, ranked, tracked = (output / file for file in (TRUTH, RANKED, TRACKED))
        same = args.output_mode != "both" or system in BOX_TRACKERS
        comparison = open_comparison(truth, ranked, None if same else tracked, settings, problems, format="ytvis")
        scores = score_videos(comparison, settings, problems, jobs=jobs, quiet=args.quiet)
        results: Results = {
            "name": name or (summary.name if system == "network" else f"{summary.name} {system}"),
            **results_of(scores, comparison.scope, settings, comparison.categories),
            "fps": summary.fps,
            "parameters": summary.parameters,
        }
        weights = source.file
        results["provenance"] = {
            **provenance(weights=None if weights is None else file_hash(weights), data=summary.data),
            "configuration": summary.name,
            "system": system,
            "backend": summary.backend,
            "prediction": vars(evaluation.prediction) | {"tracks": vars(life)},
        }
        reader = frame_loader(open_data(evaluation, config))
        write_results(output, results, scores, comparison, settings, plots=not args.no_plots, frames=reader)
        for kind in args.export:
            _export(output / kind, comparison, kind)
    return results, print_problems(problems, scores)


def _export(folder: Path, comparison: Comparison, kind: str) -> None:
    """Write ground truth and tracks as text: amodal boxes where there are any, or visible masks."""
    for video in comparison.videos:
        truth = [start_when_seen(track) for track in comparison.truth.read(video).tracks]
        found = comparison.tracked.read(video).tracks
        if kind == "mots":
            write_mots(folder / "gt", video, truth, ground_truth=True, classes=comparison.categories)
            write_mots(folder / "predictions", video, found, ground_truth=False)
            continue
        which: Kind = "amodal" if "amodal" in comparison.scope.kinds else "visible"
        write_mot(folder / "gt", video, truth, which, ground_truth=True)
        write_mot(folder / "predictions", video, found, which, ground_truth=False)
