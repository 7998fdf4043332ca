"""Run one stream for many clips and print time and memory along the way.

    python benchmark/endurance.py --clips 10000 --size 96x64

Objects are noise patches that drift and vanish and weights are random, so tracks start and end all the time. A small
input keeps ten thousand clips to minutes; nothing that could grow depends on the size. Time is the process's own CPU
time a clip, median of the last 200, which other programs on the machine disturb less than the clock on the wall.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import dataclasses
import resource
import statistics
import time

import numpy as np
import psutil
import torch

from a2vis_model import ModelConfig, StreamingTracker, TrackSettings, build_model, freeze, load_config

ANYTHING = TrackSettings(start_score=0, keep_score=0, min_area=1, confirm_frames=1, duplicate_iou=1, duplicate_part=1)


def moving_patches(index: int, height: int, width: int) -> np.ndarray:
    """A frame of a world that changes for ever: noise squares that move, appear and vanish."""
    rng = np.random.default_rng(index // 20)
    image = np.full((height, width, 3), 90, np.uint8)
    for _ in range(rng.integers(0, 6)):
        y, x = rng.integers(0, height - 16), (rng.integers(0, width) + 2 * index) % (width - 16)
        image[y : y + 16, x : x + 16] = rng.integers(0, 256, (16, 16, 3))
    return image


def usual_score(tracker: StreamingTracker, config: ModelConfig) -> float:
    """The median score of slots over some frames."""
    scores = []
    for index in range(100):
        (result,) = tracker.push(moving_patches(index, config.input_height, config.input_width), index / 30)
        scores += [instance.score for instance in result.instances]
    return statistics.median(scores)


def main() -> None:
    """Run the stream."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="onboard")
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--size", default="", help="WIDTHxHEIGHT of the input; the preset's by default")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    changes = {}
    if args.size:
        width, height = map(int, args.size.split("x"))
        changes = {"input_width": width, "input_height": height}
    config = load_config(args.preset, **changes)
    model = freeze(build_model(config))
    score = usual_score(StreamingTracker(model, config, settings=ANYTHING), config)
    # Random weights give all slots nearly the same score, which changes with the picture: at this threshold tracks
    # start and end all the time.
    settings = dataclasses.replace(ANYTHING, start_score=score, keep_score=score, max_lost_frames=1)
    tracker = StreamingTracker(model, config, stride=1, settings=settings)
    process = psutil.Process()
    times: list[float] = []
    newest_id = 0
    marks = sorted({mark for mark in (10, 100, 1000, 2000, 5000, 10_000, args.clips) if mark <= args.clips})
    size = f"{config.input_width}x{config.input_height}"
    print(f"torch {torch.__version__}, {args.preset} {size}, {args.threads} threads")
    print(f"{'clip':>8}{'CPU ms':>12}{'RSS MiB':>10}{'newest ID':>12}")
    for clip in range(1, args.clips + 1):
        image = moving_patches(clip, config.input_height, config.input_width)
        start = time.process_time()
        (result,) = tracker.push(image, clip / 30)
        times.append((time.process_time() - start) * 1e3)
        newest_id = max([newest_id, *(instance.track_id for instance in result.instances)])
        if clip in marks:
            memory = process.memory_info().rss / 2**20
            recent = times[-min(len(times), 200) :]
            print(f"{clip:>8}{statistics.median(recent):>12.2f}{memory:>10.1f}{newest_id:>12}", flush=True)
    print(f"peak RSS {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f} MiB")


if __name__ == "__main__":
    main()
