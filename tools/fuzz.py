"""Feed every reader damaged files, and the image callback hostile messages, for as long as you like.

python tools/fuzz.py --seconds 3600
"""

import argparse
import importlib.util
import logging
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test" / "helpers")]

from a2vis_model import openmp as openmp  # noqa: E402, and before the import of torch

# isort: split
from fuzz_targets import TARGETS, Target, feeding, image_messages  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402

_AT_ONCE = 100
"""Inputs of a target before the next has its turn."""
_CALLBACK = "image callback"
"""That of an active node's subscription; needs ROS."""
_OF_MESSAGES = ("image messages", _CALLBACK)
"""Targets whose inputs are lists; what is counted are the messages in them."""


def main() -> int:
    """The program; 1 where something was found, with the input that shows it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (%(default)s)")
    targets = dict(TARGETS)
    if importlib.util.find_spec("rclpy") is not None:
        from fuzz_bags import BAG_TARGETS

        targets |= BAG_TARGETS
    names = [*targets, *([_CALLBACK] if importlib.util.find_spec("rclpy") is not None else [])]
    parser.add_argument("--only", nargs="+", choices=sorted(names), default=names, help="targets (all)")
    parser.add_argument("--seed", type=int, default=0, help="another gives other inputs (%(default)s)")
    args = parser.parse_args()
    # What readers report of broken records.
    logging.disable(logging.WARNING)
    counts: Counter[str] = Counter()
    findings = 0
    end, turn = time.monotonic() + args.seconds, args.seed * 1_000_000
    with ExitStack() as stack:
        targets = {name: targets[name] for name in args.only if name != _CALLBACK}
        if _CALLBACK in args.only:
            from image_callback import ImageCallback

            callback = stack.enter_context(ImageCallback())
            targets[_CALLBACK] = Target(image_messages, callback.take, ())
        # What was fed is told also where somebody ends it.
        stack.callback(_tell, counts)
        while time.monotonic() < end:
            for name, target in targets.items():
                findings += _feed(name, target, turn, counts)
                turn += 1
                if time.monotonic() >= end:
                    break
    print(f"{findings} findings")
    return 1 if findings else 0


def _tell(counts: Counter[str]) -> None:
    for name, count in counts.items():
        print(f"{count:9,d}  {name}")
    print(f"{sum(counts.values()):9,d}  inputs", flush=True)


def _feed(name: str, target: Target, turn: int, counts: Counter[str]) -> int:
    with feeding(target) as (inputs, take):

        @seed(turn)
        @settings(
            max_examples=_AT_ONCE,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=True,
        )
        @given(inputs)
        def feed(content: object) -> None:
            counts[name] += len(content) if name in _OF_MESSAGES and isinstance(content, list) else 1
            take(content)

        try:
            feed()
        except Exception as error:
            print(f"{name}, turn {turn}: {type(error).__name__}: {error}", *getattr(error, "__notes__", []), sep="\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
