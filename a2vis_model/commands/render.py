"""`a2vis render`: render a folder of videos in several processes, resuming where it was interrupted."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import cast, get_args

import cv2
from tqdm import tqdm

from ..data.fishbowl import declare_classes
from ..data.problems import ProblemLog, quiet_loaders
from ..data.space_truth import SPACE_FILE
from ..errors import A2VISError, printable
from ..files.atomic import remove_abandoned_folders
from ..files.regular import read_regular
from ..machine import code_hash, cores
from ..render import composed_world
from ..render.classes import WORLD_CLASSES
from ..render.clip import RenderedClip
from ..render.composed_world import ComposedClip
from ..render.cutouts import Pictures, load_pictures
from ..render.fishbowl_writer import MADE_BY_FILE, RECORDING_FILE, write_clip
from ..render.worlds import World, check_arguments, check_size, check_space, clip_seed, render_clip
from ..workers import LocalWorkers
from .sizes import parse_size


class _State(Enum):
    """What there is of a video."""

    MISSING = "missing"
    OTHER = "made by other code"
    DONE = "done"


@dataclass(frozen=True)
class _Job:
    """A video to render, of the procedural `world` or composed of pictures.

    Attributes:
        folders: folders of cut-outs and backgrounds; None for a procedural world.
        digest: digest of the pictures in `folders`.
        code: hash of the code that renders.
    """

    directory: Path
    world: str
    seed: int
    frames: int
    height: int
    width: int
    code: str
    folders: tuple[Path, Path] | None = None
    digest: str | None = None
    space: bool = False

    def run(self) -> None:
        # OpenCV's own threads would only disturb the other processes.
        cv2.setNumThreads(1)
        clip = self._render()
        # What was there stays until what replaces it is rendered.
        if self.state() is _State.OTHER:
            shutil.rmtree(self.directory)
        write_clip(clip, self.directory, made_by=self.fingerprint())

    def _render(self) -> RenderedClip:
        size = {"seed": self.seed, "frames": self.frames, "height": self.height, "width": self.width}
        if self.folders is None:
            return render_clip(world=cast(World, self.world), space=self.space, **size)
        return ComposedClip.sample(_pictures(*self.folders), **size).render(space=self.space)

    def fingerprint(self) -> str:
        """Return a hash that changes with the code and with every setting of the video."""
        settings = {name: value for name, value in vars(self).items() if name not in ("directory", "folders")}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def state(self) -> _State:
        """Return whether the video exists, and whether this code has made it.

        Raises:
            A2VISError: its folder holds something else, which nobody asked to have replaced.
        """
        if not self.directory.exists():
            return _State.MISSING
        recording = self.directory / RECORDING_FILE
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
        if self.space != (self.directory / SPACE_FILE).exists():
            what = "without" if self.space else "with"
            raise A2VISError(f"{self.directory} holds a video {what} {SPACE_FILE}; choose another --output")
        try:
            made_by = read_regular(self.directory / MADE_BY_FILE).decode("ascii", "replace").strip()
        except FileNotFoundError:
            made_by = ""
        return _State.DONE if made_by == self.fingerprint() else _State.OTHER


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
    """Render the clips that `args.output` does not hold yet, as this code and these settings make them.

    Returns:
        The exit status.
    """
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
    code = code_hash()
    jobs = [
        _Job(
            directory=args.output / f"{i:05d}",
            world=args.world,
            seed=clip_seed(args.seed, i),
            frames=args.frames,
            height=height,
            width=width,
            code=code,
            folders=folders,
            digest=digest,
            space=args.space,
        )
        for i in range(args.clips)
    ]
    states = {job: job.state() for job in jobs}
    other = sum(state is _State.OTHER for state in states.values())
    if other:
        print(
            printable(
                f"a2vis render: {other} of {len(jobs)} videos in {args.output} were made by other code; they are made "
                "again"
            ),
            file=sys.stderr,
        )
    missing = [job for job, state in states.items() if state is not _State.DONE]
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
