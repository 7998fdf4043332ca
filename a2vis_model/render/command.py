"""``a2vis render``: a folder of rendered clips, by several processes, resuming where it was interrupted."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2
from tqdm import tqdm

from ..cpu import cores
from ..errors import A2VISError
from ..workers import worker_pool
from .fishbowl_writer import remove_partial_clips, write_clip
from .worlds import World, check_arguments, clip_seed, render_clip


@dataclass(frozen=True)
class _Job:
    """One clip to render."""

    directory: Path
    world: World
    seed: int
    frames: int
    height: int
    width: int

    def run(self) -> None:
        # OpenCV's own threads would only get in the way of the other processes.
        cv2.setNumThreads(1)
        clip = render_clip(world=self.world, seed=self.seed, frames=self.frames, height=self.height, width=self.width)
        write_clip(clip, self.directory)

    def is_done(self) -> bool:
        """Whether the clip is there; raises if its folder holds another one."""
        if not self.directory.exists():
            return False
        recording = self.directory / "recording.json"
        try:
            found = json.loads(recording.read_text(encoding="utf-8"))
            same = (found["seed"], len(found["frameTimes"]), found["ch"], found["cw"]) == (
                self.seed,
                self.frames,
                self.height,
                self.width,
            ) and self.world in ("mixed", found["world"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise A2VISError(
                f"{recording} is no recording of this program ({error}); choose another --output"
            ) from error
        if not same:
            raise A2VISError(
                f"{self.directory} holds a clip of another seed, world, length or size; choose another --output"
            )
        return True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``a2vis render``."""
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder that receives one folder a clip"
    )
    parser.add_argument("--clips", type=int, required=True, metavar="N", help="number of clips")
    parser.add_argument("--seed", type=int, default=0, help="the series; clip i of a series is always the same (0)")
    parser.add_argument("--world", choices=get_args(World), default="mixed", help="what to render (mixed)")
    parser.add_argument("--frames", type=int, default=128, help="frames a clip (128)")
    parser.add_argument("--size", type=parse_size, default=(480, 320), metavar="WxH", help="pixels (480x320)")
    parser.add_argument("--workers", type=int, default=cores(), help="processes (as many as there are cores)")


def parse_size(text: str) -> tuple[int, int]:
    """``480x320`` as (width, height)."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"size is {text!r}; give it as WIDTHxHEIGHT, such as 480x320")
    return int(width), int(height)


def run(args: argparse.Namespace) -> int:
    """Renders the clips that ``args.output`` does not hold yet; returns the exit status."""
    width, height = args.size
    check_arguments(world=args.world, seed=args.seed, frames=args.frames, height=height, width=width)
    for name, value in (("clips", args.clips), ("workers", args.workers)):
        if value < 1:
            raise A2VISError(f"{name} is {value}; use at least 1")
    args.output.mkdir(parents=True, exist_ok=True)
    remove_partial_clips(args.output)
    jobs = [
        _Job(args.output / f"{i:05d}", args.world, clip_seed(args.seed, i), args.frames, height, width)
        for i in range(args.clips)
    ]
    missing = [job for job in jobs if not job.is_done()]
    start = time.perf_counter()
    with tqdm(total=len(jobs), initial=len(jobs) - len(missing), unit="clip") as bar:
        for done, _ in enumerate(_work(missing, min(args.workers, len(missing))), 1):
            bar.update()
            bar.set_postfix_str(f"{done * args.frames / (time.perf_counter() - start):.0f} frames/s")
    return 0


def _work(jobs: list[_Job], workers: int) -> Iterator[None]:
    """Runs ``jobs``, yielding as each is done."""
    if workers <= 1:
        for job in jobs:
            job.run()
            yield
        return
    with worker_pool(workers, preload=__name__) as pool:
        for future in as_completed([pool.submit(job.run) for job in jobs]):
            future.result()
            yield
