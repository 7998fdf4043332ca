"""Time the start of the node: from the command to its first result, and what it takes when it has nothing to do.

    python benchmark/startup.py --backend eager openvino --runs 3

Backends take turns. An engine that is not in the cache is built at the first start, which is not counted. CPU time is
that of all processes of the command, which other programs disturb less than the clock on the wall; the network has as
many threads as `--threads` says. Memory and what is taken at rest are the node's own. To compare two versions of the
code, give both folders, each with the messages built: `--code OLD NEW`.

With `--launch` the command is `ros2 launch a2vis_ros a2vis.launch.py` of the installed package, whose environment must
be sourced; without, it is the node's program alone, from a folder with the code.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
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


def node_command(parameters: Mapping[str, str], launch: bool, file: Path) -> list[str]:
    """The command that starts the node with these parameters; `file` is where a parameter file may be written."""
    if not launch:
        given = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        return [sys.executable, "-c", PROGRAM, "--ros-args", *given]
    lines = ["/**:", "  ros__parameters:", *(f"    {name}: {value}" for name, value in parameters.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["ros2", "launch", "a2vis_ros", "a2vis.launch.py", f"params_file:={file}"]


def node_of(command: psutil.Process) -> psutil.Process:
    """The node's process, which is the command's own or one that it has started."""
    started = command.children(recursive=True)
    return next((process for process in started if "a2vis_node" in " ".join(process.cmdline())), command)


def cpu_s(*processes: psutil.Process) -> float:
    """CPU time of these processes."""
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))


def start_once(code: Path, backend: str, args: argparse.Namespace, folder: Path) -> tuple[float, float, float, float]:
    """Seconds on the wall and of the processor to the first result, MiB of memory, and percent of a core at rest."""
    camera = Camera(*map(int, args.size.split("x")))
    executor = SingleThreadedExecutor()
    executor.add_node(camera)
    backend, _, precision = backend.partition("-")
    parameters = {"backend": backend, "precision": precision or "fp32", "threads": args.threads, "autostart": "true"}
    if args.engine_cache:
        parameters["engine_cache"] = f'"{args.engine_cache}"'
    command = node_command(parameters, args.launch, folder / "parameters.yaml")
    environment = dict(os.environ)
    if not args.launch:
        environment["PYTHONPATH"] = os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])
    log = folder / "log"
    began = time.monotonic()
    with (
        log.open("wb") as said,
        subprocess.Popen(command, cwd=code, env=environment, stdout=said, stderr=said) as started,
    ):
        try:
            process = psutil.Process(started.pid)
            while not camera.results:
                # A node that cannot be configured waits for whoever mends it.
                failed = started.poll() is not None or b"ERROR" in log.read_bytes()
                if failed or time.monotonic() - began > PATIENCE_S:
                    raise SystemExit(f"no result of {' '.join(command)}:\n{log.read_text(encoding='utf-8')}")
                executor.spin_once(timeout_sec=0.01)
            wall = time.monotonic() - began
            processor = cpu_s(process, *process.children(recursive=True))
            node = node_of(process)
            memory = node.memory_info().rss / 2**20
            time.sleep(2.0)  # What came meanwhile is still worked on.
            before, rested = cpu_s(node), time.monotonic()
            time.sleep(IDLE_S)
            idle = (cpu_s(node) - before) / (time.monotonic() - rested) * 100
        finally:
            started.send_signal(signal.SIGINT)
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
    parser.add_argument("--launch", action="store_true", help="by `ros2 launch`, as the package is installed")
    args = parser.parse_args()
    rclpy.init(args=[])
    cases = [(code, backend) for backend in args.backend for code in args.code]
    found: dict[tuple[Path, str], list[tuple[float, float, float, float]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(-1, args.runs):
            for case in cases:
                figures = start_once(*case, args, Path(folder))
                print(f"run {run + 1}: {case[0].name} {case[1]} {figures[0]:.2f} s", flush=True)
                if run >= 0:
                    found[case].append(figures)
    rclpy.try_shutdown()
    for (code, backend), runs in found.items():
        wall, processor, memory, idle = (statistics.median(column) for column in zip(*runs, strict=True))
        print(
            f"{code.name} {backend:<14} first result after {wall:6.2f} s, {processor:5.2f} s of CPU; "
            f"{memory:4.0f} MiB; at rest {idle:.1f} % of a core"
        )


if __name__ == "__main__":
    main()
