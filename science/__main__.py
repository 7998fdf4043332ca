"""The command of the studies: `python -m science run`, `python -m science report`.

    python -m science run --root robot=robot --root fishbowl=fishbowl --minutes 60
    python -m science report

`run` continues where the last run ended and writes one small file for each unit of work below docs/science/results;
`report` writes docs/science.md and its figures from them, whatever there is by then.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

from a2vis_model.errors import A2VISError

from . import report
from .context import RESULTS, ROOTS, Context, Unit, is_done
from .report import STUDIES
from .run import run_units


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status: 0 when everything is done, 3 when work is left."""
    parser = argparse.ArgumentParser(prog="python -m science", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="do the work that is not done yet")
    run.add_argument("--root", action="append", default=[], metavar="NAME=DIR", help=f"data: {', '.join(ROOTS)}")
    run.add_argument("--scratch", type=Path, default=Path("build/science"), help="work in progress (%(default)s)")
    run.add_argument("--minutes", type=float, help="time after which no more work is begun")
    listing = commands.add_parser("list", help="list the work, and what of it is done")
    writing = commands.add_parser("report", help="write docs/science.md and its figures")
    for each in (run, listing):
        each.add_argument("--study", action="append", choices=STUDIES, help="only this study (all)")
        each.add_argument("--only", default="*", metavar="PATTERN", help="only units of such names (%(default)s)")
    for each in (run, listing, writing):
        each.add_argument("--results", type=Path, default=RESULTS, help="folder of the results (%(default)s)")
    writing.add_argument("--output", type=Path, default=report.PAGE, help="page to write (%(default)s)")
    args = parser.parse_args(arguments)
    if args.command == "report":
        report.write(args.results, args.output)
        return 0
    units: list[Unit] = [unit for name in args.study or STUDIES for unit in STUDIES[name]()]
    units = [unit for unit in units if fnmatch(unit.name, args.only)]
    if args.command == "list":
        context = Context({}, Path(), args.results)
        for unit in units:
            print(f"{'done' if is_done(context, unit) else 'open'}  {unit.study}/{unit.name}")
        return 0
    deadline = float("inf") if args.minutes is None else time.monotonic() + 60 * args.minutes
    left = run_units(Context(parse_roots(args.root), args.scratch, args.results, deadline), units)
    print(f"{len(units) - left} of {len(units)} units are done")
    return 3 if left else 0


def parse_roots(texts: list[str]) -> dict[str, Path]:
    """Return folders by name from texts NAME=DIR.

    Raises:
        A2VISError: a text is none such, or its folder does not exist.
    """
    roots = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or name not in ROOTS:
            raise A2VISError(f"--root {text}: write NAME=DIR with a name of {', '.join(ROOTS)}")
        if not Path(path).is_dir():
            raise A2VISError(f"--root {text}: no such folder")
        roots[name] = Path(path)
    return roots


if __name__ == "__main__":
    try:
        sys.exit(main())
    except A2VISError as error:
        sys.exit(f"error: {error}")
