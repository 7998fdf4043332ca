"""Measure how the cost of an evaluation grows with the number of videos, in processes and on a local Ray cluster.

    python benchmark/sharing.py --videos 4 16 --frames 8

Videos are rendered once. CPU time is that of the command and of all processes it has started, which other programs
disturb less than the clock on the wall. The predictions of all ways are compared byte by byte.
"""

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

LOOK_S = 0.1
PR_SET_CHILD_SUBREAPER = 36  # of <sys/prctl.h>
WAYS = {"one process": ("--jobs", "1"), "two processes": ("--jobs", "2"), "Ray, two": ("--ray", "local", "--jobs", "2")}


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds on the wall and of the processor that a command takes with everything that it starts.

    All processes are looked at many times a second: the system adds up the times only of those that somebody waits
    for, and for Ray's workers nobody does.
    """
    used: dict[int, float] = {}

    def look() -> bool:
        """Note the times of all processes below this one; whether there are any."""
        found = psutil.Process().children(recursive=True)
        for process in found:
            with suppress(psutil.Error):
                used[process.pid] = sum(process.cpu_times()[:2])
        return bool(found)

    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None:
            look()
            time.sleep(LOOK_S)
    wall = time.monotonic() - start
    if running.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {running.returncode}")
    while look():  # What the command has left behind, such as the server that forks its processes.
        with suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        time.sleep(LOOK_S)
    return wall, sum(used.values())


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
