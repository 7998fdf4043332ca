"""Records our own topics to a bag where there is no `ros2 bag record`; ends at an interrupt.

python -m a2vis_ros.bags.recorder BAG
"""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions

from a2vis_model.files.home import arguments_at_home

from ..msg import ClassNames, HiddenObjectArray, TrackedInstanceArray
from . import bag_files
from .bag_files import STORAGES, BagError, BagWriter, Storage, type_name

HIDDEN = "/occlusion_monitor/hidden"
_FLUSH_S = 1.0
"""Seconds between flushes, the most that is lost when the recorder is killed."""
_TYPES = {bag_files.TRACKS: TrackedInstanceArray, bag_files.CLASS_NAMES: ClassNames, HIDDEN: HiddenObjectArray}


class BagRecorder:
    """Writes received messages.

    When the bag cannot be written, it reports that once and counts what is lost from there on.

    Args:
        node: node that owns the subscriptions.
        bag: an open bag.
    """

    def __init__(self, node: Node, bag: BagWriter) -> None:
        self.recorded = 0
        self.lost = 0
        self.failed = False
        """Whether recording has ended because the bag could not be written."""
        self._flushed = 0
        self._node = node
        self._bag = bag
        for topic, message_type in _TYPES.items():
            latched = topic in bag_files.LATCHED
            profile = QoSProfile(depth=1000)
            profile.durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
            node.create_subscription(
                message_type, topic, partial(self._take, topic, type_name(message_type)), profile, raw=True
            )

    def flush(self) -> None:
        """Write what was recorded to the file. If that fails, everything since the last flush is lost."""
        if self.failed:
            return
        try:
            self._bag.flush()
        except BagError as error:
            self.lost += self.recorded - self._flushed
            self.recorded = self._flushed
            self._end(error)
        else:
            self._flushed = self.recorded

    def _take(self, topic: str, kind: str, data: bytes) -> None:
        if self.failed:
            self.lost += 1
            return
        try:
            self._bag.write_raw(topic, kind, data, self._node.get_clock().now().nanoseconds)
        except BagError as error:
            self.lost += 1
            self._end(error)
        else:
            self.recorded += 1

    def _end(self, error: BagError) -> None:
        self.failed = True
        self._node.get_logger().error(f"recording has stopped: {error}")


def record(path: str | Path, storage: Storage, stop: threading.Event) -> tuple[int, int]:
    """Record until `stop` is set; return the numbers of recorded and of lost messages."""
    node = Node("bag_recorder")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        with BagWriter(path, storage) as bag:
            recorder = BagRecorder(node, bag)
            print("recording", flush=True)
            flushed = time.monotonic()
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.1)
                if time.monotonic() - flushed > _FLUSH_S:
                    recorder.flush()
                    flushed = time.monotonic()
            _drain(executor, recorder)
            if recorder.failed:
                # The bag is left as it is: closing it would write to the same full disk.
                raise _Incomplete
    except _Incomplete:
        pass
    finally:
        node.destroy_node()
    return recorder.recorded, recorder.lost


class _Incomplete(Exception):
    """The bag could not be written completely."""


def _drain(executor: SingleThreadedExecutor, recorder: BagRecorder) -> None:
    """Record the messages that have already arrived."""
    count = -1
    while count != recorder.recorded + recorder.lost:
        count = recorder.recorded + recorder.lost
        executor.spin_once(timeout_sec=0.1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(prog="bag_recorder", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bag", help="the bag's folder, which must not exist yet")
    parser.add_argument("--storage", choices=STORAGES, default="mcap", help="format of the bag (%(default)s)")
    args = parser.parse_args(arguments_at_home(arguments))
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        recorded, lost = record(args.bag, args.storage, stop)
    except (BagError, OSError) as error:
        print(f"bag_recorder: {error}", file=sys.stderr)
        return 2
    finally:
        rclpy.try_shutdown()
    print(f"recorded {recorded} messages, lost {lost}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
