"""`a2vis render`: render a folder of videos in several processes, resuming where it was interrupted."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast, get_args

import cv2
from tqdm import tqdm

from ..data.fishbowl import declare_classes
from ..data.problems import ProblemLog, quiet_loaders
from ..data.space_truth import SPACE_FILE
from ..errors import A2VISError
from ..files.atomic import remove_abandoned_folders
from ..files.regular import read_regular
from ..machine import cores
from ..render import composed_world
from ..render.classes import WORLD_CLASSES
from ..render.clip import RenderedClip
from ..render.composed_world import ComposedClip
from ..render.cutouts import Pictures, load_pictures
from ..render.fishbowl_writer import write_clip
from ..render.worlds import World, check_arguments, check_size, check_space, clip_seed, render_clip
from ..workers import LocalWorkers
from .sizes import parse_size


@dataclass(frozen=True)
class _Job:
    """A video to render, of the procedural `world` or composed of pictures.

    Attributes:
        folders: folders of cut-outs and backgrounds; None for a procedural world.
        digest: digest of the pictures in `folders`.
    """

    directory: Path
    world: str
    seed: int
    frames: int
    height: int
    width: int
    folders: tuple[Path, Path] | None = None
    digest: str | None = None
    space: bool = False

    def run(self) -> None:
        # OpenCV's own threads would only disturb the other processes.
        cv2.setNumThreads(1)
        write_clip(self._render(), self.directory)

    def _render(self) -> RenderedClip:
        size = {"seed": self.seed, "frames": self.frames, "height": self.height, "width": self.width}
        if self.folders is None:
            return render_clip(world=cast(World, self.world), space=self.space, **size)
        return ComposedClip.sample(_pictures(*self.folders), **size).render(space=self.space)

    def is_done(self) -> bool:
        """Return whether the video exists.

        Raises:
            A2VISError: its folder holds something else.
        """
        if not self.directory.exists():
            return False
        recording = self.directory / "recording.json"
        try:
            found = json.loads(read_regular(recording))
            same = (found["seed"], len(found["frameTimes"]), found["ch"], found["cw"]) == (
                self.seed,
                self.frames,
                self.height,
                self.width,
            ) and self.world in ("mixed", found["world"])
            same = same and found.get("pictures") == self.digest
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise A2VISError(
                f"{recording} was not written by this program ({error}); choose another --output"
            ) from error
        if not same:
            raise A2VISError(
                f"{self.directory} holds a video of another seed, world, length or size, or of other pictures; choose "
                "another --output"
            )
        if self.space and not (self.directory / SPACE_FILE).exists():
            raise A2VISError(f"{self.directory} holds a video without {SPACE_FILE}; choose another --output")
        return True


@lru_cache(maxsize=1)
def _pictures(cutouts: Path, backgrounds: Path) -> Pictures:
    """The pictures of a process; what is wrong with them the command has said."""
    with quiet_loaders():
        return load_pictures(cutouts, backgrounds, ProblemLog())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder that receives one folder per video"
    )
    parser.add_argument("--clips", type=int, required=True, metavar="N", help="number of videos")
    parser.add_argument("--seed", type=int, default=0, help="seed of the series, which determines every video (0)")
    parser.add_argument(
        "--world", choices=(*get_args(World), composed_world.WORLD), default="mixed", help="world to render (mixed)"
    )
    parser.add_argument(
        "--cutouts", type=Path, metavar="DIR", help="composed: pictures with an alpha channel, CLASS/*.{png,webp}"
    )
    parser.add_argument("--backgrounds", type=Path, metavar="DIR", help="composed: photographs without such things")
    parser.add_argument("--frames", type=int, default=128, help="frames per video (128)")
    parser.add_argument("--size", default="480x320", metavar="WIDTHxHEIGHT", help="pixels (%(default)s)")
    parser.add_argument(
        "--space", action="store_true", help="robot, composed: write depth, camera and poses beside each video"
    )
    parser.add_argument("--workers", type=int, default=cores(), help="processes (as many as there are cores)")


def run(args: argparse.Namespace) -> int:
    """Renders the clips that `args.output` does not hold yet; returns the exit status."""
    width, height = parse_size(args.size)
    folders = _folders(args)
    if folders is None:
        check_arguments(world=args.world, seed=args.seed, frames=args.frames, height=height, width=width)
        check_space(args.world, args.space)
    else:
        check_size(seed=args.seed, frames=args.frames, height=height, width=width)
    for name, value in (("clips", args.clips), ("workers", args.workers)):
        if value < 1:
            raise A2VISError(f"{name} is {value}; use at least 1")
    digest, classes = None, WORLD_CLASSES.get(args.world, ())
    if folders is not None:
        pictures = load_pictures(*folders, ProblemLog())
        digest, classes = pictures.digest, pictures.classes
    args.output.mkdir(parents=True, exist_ok=True)
    remove_abandoned_folders(args.output)
    declare_classes(args.output, classes)
    jobs = [
        _Job(
            directory=args.output / f"{i:05d}",
            world=args.world,
            seed=clip_seed(args.seed, i),
            frames=args.frames,
            height=height,
            width=width,
            folders=folders,
            digest=digest,
            space=args.space,
        )
        for i in range(args.clips)
    ]
    missing = [job for job in jobs if not job.is_done()]
    start = time.perf_counter()
    with tqdm(total=len(jobs), initial=len(jobs) - len(missing), unit="clip") as bar:
        for done, _ in enumerate(LocalWorkers(args.workers, preload=__name__).run(_renderer, missing), 1):
            bar.update()
            bar.set_postfix_str(f"{done * args.frames / (time.perf_counter() - start):.0f} frames/s")
    return 0


def _folders(args: argparse.Namespace) -> tuple[Path, Path] | None:
    """Return the folders of cut-outs and backgrounds, which only the composed world has."""
    given = {"--cutouts": args.cutouts, "--backgrounds": args.backgrounds}
    composed = args.world == composed_world.WORLD
    for name, folder in given.items():
        if composed and folder is None:
            raise A2VISError(f"--world composed needs pictures; give {name} DIR")
        if not composed and folder is not None:
            raise A2VISError(f"{name} {folder} is for --world composed alone; --world is {args.world}")
    return (args.cutouts, args.backgrounds) if composed else None


def _renderer() -> Callable[[_Job], None]:
    return _Job.run
