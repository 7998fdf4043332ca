"""`a2vis score`: score prediction files of any system, without a model or a GPU."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..data.problems import DataError, ProblemLog, add_strict_argument, named_at_an_error, quiet_loaders
from ..errors import A2VISError
from ..evaluation.files import TRACK_FORMATS, Comparison, open_comparison
from ..evaluation.mot_text import BENCHMARKS
from ..evaluation.plots import FrameLoader, write_plots
from ..evaluation.provenance import data_hash, provenance
from ..evaluation.report import markdown
from ..evaluation.scoring import Results, curves_of, results_of, score_videos
from ..evaluation.settings import ScoreSettings, add_settings, settings_from
from ..evaluation.video_score import VideoScore
from ..files.atomic import write_text
from .arguments import add_jobs_argument, jobs_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--predictions", required=True, help="YouTube-VIS results (.json), or MOT or MOTS text")
    parser.add_argument("--ground-truth", required=True, help="the truth in the same format")
    parser.add_argument("--tracks", help="other predictions of the system (.json) for all but average precision")
    parser.add_argument("--format", choices=TRACK_FORMATS, default="auto", help="default: found out by looking")
    parser.add_argument("--mot-benchmark", choices=BENCHMARKS, default="MOT17", help="rules of MOT text (%(default)s)")
    parser.add_argument("--output", help="folder for results.json, results.md and plots")
    parser.add_argument("--name", default="predictions", help="of the system, in tables (%(default)s)")
    add_job_arguments(parser)
    add_settings(parser)


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that every command of the evaluation takes."""
    add_jobs_argument(parser)
    parser.add_argument("--no-plots", action="store_true", help="draw nothing")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_strict_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Score, print and write; return 1 if anything was broken, and name it."""
    settings = settings_from(args)
    jobs = jobs_of(args)
    problems = ProblemLog(args.strict)
    with quiet_loaders(), named_at_an_error(problems):
        comparison = open_comparison(
            args.ground_truth,
            args.predictions,
            args.tracks,
            settings,
            problems,
            format=args.format,
            benchmark=args.mot_benchmark,
        )
        scores = score_videos(comparison, settings, problems, jobs=jobs, quiet=args.quiet)
        results = {"name": args.name, **results_of(scores, comparison.scope, settings, comparison.categories)}
        print(markdown([results]))
        if args.output:
            files = [path for path in (args.predictions, args.tracks) if path]
            results["provenance"] = provenance(data=data_hash([args.ground_truth]), predictions=data_hash(files))
            write_results(Path(args.output), results, scores, comparison, settings, plots=not args.no_plots)
    return print_problems(problems, scores)


def write_results(
    output: Path,
    results: Results,
    scores: list[VideoScore],
    comparison: Comparison,
    settings: ScoreSettings,
    *,
    plots: bool,
    frames: FrameLoader | None = None,
) -> None:
    """Write results.json, results.md, curves.json and the plots."""
    output.mkdir(parents=True, exist_ok=True)
    results = {**results, "settings": vars(settings)}
    curves = curves_of(scores, comparison.scope, settings)
    write_text(output / "results.json", json.dumps(results, indent=1) + "\n")
    write_text(output / "results.md", markdown([results]))
    write_text(output / "curves.json", json.dumps(curves) + "\n")
    if plots:
        write_plots(output / "plots", scores, curves, comparison, frames)


def print_problems(problems: ProblemLog, scores: list[VideoScore]) -> int:
    """Name everything that was broken and return the command's exit status."""
    for problem in problems:
        print(f"problem: {problem}")
    if not scores:
        raise DataError(next(iter(problems))) if problems else A2VISError("there is no video to score")
    if problems:
        print(f"{len(problems)} problem{'' if len(problems) == 1 else 's'}: the numbers leave out what is broken")
    return 1 if problems else 0
