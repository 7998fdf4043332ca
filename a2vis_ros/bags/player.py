"""Plays a bag over DDS where there is no `ros2 bag play`: all messages, at their recorded pace, and the clock.

python -m a2vis_ros.bags.player BAG --topics /image --clock
"""

import argparse
import importlib
import importlib.util
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from a2vis_model import A2VISError
from a2vis_model.files.home import arguments_at_home

from .bag_files import LATCHED, BagError, BagReader

_ACKNOWLEDGED_S = 30.0
"""Longest wait in seconds until the last messages are acknowledged."""
_TYPE_NAME = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)")


class BagPlayer:
    """Publishes the messages of a bag, reliably.

    Args:
        node: node that owns the publishers.
        bag: an open bag.
        topics: topics to play; empty for all of the bag.
        clock: whether to publish /clock too, for nodes with use_sim_time.
    """

    def __init__(self, node: Node, bag: BagReader, topics: Sequence[str], *, clock: bool) -> None:
        missing = set(topics) - bag.topics.keys()
        if missing:
            raise BagError(f"{bag.path}: no topic {min(missing)}; there are {', '.join(sorted(bag.topics))}")
        self._node = node
        self._bag = bag
        self._publishers = {
            topic: node.create_publisher(_type(kind), topic, _profile(latched=topic in LATCHED))
            for topic, kind in bag.topics.items()
            if topic in topics or not topics
        }
        self._clock = node.create_publisher(Clock, "/clock", 10) if clock else None

    def wait_for_subscribers(self, timeout_s: float) -> None:
        """Wait until each of the topics has a subscriber.

        Raises:
            BagError: one has none in time.
        """
        deadline = time.monotonic() + timeout_s
        for topic, publisher in self._publishers.items():
            while topic not in LATCHED and not publisher.get_subscription_count():
                if time.monotonic() > deadline:
                    raise BagError(f"nobody subscribed to {topic} within {timeout_s:.0f} s; is the node active?")
                time.sleep(0.02)

    def play(self, *, speed: float = 1.0) -> int:
        """Publish everything once and wait until it is acknowledged; return the number of messages."""
        begin: tuple[float, int] | None = None
        count = 0
        for topic, time_ns, data in self._bag.raw(*self._publishers):
            begin = begin or (time.monotonic(), time_ns)
            due = begin[0] + (time_ns - begin[1]) * 1e-9 / speed
            time.sleep(max(due - time.monotonic(), 0.0))
            if self._clock is not None:
                message = Clock()
                message.clock.sec, message.clock.nanosec = divmod(time_ns, 10**9)
                self._clock.publish(message)
            self._publishers[topic].publish(data)
            count += 1
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGED_S))
        return count


def _profile(*, latched: bool) -> QoSProfile:
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    # The queue is deep enough for a subscriber that falls behind by a second or three.
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=durability
    )


def _type(kind: str) -> Any:
    """Return the class of a message type, such as sensor_msgs/msg/Image.

    A bag may name anything as the type of a topic, so only ROS packages that are installed here are imported.
    """
    match = _TYPE_NAME.fullmatch(kind)
    if match is None:
        raise BagError(f"{kind[:100]!r} is not a message type such as sensor_msgs/msg/Image; choose other --topics")
    package, name = match.groups()
    if not _is_installed(package):
        raise BagError(f"messages of type {kind} are not installed here; choose other --topics")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise BagError(f"messages of type {kind} are not installed here; choose other --topics") from error


def _is_installed(package: str) -> bool:
    """Return whether a package is in the index of ROS packages, and Python would import it from there."""
    prefixes = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    # ROS that is installed by pip has no such path: it is in the environment itself.
    for prefix in (*prefixes, Path(sys.prefix)):
        if (prefix / "share" / "ament_index" / "resource_index" / "packages" / package).is_file():
            if package in sys.modules:
                return True
            found = importlib.util.find_spec(package)
            return found is not None and Path(found.origin or "").is_relative_to(prefix)
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(prog="bag_player", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bag", help="the bag's folder")
    parser.add_argument("--topics", nargs="+", default=[], help="topics to play (all)")
    parser.add_argument("--speed", type=float, default=1.0, help="factor on the recorded speed (%(default)s)")
    parser.add_argument("--loops", type=int, default=1, help="number of times to play it (%(default)s)")
    parser.add_argument("--clock", action="store_true", help="publish /clock")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds to wait for subscribers (%(default)s)")
    args = parser.parse_args(arguments_at_home(arguments))
    rclpy.init(args=[])
    node = Node("bag_player")
    try:
        if args.speed <= 0 or args.loops < 1:
            raise BagError(f"--speed {args.speed} and --loops {args.loops} must be over 0")
        with BagReader(args.bag) as bag:
            player = BagPlayer(node, bag, args.topics, clock=args.clock)
            player.wait_for_subscribers(args.wait)
            count = sum(player.play(speed=args.speed) for _ in range(args.loops))
        print(f"played {count} messages")
    except (A2VISError, OSError) as error:
        print(f"bag_player: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
