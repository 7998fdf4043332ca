"""Nodes in processes of their own, and somebody to talk to them over DDS."""

import importlib
import importlib.util
import io
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from paths import HELPERS, ROOT

from a2vis_ros.programs.processes import running

PATIENCE_S = 240.0
"""What does not happen at all is waited for so long. On busy cores a program takes a minute to import torch."""


def _missing() -> str:
    if importlib.util.find_spec("rclpy") is None:
        return "rclpy is not installed; run tools/ros_setup.py or source ROS 2"
    if importlib.util.find_spec("a2vis_ros.msg") is None:
        return "the messages are not built; run tools/ros_setup.py or colcon build"
    return ""


needs_ros = pytest.mark.skipif(bool(_missing()), reason=_missing() or "-")


_taken: list[socket.socket] = []
"""Names that other runs see are in use, for as long as this process lives."""


def free_domain() -> int:
    """A domain that no DDS participant of this machine is in, for this process alone: another at every call.

    The search begins at the user's own, or anywhere, and for each worker of pytest-xdist at another.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    start = int(os.environ.get("ROS_DOMAIN_ID") or os.getpid()) + worker
    # Those up to 101 have their ports below the ephemeral ones.
    for domain in (1 + (start - 1 + i) % 101 for i in range(101)):
        # On busy cores seconds go by until the first participant is made, in which another run may look for a domain.
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                name.bind(f"\0a2vis_ros tests in domain {domain}")
                # The discovery port of a domain's first participant.
                probe.bind(("", 7400 + 250 * domain + 10))
            except OSError:
                name.close()
                continue
        _taken.append(name)
        return domain
    raise RuntimeError("all domains from 1 to 101 are in use")


if not _missing():
    # Nobody else's nodes, and nobody else's machine.
    os.environ["ROS_DOMAIN_ID"] = str(free_domain())
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(ROOT / "config" / "fastdds_large_image.xml")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def arguments(**parameters: object) -> list[str]:
    """Parameters as a node's command line takes them."""
    found = ["--ros-args"]
    for name, value in parameters.items():
        text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        found += ["-p", f"{name}:={text}"]
    return found


@contextmanager
def process(module: str, *args: str, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A module of ours or of this folder, run as a program until the block ends; what it says is added to `log`."""
    paths = [str(HELPERS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", module, *args]
    with open(log or os.devnull, "ab") as output, running(command, output, cwd=ROOT, env=environment) as program:
        yield program


def call(module: str, *args: object, package: str = "a2vis_ros") -> subprocess.CompletedProcess[str]:
    """What a program says and returns, in this process: one of its own would import torch first, for seconds.

    For programs that do not start ROS.
    """
    main = importlib.import_module(f"{package}.{module}").main
    output, errors = io.StringIO(), io.StringIO()
    given = [*map(str, args)]
    with redirect_stdout(output), redirect_stderr(errors):
        status = main(given)
    return subprocess.CompletedProcess(given, status, output.getvalue(), errors.getvalue())


def run(module: str, *args: object) -> subprocess.CompletedProcess[str]:
    """What a program says and returns, in a process of its own."""
    command = [sys.executable, "-m", f"a2vis_ros.{module}", *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


class Peer:
    """A node of this process, with its own executor; topics are collected in lists."""

    def __init__(self, name: str = "peer") -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node(name, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def close(self) -> None:
        import rclpy

        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def listen(self, message_type: Any, topic: str, qos: Any = 100) -> list[Any]:
        """All messages of a topic from now on."""
        messages: list[Any] = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def lifecycle(self, target: str) -> Any:
        from a2vis_ros.programs.lifecycle_client import LifecycleClient

        return LifecycleClient(self.node, target, self.executor)

    def until(self, condition: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
        """Spin until the condition holds; fails the test otherwise."""
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < deadline, "nothing happened in time"
            self.executor.spin_once(timeout_sec=0.05)
        return value

    def spin(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def acquaint(self, publisher: Any, message: Any, answers: list[Any]) -> None:
        """Publish a message until it is answered, and take all its answers away again.

        Who publishes the answers may learn of this listener when he has given some already, however long after this
        process has learnt of him; from the first that comes, none is lost. An answer has the stamp of its question.
        """
        for nanosec in itertools.count(1):
            message.header.stamp.nanosec = nanosec
            publisher.publish(message)
            self.spin(0.1)
            if answers:
                self.until(lambda: answers[-1].header.stamp == message.header.stamp)
                answers.clear()
                return

    def until_found_by_the_node(self, count: int) -> None:
        """Spin until the node has found so many subscribers to its results, which get all of them from then on.

        This process may know of node and subscribers long before these know of each other.
        """
        from diagnostic_msgs.msg import DiagnosticArray

        reports = self.listen(DiagnosticArray, "/diagnostics")

        def found() -> bool:
            values = (pair for report in reports for status in report.status for pair in status.values)
            return any((pair.key, pair.value) == ("subscribers", str(count)) for pair in values)

        self.until(found)

    def have_an_engine_built(self, log: Path) -> None:
        """Configure the `fake_node`, which writes the log; returns while it builds."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        client = self.node.create_client(ChangeState, "/a2vis/change_state")
        assert client.wait_for_service(PATIENCE_S)
        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_CONFIGURE
        client.call_async(request)
        self.until(lambda: "building an engine" in log.read_text())

    def call(self, service_type: Any, name: str, request: Any) -> Any:
        client = self.node.create_client(service_type, name)
        assert client.wait_for_service(PATIENCE_S)
        future = client.call_async(request)
        self.executor.spin_until_future_complete(future, PATIENCE_S)
        return future.result()

    def set_parameter(self, target: str, **values: Any) -> list[Any]:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request()
        request.parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        return list(self.call(SetParameters, f"{target}/set_parameters", request).results)


def image(seconds: float, shape: Sequence[int] = (48, 64), *, seed: int = 0, **changes: Any) -> Any:
    """A sensor_msgs/Image, rgb8, of noise."""
    import numpy as np
    from sensor_msgs.msg import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    message = Image(height=shape[0], width=shape[1], encoding="rgb8", step=shape[1] * 3)
    message.header.frame_id = "camera"
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(round(seconds * 1e9), 10**9)
    message.data.frombytes(pixels.tobytes())
    for name, value in changes.items():
        setattr(message, name, value)
    return message
