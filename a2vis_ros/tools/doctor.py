"""`doctor`: checks what the node depends on, from the GPU to the camera's topic, and prints what to do.

ros2 run a2vis_ros doctor --topic /camera/image_raw
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from ..programs.requirements import OPTIONAL, REQUIRED, installed
from .findings import Finding


def check_requirements() -> list[Finding]:
    """Those packages without which nothing runs, where they are missing."""
    return [
        Finding("error", name, "not installed, and the node needs it", fix)
        for name, fix in REQUIRED.items()
        if not installed(name)
    ]


def check_packages() -> list[Finding]:
    """Packages that are used where they are there."""
    findings = []
    for name, (fix, what) in OPTIONAL.items():
        found = installed(name)
        text = "installed" if found else f"not installed; {what} needs it"
        findings.append(Finding("ok" if found else "note", name, text, "" if found else fix))
    return findings


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; 0 when nothing is wrong, 1 when something is."""
    parser = argparse.ArgumentParser(prog="doctor", description=(__doc__ or "").partition(": ")[2].partition("\n")[0])
    parser.add_argument("--topic", help="of the images; left out, no topic is checked")
    parser.add_argument("--weights", help="to check, by name or file (those that the node runs by default)")
    parser.add_argument("--engine-cache", default="", help="folder of engines (the user's)")
    parser.add_argument("--seconds", type=float, default=3.0, help="to listen (%(default)s)")
    args = parser.parse_args(arguments)
    findings = check_requirements()
    findings += _examine(args) if not findings else [Finding("note", "all else", "is checked once these are installed")]
    findings += check_packages()
    for finding in findings:
        print(finding)
    wrong = sum(finding.verdict in ("warning", "error") for finding in findings)
    print(f"\n{wrong} thing(s) to mend" if wrong else "\nnothing to mend")
    return 1 if wrong else 0


def _examine(args: argparse.Namespace) -> list[Finding]:
    """The checks that need what is required."""
    checks = importlib.import_module("a2vis_ros.tools.doctor_checks")
    default_cache = importlib.import_module("a2vis_model.backends").default_cache
    default_weights = importlib.import_module("a2vis_model.shipped").DEFAULT_WEIGHTS
    cache = Path(args.engine_cache) if args.engine_cache else default_cache()
    weights = args.weights or default_weights
    return [
        *checks.check_computer(),
        *checks.check_weights(weights),
        *checks.check_backends(weights, cache),
        *(checks.check_topic(args.topic, args.seconds) if args.topic else checks.check_transport(None, reliable=False)),
    ]


if __name__ == "__main__":
    sys.exit(main())
