"""A node of this process that is active, and its subscription's own callback, which takes what `fuzz_targets` makes."""

import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from ros_helpers import Peer
from scripted_tracker import ScriptedTracker

from a2vis_ros.wire.cdr import text_of

_EVERY = 3
"""So many messages come at once, of which the worker gets the last."""
_PATIENCE_S = 60.0
"""What waits and computes nothing for so long, though it could, is stuck."""
_LONGEST_S = 1200.0
"""Nothing takes so long, however busy the cores are."""


class ImageCallback:
    """Feeds the callback; use it in a `with` statement.

    The end of the block deactivates the node, and asserts that every message is in the books.
    """

    def __init__(self) -> None:
        from rclpy.logging import LoggingSeverity

        from a2vis_ros.node.a2vis_node import A2visNode

        self.peer = Peer()
        self.node = A2visNode(_load, context=self.peer.context)
        # Otherwise every message that is refused would write a line.
        self.node.get_logger().set_level(LoggingSeverity.FATAL)
        self.fed = 0

    def __enter__(self) -> "ImageCallback":
        for transition in ("configure", "activate"):
            assert getattr(self.node, f"trigger_{transition}")().name == "SUCCESS"
        (self._stream,) = self.node._streams
        return self

    def take(self, messages: list[Any], folder: Path) -> None:
        """Feed the callback these messages, made by `fuzz_targets.image_messages`."""
        from a2vis_ros.wire.exact_text import serialized

        stream = self._stream
        for index, values in enumerate(messages):
            message = as_message(*values)
            # One stream takes what in the field are two, of either transport.
            stream._image_type = type(message)
            stream._take(serialized(message))
            self.fed += 1
            if index % _EVERY == _EVERY - 1:
                self._wait_for_worker()
            assert stream._ledger.read().balanced
        assert len(stream._last_error) <= 503

    def _wait_for_worker(self) -> None:
        start = looked = time.monotonic()
        spent = -1.0
        while len(self._stream._lane.queue):
            time.sleep(1e-4)
            if (now := time.monotonic()) - looked < _PATIENCE_S:
                continue
            thread = self._stream._worker._thread
            assert thread is not None
            assert thread.is_alive(), "the worker has ended"
            before, spent = spent, time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            # On busy cores it may be about to run all the time.
            runs = _is_runnable(thread.native_id) or spent != before
            if not runs or now - start > _LONGEST_S:
                stack = traceback.format_stack(sys._current_frames()[thread.ident])
                raise AssertionError("the worker takes no image any more:\n" + "".join(stack))
            looked = now

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._close_books()
        finally:
            self.node.close()
            self.peer.close()

    def _close_books(self) -> None:
        assert self.node.trigger_deactivate().name == "SUCCESS"
        books = self._stream._ledger.read()
        assert books.balanced
        assert (books.received, books.in_flight) == (self.fed, 0)
        assert books.processed or self.fed < 100


def _is_runnable(thread: int | None) -> bool:
    """Whether a thread of this process is computing, or would if a core were free."""
    status = Path(f"/proc/self/task/{thread}/stat").read_text("ascii", "replace")
    return status.rpartition(")")[2].split()[0] == "R"


def as_message(seconds: int, nanoseconds: int, frame_id: str, content: Any) -> Any:
    """The ROS message of an image that `fuzz_targets` makes."""
    from sensor_msgs.msg import CompressedImage, Image

    from a2vis_ros.stream.image_decoding import RawImage

    if isinstance(content, RawImage):
        message = Image(height=content.height, width=content.width, encoding=content.encoding, step=content.step)
        message.is_bigendian = int(content.is_bigendian)
    else:
        message = CompressedImage(format=content.format)
    message.data.frombytes(bytes(content.data))
    message.header.frame_id = frame_id.replace("\0", text_of(b"\0"))
    message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
    return message


def _load(*_: Any) -> Any:
    from a2vis_ros.stream.models import LoadedModel

    return LoadedModel(lambda tracks: ScriptedTracker(), 4, "fake", "nothing", "fake/cpu", ("thing",), engine="")
