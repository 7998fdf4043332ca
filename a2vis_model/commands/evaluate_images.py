"""`a2vis evaluate-images`: COCO mask precision of a network's frame detector on single images."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from ..config import parse_changes
from ..data import open_dataset
from ..data.problems import ProblemLog, add_strict_argument, named_at_an_error
from ..devices import choose_device
from ..errors import LONGEST_NAME, A2VISError, printable
from ..evaluation.image_precision import ImagePrecision, image_precision
from ..evaluation.provenance import data_hash, provenance
from ..files.atomic import write_text
from ..machine import file_hash
from ..shipped import find_weights
from ..weights import load_weights
from .arguments import add_set_argument, add_weights_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--data", required=True, metavar="FILE", help="COCO annotations, or the folder of the file")
    parser.add_argument("--images", metavar="DIR", help="folder of the images, if not in the usual place")
    parser.add_argument("--labels", metavar="FILE", help="labels file of the images; see docs/training.md")
    add_weights_argument(parser)
    add_set_argument(parser)
    parser.add_argument("--output", metavar="DIR", help="folder for images.json and images.md")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="(%(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_strict_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Detect, score, print and write; return 1 if anything was broken, and name it."""
    weights = find_weights(args.weights)
    model, config = load_weights(weights, parse_changes(args.set))
    problems = ProblemLog(args.strict)
    with named_at_an_error(problems):
        dataset = open_dataset(
            args.data, classes=config.classes, images=args.images, labels=args.labels, problems=problems
        )
        precision = image_precision(model, config, dataset, device=choose_device(args.device), quiet=args.quiet)
    for problem in problems:
        print(f"problem: {problem}")
    if not precision.objects:
        raise A2VISError(f"--data {args.data}: no image holds an object of the classes {', '.join(config.classes)}")
    table = markdown(precision)
    print(table)
    if args.output:
        output = Path(args.output)
        output.mkdir(parents=True, exist_ok=True)
        made_of = provenance(weights=file_hash(weights), data=data_hash([args.data]))
        content = asdict(precision) | {"provenance": made_of}
        write_text(output / "images.json", json.dumps(content, indent=1) + "\n")
        write_text(output / "images.md", table)
    return 1 if problems else 0


def markdown(precision: ImagePrecision) -> str:
    """Return two tables in percent: all classes together, and each class."""
    lines = [f"COCO mask precision of single images: {precision.images} images, {precision.objects} objects", ""]
    for values in (precision.overall, precision.by_class):
        lines.append(f"| {' | '.join(printable(name, LONGEST_NAME) for name in values)} |")
        lines.append("|" + "---:|" * len(values))
        lines.append(f"| {' | '.join('–' if v is None else f'{100 * v:.1f}' for v in values.values())} |")
        lines.append("")
    return "\n".join(lines)
