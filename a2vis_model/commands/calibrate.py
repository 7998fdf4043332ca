"""`a2vis calibrate`: turn the scores of a network's tracks into probabilities, by data that it was not trained on."""

from __future__ import annotations

import argparse
from copy import deepcopy
from pathlib import Path

from ..calibration import (
    ScoreBin,
    SlotOutcomes,
    apply_scaling,
    calibration_error,
    classifier_of,
    fit_scaling,
    matching_threshold,
    reliability,
)
from ..data import open_dataset
from ..data.labels import LABELS_HELP
from ..data.problems import ProblemLog, add_strict_argument, named_at_an_error
from ..devices import choose_device
from ..errors import LONGEST_NAME, printable
from ..evaluation.slot_outcomes import slot_outcomes
from ..modeling import freeze
from ..shipped import find_weights
from ..weights import check_recommended, load_weights, read_recommended, read_track_settings, save_weights
from .arguments import add_threshold_arguments, add_weights_argument, given_thresholds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_weights_argument(parser)
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="PATH",
        help="data sets, videos or photographs, that the network was not trained on; each counts the same",
    )
    parser.add_argument("--labels", metavar="FILE", help=f"labels file of the photographs: {LABELS_HELP}")
    parser.add_argument("--output", required=True, metavar="FILE", help="weight file to write (.safetensors)")
    parser.add_argument("--half", action="store_true", help="store fp16")
    add_threshold_arguments(parser, "what as many slots reach as before")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="(%(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_strict_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate, print scores before and after, and write; return 1 if anything was broken, and name it."""
    model, config = load_weights(args.weights)
    # What is wrong is said before the data are run.
    classifier_of(model)
    given = given_thresholds(args)
    check_recommended({"start_score": 1.0, "keep_score": 0.0, **given})
    runner, settings = freeze(deepcopy(model).to(choose_device(args.device))), read_track_settings(args.weights)
    problems = ProblemLog(args.strict)
    outcomes = []
    with named_at_an_error(problems):
        for path in args.data:
            dataset = open_dataset(path, classes=config.classes, labels=args.labels, problems=problems)
            outcomes.append(slot_outcomes(runner, config, dataset, settings=settings, quiet=args.quiet))
    for problem in problems:
        print(f"problem: {problem}")
    scaling = fit_scaling(outcomes)
    start, keep = (matching_threshold(outcomes, scaling, old) for old in (settings.start_score, settings.keep_score))
    # A track may not end as it starts, so that a given threshold can move the other.
    start = given.get("start_score", max(start, given.get("keep_score", 0.0)))
    matching = {"start_score": start, "keep_score": min(keep, start)}
    recommended = check_recommended({**read_recommended(args.weights), **matching, **given})
    apply_scaling(model, scaling)
    notes = f"{Path(find_weights(args.weights)).name}, calibrated"
    save_weights(args.output, model, config, half=args.half, notes=notes, recommended=recommended)
    print(f"logits x {scaling.scale:.2f}, then plus")
    for name, shift in zip([*config.classes, "no object"], scaling.shifts, strict=True):
        print(f"  {printable(name, LONGEST_NAME):15s} {shift:+.2f}")
    print("tracks: " + ", ".join(f"{name} {value:g}" for name, value in recommended.items()))
    for path, part in zip(args.data, outcomes, strict=True):
        print(f"\n{printable(path)}: {len(part.shown)} slots with a mask")
        print("\n".join(_reliability(part, scaling.calibrated(part))))
    print(f"wrote {args.output}")
    return 1 if problems else 0


def _reliability(outcomes: SlotOutcomes, calibrated: SlotOutcomes) -> list[str]:
    """Return lines that compare scores with the share of right slots, before and after calibration."""
    before, after = (reliability(part) for part in (outcomes, calibrated))
    lines = [f"  {'score':>9s}  {'before: slots':>14s} {'right':>6s}  {'after: slots':>14s} {'right':>6s}"]
    columns = [{one.lowest: one for one in bins} for bins in (before, after)]
    lines += [
        f"  {lowest:4.1f}-{lowest + 0.1:4.1f} " + " ".join(_cells(bins.get(lowest)) for bins in columns)
        for lowest in sorted({one.lowest for bins in (before, after) for one in bins})
    ]
    errors = [f"{calibration_error(bins):.3f}" for bins in (before, after)]
    return [*lines, f"  mean distance of score and share of right slots: {errors[0]} before, {errors[1]} after"]


def _cells(found: ScoreBin | None) -> str:
    return f"{'-':>15s} {'-':>6s} " if found is None else f"{found.slots:15d} {found.right:6.2f} "
