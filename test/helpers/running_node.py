"""A node in a process of its own, and images of a known cost for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ros_helpers import PATIENCE_S, Peer, arguments, image, process

from a2vis_model import ModelConfig, VideoNetwork, save_weights

NODE = "/a2vis"


EAGER_TRACKS = {"start_score": 0.0, "keep_score": 0.0}
"""Random weights believe in nothing; with these thresholds they see something everywhere."""


@pytest.fixture
def weights(tmp_path: Path, model: VideoNetwork, config: ModelConfig) -> str:
    path = tmp_path / "tiny.safetensors"
    save_weights(path, model, config)
    return str(path)


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.close()


class Running:
    """A node that runs, its log, and a publisher of images that somebody listens to."""

    def __init__(self, peer: Peer, log: Path, name: str) -> None:
        from a2vis_ros.msg import TrackedInstanceArray
        from diagnostic_msgs.msg import DiagnosticArray

        self.peer = peer
        self.name = name
        self._log = log
        self.lifecycle = peer.lifecycle(name)
        self.tracks = peer.listen(TrackedInstanceArray, f"{name}/tracks")
        self._statuses: list[tuple[int, dict[str, str]]] = []
        peer.node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 100)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        self.lifecycle.change("configure", PATIENCE_S)
        self.lifecycle.change("activate", PATIENCE_S)

    def publisher(self, topic: str = "/image", message_type: Any = None, qos: Any = 1000) -> Any:
        from sensor_msgs.msg import Image

        publisher = self.peer.node.create_publisher(message_type or Image, topic, qos)
        self.peer.until(publisher.get_subscription_count)
        return publisher

    def results(self, count: int) -> list[Any]:
        """The first results, once there are so many."""
        self.peer.until(lambda: len(self.tracks) >= count)
        return self.tracks[:count]

    def heard(self) -> dict[str, str]:
        """The last status; empty before the first."""
        return self._statuses[-1][1] if self._statuses else {}

    def diagnostics(self) -> dict[str, str]:
        """A status of how things stand now, or later."""
        now = time.time_ns()
        # The first that was sent from now on may have been written before.
        self.peer.until(lambda: sum(sent > now for sent, _ in self._statuses) > 1)
        return self.heard()

    def _hear(self, array: Any, info: dict[str, int]) -> None:
        for status in array.status:
            if status.name == f"{self.name[1:]}: tracking":
                values = {"message": status.message, "level": str(status.level[0]), "time": str(array.header.stamp.sec)}
                values |= {item.key: item.value for item in status.values}
                self._statuses.append((info["source_timestamp"], values))

    def books(self) -> dict[str, int]:
        """received, processed, in_flight and dropped by cause, once all is at rest."""
        while (values := self.diagnostics())["in_flight"] != "0":
            pass
        return {key: int(values[key]) for key in ("received", "processed")} | {
            key.removeprefix("dropped: "): int(value) for key, value in values.items() if key.startswith("dropped: ")
        }


@contextmanager
def running(
    peer: Peer,
    tmp_path: Path,
    *args: str,
    name: str = NODE,
    module: str = "a2vis_ros.node.a2vis_node",
    **parameters: object,
) -> Iterator[Running]:
    log = tmp_path / f"{name.replace('/', '_')}.log"
    values = {"policy": "every_frame", "queue_size": 1000, "diagnostics_period_s": 0.1, **EAGER_TRACKS, **parameters}
    with process(module, *arguments(**values), *args, log=log):
        node = Running(peer, log, name)
        try:
            yield node
        except BaseException:
            print(node.log())
            raise


def cost(peer: Peer, milliseconds: int, *, divided: bool) -> Any:
    """An image of now that costs the model of `fake_node` so much."""
    message = image(peer.node.get_clock().now().nanoseconds * 1e-9, (10, 10))
    message.data[0], message.data[1] = milliseconds, int(divided)
    return message
