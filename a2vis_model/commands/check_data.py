"""`a2vis check-data`: check that a data set is intact, and print its statistics."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from ..data.fishbowl import found_classes
from ..data.formats import FORMATS, open_dataset
from ..data.labels import LABELS_HELP
from ..data.problems import DataError, ProblemLog, add_strict_argument, named_at_an_error, quiet_loaders
from ..data.statistics import survey
from ..errors import LONGEST_NAME, A2VISError, printable
from ..files.atomic import write_text

EVERY_CLASS = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("path", metavar="DIR", help="folder of the data set (of one split), or its JSON file")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="format of the data set (default: detected)")
    parser.add_argument(
        "--classes",
        metavar="A,B,...",
        help=f"check only objects of these classes; '{EVERY_CLASS}': all classes in FISHBOWL's layout",
    )
    parser.add_argument("--images", metavar="DIR", help="folder of a JSON file's images, if not in the usual place")
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help=f"{LABELS_HELP}, that says which classes are labelled in the images of a JSON file and whether its masks "
        "are amodal; default: labels.yaml beside it, if there",
    )
    parser.add_argument("--masks-only", action="store_true", help="do not decode the frames, which takes longest")
    add_strict_argument(parser)
    parser.add_argument("--json", metavar="FILE", help="also write statistics and problems there")


def run(args: argparse.Namespace) -> int:
    """Print statistics and problems; return 1 when there are problems, 0 when there are none."""
    problems = ProblemLog(args.strict)
    report: dict[str, Any] = {"path": args.path}
    with quiet_loaders(), named_at_an_error(problems):
        try:
            classes = found_classes(args.path) if args.classes == EVERY_CLASS else (args.classes or "").split(",")
            names = [name for name in classes if name]
            dataset = open_dataset(
                args.path, args.format, names, images=args.images, labels=args.labels, problems=problems
            )
            videos = tqdm(dataset.videos(), total=len(dataset), unit="video", disable=None, leave=False)
            statistics = survey(videos, read_frames=not args.masks_only)
            report |= {"format": dataset.format, "classes": dataset.classes, **statistics.summary()}
        except DataError as error:
            problems.report(error.problem)
    report["problems"] = [vars(problem) for problem in problems]
    if report.get("videos"):
        print("\n".join(_lines(report)))
    for problem in problems:
        print(f"problem: {problem}")
    print(f"{len(problems)} problem{'' if len(problems) == 1 else 's'} in {printable(args.path)}")
    if args.json:
        try:
            write_text(args.json, json.dumps(report, indent=1) + "\n")
        except OSError as error:
            raise A2VISError(f"--json {args.json} cannot be written: {error.strerror}") from error
    return 1 if problems else 0


def _lines(report: dict[str, Any]) -> Iterator[str]:
    sizes = ", ".join(report["frame_sizes"])
    yield f"{report['format']}: {report['videos']} videos, {report['frames']} frames of {sizes}"
    classes = (
        f"{printable(name, LONGEST_NAME)} {report['objects_by_class'].get(name, 0)}" for name in report["classes"]
    )
    yield f"objects: {report['objects']} ({', '.join(classes)})"
    for group in report["labelled"]:
        every = len(group["classes"]) == len(report["classes"])
        named = "all classes" if every else ", ".join(printable(name, LONGEST_NAME) for name in group["classes"])
        yield f"labelled in {group['videos']} videos: {named or 'no class'}"
    if unknown := report["amodal_unknown"]:
        yield f"amodal masks: unknown in {'all' if unknown == report['videos'] else unknown} videos"
    for key in ("objects_per_frame", "visible_frames_per_object"):
        if spread := report[key]:
            numbers = ", ".join(f"{name} {spread[name]:.4g}" for name in ("mean", "median", "min", "max"))
            yield f"{key.replace('_', ' ')}: {numbers}"
    yield from _occlusion_lines(report["occlusion"])


def _occlusion_lines(occlusion: dict[str, Any] | None) -> Iterator[str]:
    if occlusion is None:
        yield "occlusion: no amodal masks of visible objects"
        return
    total = occlusion["object_frames"]
    hidden = occlusion["hidden_object_frames"]
    yield (
        f"occlusion, 1 - visible/amodal area, in {total} object-frames from the first visible frame of an object on: "
        f"mean {occlusion['mean']:.3f}, completely hidden in {hidden} ({hidden / total:.1%})"
    )
    for bin_, count in enumerate(occlusion["histogram"]):
        yield f"  {bin_ / 10:.1f}-{(bin_ + 1) / 10:.1f}  {count / total:6.1%}  {'#' * round(50 * count / total)}"
    yield "  share   of object-frames   mean over objects   mean over objects while visible"
    for threshold, shares in occlusion["above"].items():
        all_, mean, seen = shares.values()
        yield f"  > {threshold}  {all_:16.1%}  {mean:18.1%}  {seen:29.1%}"
    split = occlusion["split"]
    frames, objects = split["object_frames"], split["objects_by_mean"]
    yield (
        f"split at {split['at']}: {frames[0]} object-frames below and {frames[1]} above; "
        f"by their mean {objects[0]} objects below and {objects[1]} above"
    )
