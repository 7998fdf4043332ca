"""Time the start of the node: from the program to its first result, and what it takes when it has nothing to do.

    python benchmark/startup.py --backend eager openvino --runs 3

Backends take turns. An engine that is not in the cache is built at the first start, which is not counted. CPU time is
that of the node's process, all threads together, which other programs disturb less than the clock on the wall; it runs
with as many threads as `--threads` says. To compare two versions of the code, give both folders, each with the messages
built: `--code OLD NEW`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import rclpy
from a2vis_ros.msg import TrackedInstanceArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = (
    "import sys; from a2vis_ros.programs.entry import run; sys.exit(run('a2vis_node', 'a2vis_ros.node.a2vis_node'))"
)
"""The installed program."""
PATIENCE_S = 1800.0
IDLE_S = 10.0


class Camera(Node):
    """Publishes the same picture, until a result has come."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__("startup_benchmark")
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        self._image = Image(height=height, width=width, encoding="rgb8", step=3 * width, data=pixels.tobytes())
        self._publisher = self.create_publisher(Image, "/image", 1)
        self.results = 0
        self.create_subscription(TrackedInstanceArray, "/a2vis/tracks", self._on_result, 10)
        self.create_timer(0.05, self._publish)

    def _publish(self) -> None:
        if not self.results and self._publisher.get_subscription_count():
            self._image.header.stamp = self.get_clock().now().to_msg()
            self._publisher.publish(self._image)

    def _on_result(self, _message: TrackedInstanceArray) -> None:
        self.results += 1


def start_once(code: Path, backend: str, args: argparse.Namespace) -> tuple[float, float, float, float]:
    """Seconds on the wall and of the processor to the first result, MiB of memory, and percent of a core at rest."""
    camera = Camera(*map(int, args.size.split("x")))
    executor = SingleThreadedExecutor()
    executor.add_node(camera)
    backend, _, precision = backend.partition("-")
    parameters = {"backend": backend, "precision": precision or "fp32", "threads": args.threads, "autostart": "true"}
    if args.engine_cache:
        parameters["engine_cache"] = f'"{args.engine_cache}"'
    command = [sys.executable, "-c", PROGRAM, "--ros-args"]
    command += [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    paths = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    began = time.monotonic()
    with subprocess.Popen(command, cwd=code, env=environment, stderr=subprocess.DEVNULL) as node:
        try:
            process = psutil.Process(node.pid)
            while not camera.results:
                if node.poll() is not None:
                    raise SystemExit(
                        f"the node ended with status {node.returncode}; call {' '.join(command)} to see why"
                    )
                if time.monotonic() - began > PATIENCE_S:
                    raise SystemExit(f"no result in {PATIENCE_S:.0f} s")
                executor.spin_once(timeout_sec=0.01)
            wall, processor = time.monotonic() - began, sum(process.cpu_times()[:2])
            memory = process.memory_info().rss / 2**20
            time.sleep(2.0)  # What came meanwhile is still worked on.
            before, rested = sum(process.cpu_times()[:2]), time.monotonic()
            time.sleep(IDLE_S)
            idle = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - rested) * 100
        finally:
            node.terminate()
    executor.shutdown()
    camera.destroy_node()
    return wall, processor, memory, idle


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", default=["eager"], help="such as eager, openvino, openvino-bf16")
    parser.add_argument("--code", nargs="+", type=Path, default=[ROOT], help="folders with this package's code")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--engine-cache")
    args = parser.parse_args()
    rclpy.init(args=[])
    cases = [(code, backend) for backend in args.backend for code in args.code]
    found: dict[tuple[Path, str], list[tuple[float, float, float, float]]] = {case: [] for case in cases}
    for run in range(-1, args.runs):
        for case in cases:
            figures = start_once(*case, args)
            print(f"run {run + 1}: {case[0].name} {case[1]} {figures[0]:.2f} s", flush=True)
            if run >= 0:
                found[case].append(figures)
    rclpy.try_shutdown()
    for (code, backend), figures in found.items():
        wall, processor, memory, idle = (statistics.median(column) for column in zip(*figures, strict=True))
        print(
            f"{code.name} {backend:<14} first result after {wall:6.2f} s, {processor:5.2f} s of CPU; "
            f"{memory:4.0f} MiB; at rest {idle:.1f} % of a core"
        )


if __name__ == "__main__":
    main()
