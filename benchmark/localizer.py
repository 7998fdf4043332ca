"""Time the localizer, from messages of masks to messages of objects in space, and watch its memory.

    python benchmark/localizer.py --frames 1000
    python benchmark/localizer.py --frames 100000 --objects 3 --kind depth
    python benchmark/localizer.py --kind depth --depth rvl

People who walk to and fro, two of them hidden, in 640x480 images with depth. Timed are the core, from masks to objects,
and a frame, which is the core and what a node does to messages before and after it: checks of the masks, metres of the
depth image, which comes raw or compressed, the message of the objects. Apart from these the markers for RViz, and the
decoding of the depth image, which is part of a frame. DDS is left out. CPU time is that of the process, which other
programs disturb less than the clock on the wall. Scenes are made ahead and used in turns.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

# isort: split
import argparse
import struct
import time
from collections.abc import Callable

import cv2
import numpy as np
from a2vis_ros.msg import Mask, TrackedInstance, TrackedInstanceArray
from numpy.typing import NDArray
from std_msgs.msg import Header

from a2vis_ros.node.object_markers import object_markers
from a2vis_ros.node.space_messages import ObjectMessages, track_frame
from a2vis_ros.planner.mask_codec import RunLengthMask, encode_image
from a2vis_ros.planner.mask_messages import mask_to_message
from a2vis_ros.programs.reports import resident_mib
from a2vis_ros.space.camera import CameraModel
from a2vis_ros.space.depth_image import compressed_depth, raw_depth
from a2vis_ros.space.depth_surface import DepthMetres
from a2vis_ros.space.localizer import Localizer, LocalizerSettings, Mounting

HEIGHT, WIDTH, FOCAL, CAMERA_HEIGHT = 480, 640, 500.0, 1.2
SCENES = 40
"""Different frames, which are gone through to and fro."""
PERIOD_S = 0.1
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PARTS = ("decoding", "core", "frame", "markers")
LENS = (-0.28, 0.07, 0.0004, -0.0002, 0.0)


def scene(index: int, objects: int) -> tuple[list[RunLengthMask], NDArray[np.uint16]]:
    """Masks of people in two rows, and the depth image [H, W] in millimetres."""
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
    return masks, ((depth + noise) * 1e3).astype(np.uint16)


def tracks(masks: list[RunLengthMask], number: int) -> TrackedInstanceArray:
    """The tracks of a scene; two are lost in four of five seconds."""
    message = TrackedInstanceArray(height=HEIGHT, width=WIDTH, session=1)
    message.header.frame_id = "camera"
    seconds = 1 + number * PERIOD_S
    message.header.stamp.sec, message.header.stamp.nanosec = int(seconds), round(seconds % 1 * 1e9)
    for i, mask in enumerate(masks):
        lost = i < 2 and number % 50 >= 10
        instance = TrackedInstance(track_id=i + 1, class_name="person", score=0.9, existence=0.9)
        instance.state = TrackedInstance.LOST if lost else TrackedInstance.VISIBLE
        instance.visible, instance.amodal = (Mask() if lost else mask_to_message(mask) for _ in range(2))
        message.instances.append(instance)
    return message


def encoded(depth: NDArray[np.uint16], kind: str) -> bytes:
    """A depth image [H, W] as a message carries it."""
    if kind == "raw":
        return depth.tobytes()
    return rvl(depth) if kind == "rvl" else bytes(12) + cv2.imencode(".png", depth)[1].tobytes()


def decoder(kind: str) -> Callable[[bytes], DepthMetres]:
    """What makes metres of `encoded`."""
    if kind == "raw":
        return lambda data: raw_depth(HEIGHT, WIDTH, "16UC1", False, 2 * WIDTH, memoryview(data), (HEIGHT, WIDTH))
    return lambda data: compressed_depth(f"16UC1; compressedDepth {kind}", memoryview(data), (HEIGHT, WIDTH))


def rvl(depth: NDArray[np.uint16]) -> bytes:
    """A depth image without holes as RVL."""
    assert depth.all()
    deltas = np.diff(depth.ravel().astype(np.int64), prepend=0)
    numbers = np.concatenate([[0, depth.size], (deltas << 1) ^ (deltas >> 63)])
    lengths = 1 + sum((numbers >= 8**k).astype(np.int64) for k in range(1, 11))
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    groups = np.repeat(numbers, lengths) >> (3 * place) & 7
    groups[place + 1 < np.repeat(lengths, lengths)] |= 8
    words = np.pad(groups, (0, -len(groups) % 8)).reshape(-1, 8) << np.arange(28, -1, -4)
    return struct.pack("<iffii", 0, 0, 0, depth.shape[1], depth.shape[0]) + words.sum(axis=1).astype("<u4").tobytes()


def read_clocks() -> dict[str, float]:
    """The times on `CLOCKS`, in seconds."""
    return {name: read() for name, read in CLOCKS.items()}


def main() -> None:
    """Print times with depth and without, and memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=1000, help="frames of each kind, 20 or more")
    parser.add_argument("--objects", type=int, default=20, help="people in view, 3 to 20")
    parser.add_argument("--kind", choices=("depth", "ground"), help="one of the two; left out, both")
    parser.add_argument("--depth", choices=("raw", "png", "rvl"), default="raw", help="coding of the depth images")
    parser.add_argument("--lens", choices=("none", "plumb_bob"), default="plumb_bob", help="distortion of the camera")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    distortion = LENS if args.lens == "plumb_bob" else ()
    camera = CameraModel(WIDTH, HEIGHT, FOCAL, FOCAL, 319.5, 239.5, "plumb_bob", distortion, "camera")
    scenes = [(masks, encoded(depth, args.depth)) for masks, depth in (scene(i, args.objects) for i in range(SCENES))]
    decode = decoder(args.depth)
    for name in (args.kind,) if args.kind else ("depth", "ground"):
        localizer, messages = Localizer(LocalizerSettings(mounting=Mounting(CAMERA_HEIGHT))), ObjectMessages()
        # Written to already, so that the script's own memory does not grow.
        times = {
            (part, clock): np.full(args.frames, np.nan)
            for part in ("decoding", "core", "frame", "markers")
            for clock in CLOCKS
        }
        memory = {}
        for number in range(-20, args.frames):
            step = number % (2 * SCENES)
            masks, data = scenes[min(step, 2 * SCENES - 1 - step)]
            message = tracks(masks, number + 20)
            begin = read_clocks()
            frame = track_frame(message)
            coded = read_clocks()
            metres = decode(data) if name == "depth" else None
            start = read_clocks()
            result = localizer.update(frame, camera, metres)
            end = read_clocks()
            messages.write(result, message)
            last = read_clocks()
            object_markers(result, Header())
            shown = read_clocks()
            # The first twenty, of negative numbers, are written over.
            for clock in CLOCKS:
                times["decoding", clock][number] = (start[clock] - coded[clock]) * 1e3
                times["markers", clock][number] = (shown[clock] - last[clock]) * 1e3
                times["core", clock][number] = (end[clock] - start[clock]) * 1e3
                times["frame", clock][number] = (last[clock] - begin[clock]) * 1e3
            if number in (args.frames // 10, args.frames // 2, args.frames - 1):
                memory[number] = resident_mib()
        assert len(result.objects) >= args.objects - 2
        print(f"{name}, {args.objects} objects at {WIDTH}x{HEIGHT}, {args.depth} depth, n {args.frames}:")
        for (part, clock), found in times.items():
            p10, p50, p95, p99 = np.percentile(found, (10, 50, 95, 99))
            print(f"  {part:8s} {clock:4s} p10 {p10:.2f} ms, p50 {p50:.2f}, p95 {p95:.2f}, p99 {p99:.2f}")
        print("  memory " + ", ".join(f"{mib:.1f} MiB after {number + 1} frames" for number, mib in memory.items()))


if __name__ == "__main__":
    main()
