"""`doctor`: checks everything the node depends on, from the GPU to the camera's topic, and prints remedies.

ros2 run a2vis_ros doctor --topic /camera/image_raw
"""

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from a2vis_model.files.home import arguments_at_home

from ..programs.requirements import OPTIONAL, REQUIRED, installed
from .findings import Finding


def check_requirements() -> list[Finding]:
    """Check for the packages without which nothing runs."""
    return [
        Finding("error", name, "not installed, and the node needs it", fix)
        for name, fix in REQUIRED.items()
        if not installed(name)
    ]


def check_packages() -> list[Finding]:
    """Check for optional packages."""
    findings = []
    for name, (fix, what) in OPTIONAL.items():
        found = installed(name)
        text = "installed" if found else f"not installed; {what} needs it"
        findings.append(Finding("ok" if found else "note", name, text, "" if found else fix))
    return findings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return 0 when nothing is wrong, 1 when something is."""
    parser = argparse.ArgumentParser(prog="doctor", description=(__doc__ or "").partition(": ")[2].partition("\n")[0])
    parser.add_argument("--topic", help="topic of the images; without it, no topic is checked")
    parser.add_argument("--weights", help="to check, by name or file (those that the node runs by default)")
    parser.add_argument("--engine-cache", default="", help="folder of engines (the user's)")
    parser.add_argument("--seconds", type=float, default=3.0, help="to listen (%(default)s)")
    args = parser.parse_args(arguments_at_home(arguments))
    wrong = 0
    # Each is printed when it is found: the next check may be ended by an error.
    for finding in _findings(args):
        print(finding, flush=True)
        wrong += finding.verdict in ("warning", "error")
    print(f"\n{wrong} problem(s) found" if wrong else "\nno problems found")
    return 1 if wrong else 0


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    """Run all checks."""
    missing = check_requirements()
    yield from missing
    if missing:
        yield Finding("note", "all else", "not checked without these packages")
    else:
        yield from _examine(args)
    yield from check_packages()


def _examine(args: argparse.Namespace) -> Iterator[Finding]:
    """Run the checks that need the required packages."""
    checks = importlib.import_module("a2vis_ros.tools.doctor_checks")
    default_cache = importlib.import_module("a2vis_model.backends").default_cache
    default_weights = importlib.import_module("a2vis_model.shipped").DEFAULT_WEIGHTS
    cache = Path(args.engine_cache) if args.engine_cache else default_cache()
    weights = args.weights or default_weights
    yield from checks.check_computer()
    yield from checks.check_weights(weights)
    yield from checks.check_backends(weights, cache)
    yield from (
        checks.check_topic(args.topic, args.seconds) if args.topic else checks.check_transport(None, reliable=False)
    )


if __name__ == "__main__":
    sys.exit(main())
