"""Time the localizer's core, from masks to objects in space, and watch its memory.

    python benchmark/localizer.py --frames 1000
    python benchmark/localizer.py --frames 100000 --objects 3 --kind depth

People who walk to and fro, two of them hidden, in 640x480 images with depth. CPU time is that of the process, which
other programs disturb less than the clock on the wall. Scenes are made ahead and used in turns.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

# isort: split
import argparse
import time
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from a2vis_ros.planner.mask_codec import RunLengthMask, encode_image
from a2vis_ros.programs.reports import resident_mib
from a2vis_ros.space.camera import CameraModel
from a2vis_ros.space.localizer import Localizer, LocalizerSettings, Mounting, State, Track, TrackFrame

HEIGHT, WIDTH, FOCAL, CAMERA_HEIGHT = 480, 640, 500.0, 1.2
SCENES = 40
"""Different frames, which are gone through to and fro."""
PERIOD_S = 0.1
LENS = (-0.28, 0.07, 0.0004, -0.0002, 0.0)


def scene(index: int, objects: int) -> tuple[list[RunLengthMask], NDArray[np.float32]]:
    """Masks of people in two rows, and the depth image [H, W] in metres."""
    masks, depth = [], np.full((HEIGHT, WIDTH), 20.0, np.float32)
    for i in range(objects):
        distance = 5.0 + 0.35 * i
        middle = 40 + 60 * (i % 10) + 0.4 * index * (1 if i % 2 else -1)
        top, bottom = (239.5 + FOCAL * y / distance for y in (CAMERA_HEIGHT - 1.7, CAMERA_HEIGHT))
        half = FOCAL * 0.25 / distance
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        centre, axes = (round(middle), round((top + bottom) / 2)), (round(half), round((bottom - top) / 2))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
        inside = mask.astype(np.bool_)
        masks.append(encode_image(inside))
        depth[inside] = np.minimum(depth[inside], distance)
    noise = np.random.default_rng(index).normal(0, 0.01, depth.shape)
    return masks, (depth + noise).astype(np.float32)


def frames(masks: list[RunLengthMask], number: int) -> TrackFrame:
    """The tracks of a scene, with masks that nobody has decoded yet; two are lost in four of five seconds."""
    tracks = []
    for i, mask in enumerate(masks):
        lost = i < 2 and number % 50 >= 10
        shown = RunLengthMask.empty() if lost else replace(mask)
        state = State.LOST if lost else State.VISIBLE
        tracks.append(Track(i + 1, state, 0, "person", 0.9, 0.9, shown, shown))
    return TrackFrame(round((1 + number * PERIOD_S) * 1e9), "camera", HEIGHT, WIDTH, 1, 0, tracks)


def main() -> None:
    """Print times with depth and without, and memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=1000, help="frames of each kind, 20 or more")
    parser.add_argument("--objects", type=int, default=20, help="people in view, 3 to 20")
    parser.add_argument("--kind", choices=("depth", "ground"), help="one of the two; left out, both")
    parser.add_argument("--lens", choices=("none", "plumb_bob"), default="plumb_bob", help="distortion of the camera")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    distortion = LENS if args.lens == "plumb_bob" else ()
    camera = CameraModel(WIDTH, HEIGHT, FOCAL, FOCAL, 319.5, 239.5, "plumb_bob", distortion, "camera")
    scenes = [scene(i, args.objects) for i in range(SCENES)]
    for name in (args.kind,) if args.kind else ("depth", "ground"):
        localizer = Localizer(LocalizerSettings(mounting=Mounting(CAMERA_HEIGHT)))
        # Written to already, so that the script's own memory does not grow.
        wall, processor = np.zeros(args.frames), np.zeros(args.frames)
        memory = {}
        for number in range(-20, args.frames):
            step = number % (2 * SCENES)
            masks, depth = scenes[min(step, 2 * SCENES - 1 - step)]
            frame = frames(masks, number + 20)
            start, busy = time.perf_counter(), time.process_time()
            result = localizer.update(frame, camera, depth if name == "depth" else None)
            # The first twenty, of negative numbers, are written over.
            wall[number] = (time.perf_counter() - start) * 1e3
            processor[number] = (time.process_time() - busy) * 1e3
            if number in (args.frames // 10, args.frames // 2, args.frames - 1):
                memory[number] = resident_mib()
        assert len(result.objects) >= args.objects - 2
        print(f"{name}, {args.objects} objects at {WIDTH}x{HEIGHT}, n {args.frames}:")
        for what, times in (("wall", wall), ("cpu", processor)):
            p50, p95, p99 = np.percentile(times, (50, 95, 99))
            print(f"  {what:4s} p50 {p50:.2f} ms, p95 {p95:.2f}, p99 {p99:.2f}")
        print("  memory " + ", ".join(f"{mib:.1f} MiB after {number + 1} frames" for number, mib in memory.items()))


if __name__ == "__main__":
    main()
