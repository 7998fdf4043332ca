"""Measure how the cost of an evaluation grows with the number of videos, in processes and on a local Ray cluster.

    python benchmark/sharing.py --videos 4 16 --frames 8

Videos are rendered once. CPU time is that of the command and of all processes it has started, which other programs
disturb less than the clock on the wall. The predictions of all ways are compared byte by byte.
"""

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # of <sys/prctl.h>
WAYS = {"one process": ("--jobs", "1"), "two processes": ("--jobs", "2"), "Ray, two": ("--ray", "local", "--jobs", "2")}


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds on the wall and of the processor that a command takes with everything that it starts."""

    def processor() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    wall, before = time.monotonic(), processor()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - wall
    with suppress(ChildProcessError):
        while True:
            os.wait()  # for what the command has left behind, such as the server that forks its processes
    return wall, processor() - before


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", default="384x256")
    parser.add_argument("--weights", default="onboard-fishbowl")
    args = parser.parse_args()
    # Processes that lose their parent become children of this one, so that their time is known too.
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit("the kernel does not let this process adopt others; it must be Linux 3.4 or newer")
    a2vis = [sys.executable, "-m", "a2vis_model.cli"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        render = [*a2vis, "render", "--world", "aquarium", "--frames", str(args.frames), "--size", args.size]
        subprocess.run(
            [*render, "--clips", str(max(args.videos)), "--output", str(folder / "all")],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        for count in args.videos:
            data = folder / f"data{count}"
            data.mkdir()
            for clip in sorted((folder / "all").iterdir())[:count]:
                os.symlink(clip, data / clip.name)
            expected = None
            for way, options in WAYS.items():
                output = folder / f"{count} {way}"
                command = [*a2vis, "evaluate", "--data", str(data), "--format", "fishbowl", "--weights", args.weights]
                command += ["--device", "cpu", "--no-plots", "--quiet", "--output", str(output), *options]
                wall, processor = timed(command)
                found = [(output / file).read_bytes() for file in ("predictions.json", "tracks.json")]
                expected = expected or found
                same = "same predictions" if found == expected else "OTHER PREDICTIONS"
                print(f"{count:4} videos, {way:<14} {wall:7.1f} s, {processor:7.1f} s of CPU, {same}", flush=True)


if __name__ == "__main__":
    main()
