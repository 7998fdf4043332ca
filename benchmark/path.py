"""Print what each part of the path takes, from a uint8 frame to the bytes of a message, and its share.

    python benchmark/path.py --image 1280x720 --backend eager openvino-bf16 --frames 60

Every slot is a track, the most work that can occur. Backends take turns frame by frame. Times are CPU time of the
process per frame, medians, which other programs disturb less than the clock on the wall.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from a2vis_model import StreamingTracker, freeze, load_weights
from a2vis_model.backends import default_cache, prepare_backend
from a2vis_model.profiling import EVERY_SLOT
from a2vis_model.sample_video import sample_video
from a2vis_ros.node.messages import result_message

PARTS = {
    "resize, normalise": ("_transform",),
    "frame graph": ("_model", "extract"),
    "clip graph": ("_window", "decode"),
    "masks": ("_reader", "read"),
    "tracks": ("_manager", "update"),
    "masks of tracks": ("_instance",),
    "slots reset": ("_recycle",),
}
"""Steps of a tracker, by the attributes that do them."""


class Clock:
    """Milliseconds of CPU time by part, for each frame."""

    def __init__(self) -> None:
        self.frames: list[dict[str, float]] = []
        self._frame: dict[str, float] = defaultdict(float)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time counts as that of a part."""

        def run(*arguments: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments)
            finally:
                self._frame[name] += (time.process_time() - start) * 1e3

        return run

    def next_frame(self, whole: float) -> None:
        """End a frame that took `whole` ms."""
        rest = whole - sum(self._frame.values())
        self.frames.append({**self._frame, "rest": rest, "whole path": whole})
        self._frame.clear()


class TimedPath:
    """A tracker whose steps are timed, and what makes messages of its results."""

    def __init__(self, weights: str, backend: str, cache: Path) -> None:
        model, config = load_weights(weights)
        name, _, precision = backend.partition("-")
        ready = prepare_backend(freeze(model), config, backend=name, precision=precision or "fp32", cache=cache)
        self.clock = Clock()
        self._tracker = StreamingTracker(ready.network, config, settings=EVERY_SLOT)
        for part, way in PARTS.items():
            owner: Any = self._tracker
            for attribute in way[:-1]:
                owner = getattr(owner, attribute)
            # A module allows no other function of this name to be set for it alone, but a dictionary does.
            owner.__dict__[way[-1]] = self.clock.timed(part, getattr(owner, way[-1]))
        self._message = self.clock.timed("message", result_message)
        self._bytes = self.clock.timed("bytes of the message", serialize_message)

    def push(self, image: Any, number: int) -> None:
        """Take a frame."""
        start = time.process_time()
        for result in self._tracker.push(image, number / 15):
            self._bytes(self._message(result, Header(), ""))
        self.clock.next_frame((time.process_time() - start) * 1e3)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="onboard")
    parser.add_argument("--backend", nargs="+", default=["eager"], help="such as eager, openvino, openvino-bf16")
    parser.add_argument("--image", default="1280x720")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engine-cache", type=Path, default=default_cache())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    width, height = map(int, args.image.split("x"))
    paths = {name: TimedPath(args.weights, name, args.engine_cache) for name in args.backend}
    for number, image in zip(range(-10, args.frames), cycle(sample_video(height, width)), strict=False):
        for path in paths.values():
            path.push(image, number + 10)
    print(f"{args.weights}, images of {args.image}, clip stride 1, {args.threads} threads, {args.frames} frames")
    for name, path in paths.items():
        frames = path.clock.frames[10:]
        whole = statistics.median(frame["whole path"] for frame in frames)
        print(name)
        for part in (*PARTS, "message", "bytes of the message", "rest", "whole path"):
            taken = statistics.median(frame[part] for frame in frames)
            print(f"  {part:<22} {taken:8.2f} ms {taken / whole:6.1%}")


if __name__ == "__main__":
    main()
