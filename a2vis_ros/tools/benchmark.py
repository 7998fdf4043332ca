"""Benchmark of the age of results when they are published, over DDS and between processes, and of the package's parts.

    python -m a2vis_ros.tools.benchmark latency --model null --size 1280x720
    python -m a2vis_ros.tools.benchmark latency --model onboard --weights F --size 640x480
    python -m a2vis_ros.tools.benchmark encode
    python -m a2vis_ros.tools.benchmark transport

`latency` stamps images as a process of its own publishes them, and takes the age that the node reports at publication
of every result. `null` is a model that costs nothing and tracks 20 objects, so that only the cost of this package and
of the transport remains. `transport` counts the images that a best-effort subscription receives, with and without our
profile.
"""

from a2vis_model import openmp as openmp  # This must precede the import of torch.

# isort: split
import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from a2vis_model import FrameResult, RegionMask, TrackedInstance, TrackSettings, TrackState

from ..msg import TrackedInstanceArray
from ..node.a2vis_node import run as run_node
from ..node.messages import image_message, result_message
from ..programs.lifecycle_client import LifecycleClient
from ..stream.image_decoding import Pixels
from ..stream.models import LoadedModel, ModelRequest, ReportProgress

_OBJECTS = 20
_PROFILE = Path(__file__).resolve().parents[2] / "config" / "fastdds_large_image.xml"
_WARMUP = 10
"""Number of results at the beginning that are not counted."""


def synthetic_instances(height: int, width: int) -> tuple[TrackedInstance, ...]:
    """Return twenty wavy blobs, each partly hidden, in the form of a tracker's results."""
    rows, columns = np.mgrid[:height, :width]
    instances = []
    for i in range(_OBJECTS):
        x, y = width * (0.1 + 0.8 * (i % 5) / 4), height * (0.15 + 0.7 * (i // 5) / 3)
        radius = height / 9 + height / 120 * np.sin(rows / 6 + i)
        whole = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        amodal, visible = (
            RegionMask.crop(mask, x=0, y=0, image_height=height, image_width=width)
            for mask in (whole, whole & (columns > x - height / 20))
        )
        instances.append(
            TrackedInstance(
                track_id=i + 1,
                slot=i,
                state=TrackState.VISIBLE,
                class_id=0,
                class_name="object",
                score=0.9,
                existence=0.9,
                age=1,
                frames_since_visible=0,
                visible=visible,
                amodal=amodal,
            )
        )
    return tuple(instances)


class NullTracker:
    """Answers every image with the same twenty objects, at no cost."""

    def __init__(self) -> None:
        self.epoch = 0
        self._frames = 0
        self._instances: tuple[TrackedInstance, ...] = ()
        self._size = (0, 0)

    def push(self, image: Pixels, timestamp: float) -> list[FrameResult]:
        """Answer an image with the twenty objects."""
        height, width = image.shape[:2]
        if (height, width) != self._size:
            self._size, self._instances = (height, width), synthetic_instances(height, width)
        self._frames += 1
        return [FrameResult(self._frames - 1, timestamp, self.epoch, height, width, self._instances)]

    def flush(self) -> list[FrameResult]:
        """Return nothing: no frame is open."""
        return []

    def reset(self) -> None:
        """Begin a new epoch."""
        self.epoch += 1

    def set_track_settings(self, settings: TrackSettings) -> None:
        """Do nothing: there are no thresholds."""

    def set_stride(self, stride: int) -> None:
        """Do nothing: every image is answered at once."""


def load_null(request: ModelRequest, progress: ReportProgress) -> LoadedModel:
    """Make the null model in place of a real one."""
    return LoadedModel(lambda tracks: NullTracker(), 1, "null", "nothing", "null/cpu", ("object",))


def percentiles(values: Sequence[float]) -> str:
    """Format p50, p95, p99, maximum and number of values in milliseconds."""
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return f"p50 {p50:.2f}  p95 {p95:.2f}  p99 {p99:.2f}  max {max(values):.2f} ms  n {len(values)}"


def measure_latency(args: argparse.Namespace) -> int:
    """Measure with camera, node and this listener in a process each."""
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(_PROFILE)
    node_command = [sys.executable, "-m", "a2vis_ros.tools.benchmark", "serve", "--model", args.model, "--ros-args"]
    if args.weights:
        node_command += ["-p", f'weights:="{args.weights}"']
    camera_command = [sys.executable, "-m", "a2vis_ros.tools.benchmark", "camera", "--size", args.size]
    camera_command += ["--rate", str(args.rate), "--images", str(args.images + _WARMUP)]
    rclpy.init(args=[])
    peer = Node("benchmark")
    executor = SingleThreadedExecutor()
    executor.add_node(peer)
    results: list[TrackedInstanceArray] = []
    peer.create_subscription(TrackedInstanceArray, "/a2vis/tracks", results.append, QoSProfile(depth=1000))
    node = subprocess.Popen(node_command, stderr=subprocess.DEVNULL)
    try:
        life = LifecycleClient(peer, "/a2vis", executor)
        life.change("configure", 300.0)
        life.change("activate")
        while not peer.count_publishers("/a2vis/tracks"):
            executor.spin_once(timeout_sec=0.05)
        camera = subprocess.Popen(camera_command)
        while camera.poll() is None:
            executor.spin_once(timeout_sec=0.05)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.05)
    finally:
        node.send_signal(signal.SIGINT)
        node.wait(30)
        rclpy.try_shutdown()
    timings = [message.timings for message in results[_WARMUP:]]
    if not timings:
        print("no result arrived", file=sys.stderr)
        return 1
    print(f"{args.model}, {args.size} rgb8, {args.rate:g} images per second, {args.images} images, policy latest")
    print(f"  capture to publish:     {percentiles([t.age_ms for t in timings])}")
    print(f"  network and tracker:    {percentiles([t.track_ms for t in timings])}")
    print(f"  waiting for the model:  {percentiles([t.queue_ms for t in timings])}")
    print(f"  decode and encode:      {percentiles([t.decode_ms + t.encode_ms for t in timings])}")
    return 0


def measure_encoding(args: argparse.Namespace) -> int:
    """Measure the conversion of tracks to a message: 20 visible and 20 amodal masks."""
    width, height = _size(args.size)
    result = FrameResult(0, 0.0, 0, height, width, synthetic_instances(height, width))
    times = []
    for _ in range(args.images):
        start = time.perf_counter()
        result_message(result, Header(), "")
        times.append((time.perf_counter() - start) * 1e3)
    print(f"encoding 2x{_OBJECTS} masks, {args.size}: {percentiles(times)}")
    return 0


def measure_transport(args: argparse.Namespace) -> int:
    """Measure best-effort transport of images over DDS, with the defaults and with our profile."""
    for name in ("defaults", "profile"):
        environment = {k: v for k, v in os.environ.items() if k != "FASTRTPS_DEFAULT_PROFILES_FILE"}
        if name == "profile":
            environment["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(_PROFILE)
        command = [sys.executable, "-m", "a2vis_ros.tools.benchmark", "listen", "--size", args.size]
        command += ["--rate", str(args.rate), "--images", str(args.images)]
        listened = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        print(f"{args.size} rgb8, best effort, {name}: {listened.stdout.strip()}")
    return 0


def listen(args: argparse.Namespace) -> int:
    """Count the images of a camera process, and measure their age."""
    rclpy.init(args=[])
    node = Node("listener")
    ages: list[float] = []

    def take(message: Image) -> None:
        stamp = message.header.stamp
        ages.append((node.get_clock().now().nanoseconds - stamp.sec * 10**9 - stamp.nanosec) * 1e-6)

    node.create_subscription(Image, "/image", take, _best_effort())
    command = [sys.executable, "-m", "a2vis_ros.tools.benchmark", "camera", "--size", args.size]
    camera = subprocess.Popen([*command, "--rate", str(args.rate), "--images", str(args.images)])
    while camera.poll() is None:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(f"{len(ages)} of {args.images} received" + (f", {percentiles(ages)}" if ages else ""))
    rclpy.try_shutdown()
    return 0


def send(args: argparse.Namespace) -> int:
    """Act as a camera: publish noise images at a steady rate, stamped as they are sent."""
    width, height = _size(args.size)
    rclpy.init(args=[])
    node = Node("camera")
    publisher = node.create_publisher(Image, "/image", _best_effort())
    while not publisher.get_subscription_count():
        time.sleep(0.02)
    time.sleep(0.5)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    message = image_message(noise, Header(frame_id="camera"), "rgb8")
    start = time.monotonic()
    for i in range(args.images):
        time.sleep(max(start + i / args.rate - time.monotonic(), 0.0))
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
    time.sleep(1.0)
    rclpy.try_shutdown()
    return 0


def serve(args: argparse.Namespace) -> int:
    """Run the node with the model that is measured."""
    ros = ["--ros-args", *args.ros] if args.ros else []
    if args.model == "null":
        return run_node(load_null, ros)
    # Imported here, since nothing else of this program needs PyTorch.
    from ..stream.loading import load_model

    return run_node(load_model, ros)


def _best_effort() -> QoSProfile:
    return QoSProfile(depth=3, reliability=ReliabilityPolicy.BEST_EFFORT)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise SystemExit(f"benchmark: --size {text!r}: give it as WIDTHxHEIGHT, such as 640x480")
    return int(width), int(height)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    split = given.index("--ros-args") if "--ros-args" in given else len(given)
    parser = argparse.ArgumentParser(prog="benchmark", description=(__doc__ or "").partition("\n")[0])
    modes: dict[str, Any] = {
        "latency": measure_latency,
        "encode": measure_encoding,
        "transport": measure_transport,
        "listen": listen,
        "camera": send,
        "serve": serve,
    }
    parser.add_argument("mode", choices=modes, help="latency, encode or transport; the others are parts of these")
    parser.add_argument("--model", choices=("null", "onboard"), default="null", help="(%(default)s)")
    parser.add_argument("--weights", help="name or file, for --model onboard (onboard)")
    parser.add_argument("--size", default="640x480", help="of the images (%(default)s)")
    parser.add_argument("--rate", type=float, default=30.0, help="images per second (%(default)s)")
    parser.add_argument("--images", type=int, default=300, help="how many (%(default)s)")
    args = parser.parse_args(given[:split])
    args.ros = given[split + 1 :]
    try:
        return int(modes[args.mode](args))
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130


if __name__ == "__main__":
    sys.exit(main())
