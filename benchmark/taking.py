"""Print what an image costs until it is a frame: by rclpy's own message, and by its bytes as the node reads them.

    python benchmark/taking.py --image 1280x720 --count 200

Both subscriptions get the same images and take turns. Times are CPU time of the thread, medians, which other programs
disturb less than the clock on the wall.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from a2vis_ros.node.messages import image_of, stamp_of
from a2vis_ros.stream.image_message import ImageMessage, read_image


def by_message(message: Image) -> ImageMessage:
    """Take what rclpy has made a message of."""
    return ImageMessage(stamp_of(message.header), message.header.frame_id, image_of(message))


class Taking:
    """A subscription of a node by itself, and what its images cost."""

    def __init__(self, name: str, take: Callable[[Any], ImageMessage], *, raw: bool) -> None:
        self.seconds: list[float] = []
        self._take = take
        self._taken: list[ImageMessage] = []
        self._executor = SingleThreadedExecutor()
        node = Node(f"taking_{name}")
        node.create_subscription(Image, "image", self._hear, QoSProfile(depth=1), raw=raw)
        self._executor.add_node(node)

    def run(self, size: int) -> None:
        """Take the next image, of this number of bytes."""
        while not self._taken:
            start = time.thread_time()
            self._executor.spin_once(timeout_sec=10.0)
            seconds = time.thread_time() - start
        self.seconds.append(seconds)
        assert len(self._taken.pop().image.data) == size

    def _hear(self, message: Any) -> None:
        self._taken.append(self._take(message))


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="1280x720")
    parser.add_argument("--count", type=int, default=200)
    args = parser.parse_args()
    width, height = map(int, args.image.split("x"))
    rclpy.init(args=[])
    ways = {
        "message": Taking("message", by_message, raw=False),
        "bytes": Taking("bytes", partial(read_image, compressed=False), raw=True),
    }
    camera = Node("camera")
    publisher = camera.create_publisher(Image, "image", QoSProfile(depth=1))
    while publisher.get_subscription_count() < len(ways):
        time.sleep(0.1)
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.frame_id = "camera_optical_frame"
    message.data.frombytes(bytes(3 * width * height))
    for number in range(args.count):
        publisher.publish(message)
        for name in sorted(ways, reverse=bool(number % 2)):
            ways[name].run(len(message.data))
    medians = {name: statistics.median(way.seconds[args.count // 10 :]) for name, way in ways.items()}
    print(f"images of {args.image}, rgb8, {args.count} of them")
    for name, median in medians.items():
        print(f"  {name:<8} {median * 1e3:7.3f} ms {median / medians['message']:6.1%}")
    rclpy.shutdown()


if __name__ == "__main__":
    main()
