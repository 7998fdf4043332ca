"""Compare cameras that share a node, and so a model, with a node for each: memory, rate and age of results.

    python benchmark/cameras.py --cameras 1 2 4 --rate 10 --seconds 20

Cameras, nodes and this listener are processes of their own, over DDS; all cameras publish from one process. Memory is
the proportional share (PSS) of all nodes together, in which pages that processes share are counted once. Rate and age
are those of single cameras, and the slowest camera's rate is named, for the shares are to be fair. CPU time tells on a
machine with other work what rates do not.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
import rclpy
from a2vis_ros.msg import TrackedInstanceArray
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from a2vis_model.sample_video import sample_video
from a2vis_ros.node.messages import image_message
from a2vis_ros.programs.lifecycle_client import LifecycleClient
from a2vis_ros.programs.processes import running

PROFILE = Path(__file__).resolve().parents[1] / "config" / "fastdds_large_image.xml"
QOS = QoSProfile(depth=3, reliability=ReliabilityPolicy.BEST_EFFORT)
PATIENCE_S = 120.0
"""The first result of every camera must have come by then."""
WARMUP_S = 5.0
"""Results of the first seconds are not counted."""


def publish(names: list[str], rate: float, size: str) -> None:
    """Be all cameras: images in turns, each camera's at a steady rate, until told to stop."""
    width, height = map(int, size.split("x"))
    rclpy.init(args=[])
    node = Node("cameras")
    publishers = [node.create_publisher(Image, f"/{name}/image", QOS) for name in names]
    frames = [image_message(picture, Header(frame_id="camera"), "rgb8") for picture in sample_video(height, width)]
    start = time.monotonic()
    for count in range(sys.maxsize):
        time.sleep(max(start + count / (rate * len(names)) - time.monotonic(), 0.0))
        message = frames[count // len(names) % len(frames)]
        message.header.stamp = node.get_clock().now().to_msg()
        publishers[count % len(names)].publish(message)


class Listener:
    """Hears the results of all cameras, and what the nodes say of a GPU's memory."""

    def __init__(self, names: list[str]) -> None:
        self.node = Node("listener")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.ages: defaultdict[str, list[float]] = defaultdict(list)
        """Ages of results in milliseconds, by camera."""
        self.gpu_memory = ""
        for name in names:
            self.node.create_subscription(
                TrackedInstanceArray,
                f"/{name}/a2vis/tracks",
                lambda message, name=name: self.ages[name].append(message.timings.age_ms),
                100,
            )
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 100)

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for item in status.values:
                if item.key == "gpu_memory_all_processes_mib":
                    self.gpu_memory = item.value

    def spin(self, seconds: float) -> None:
        """Listen for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        """Leave the graph."""
        self.executor.shutdown()
        self.node.destroy_node()


@contextmanager
def nodes(names: list[str], together: bool, parameters: list[str]) -> Iterator[dict[str, psutil.Process]]:
    """The nodes, by name: one for all cameras, or one for each."""
    command = [sys.executable, "-m", "a2vis_ros.node.a2vis_node", "--ros-args", *parameters]
    groups = {"/a2vis": ["-p", f"cameras:={' '.join(names)}"]}
    if not together:
        groups = {f"/{name}/a2vis": ["-r", f"__ns:=/{name}"] for name in names}
    with ExitStack() as stack, open(os.devnull, "wb") as nowhere:
        found = {name: stack.enter_context(running([*command, *own], nowhere)) for name, own in groups.items()}
        yield {name: psutil.Process(program.pid) for name, program in found.items()}


def _cpu_seconds(programs: dict[str, psutil.Process]) -> float:
    """CPU time of all nodes so far."""
    times = [program.cpu_times() for program in programs.values()]
    return sum(one.user + one.system for one in times)


def measure(count: int, together: bool, args: argparse.Namespace) -> None:
    """Print one row."""
    names = [f"camera{i}" for i in range(count)]
    parameters = [text for value in args.set for text in ("-p", value)]
    camera = [sys.executable, __file__, "--publish", *names, "--rate", str(args.rate), "--size", args.size]
    listener = Listener(names)
    try:
        with nodes(names, together, parameters) as programs:
            for name in programs:
                life = LifecycleClient(listener.node, name, listener.executor)
                life.change("configure", 600.0)
                life.change("activate", 60.0)
            with open(os.devnull, "wb") as nowhere, running(camera, nowhere):
                deadline = time.monotonic() + PATIENCE_S
                while set(listener.ages) != set(names):
                    listener.spin(0.1)
                    if time.monotonic() > deadline:
                        raise SystemExit(f"only {sorted(listener.ages)} of {names} answered in {PATIENCE_S:.0f} s")
                listener.spin(WARMUP_S)
                listener.ages.clear()
                start, busy = time.monotonic(), _cpu_seconds(programs)
                listener.spin(args.seconds)
                seconds, busy = time.monotonic() - start, _cpu_seconds(programs) - busy
                memory = sum(program.memory_full_info().pss for program in programs.values()) / 2**20
    finally:
        listener.close()
    rates = [len(listener.ages[name]) / seconds for name in names]
    p50, p95 = np.percentile([age for ages in listener.ages.values() for age in ages], (50, 95))
    gpu = f"  {listener.gpu_memory} MiB of the GPU" if listener.gpu_memory else ""
    print(
        f"cameras {count}, processes {1 if together else count}: {memory:.0f} MiB{gpu}  "
        f"results a second and camera {np.mean(rates):.2f}, the slowest {min(rates):.2f}  "
        f"age p50 {p50:.0f} p95 {p95:.0f} ms  CPU {busy * 1e3 / (sum(rates) * seconds):.0f} ms a result, "
        f"{busy / seconds:.2f} cores",
        flush=True,
    )


def main() -> None:
    """Print a row for each number of cameras and each arrangement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2, 4], help="numbers of cameras (%(default)s)")
    parser.add_argument("--rate", type=float, default=10.0, help="images a second of each camera (%(default)s)")
    parser.add_argument("--size", default="640x480", help="of the images (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured in each row (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="how often all rows are measured (%(default)s)")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME:=VALUE", help="parameters of the nodes")
    parser.add_argument("--publish", nargs="+", metavar="NAME", help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(PROFILE)
    if args.publish:
        publish(args.publish, args.rate, args.size)
        return
    rclpy.init(args=[])
    for _ in range(args.rounds):
        for count in args.cameras:
            for together in (True, False) if count > 1 else (True,):
                measure(count, together, args)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
