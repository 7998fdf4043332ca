"""The occlusion monitor outlives every message, and takes no memory for what a damaged one names."""

from array import array
from pathlib import Path
from typing import Any

import psutil
from ros_helpers import Peer, image, needs_ros, process

pytestmark = needs_ros


def tracks(height: int = 48, width: int = 64, box: tuple[int, int, int, int] = (0, 0, 2, 2)) -> Any:
    """A message with one hidden object whose mask fills its box."""
    from a2vis_ros.msg import TrackedInstance, TrackedInstanceArray

    track = TrackedInstance(track_id=7, state=TrackedInstance.OCCLUDED)
    roi = track.amodal.roi
    roi.x_offset, roi.y_offset, roi.width, roi.height = box
    track.amodal.area = box[2] * box[3]
    track.amodal.counts = array("I", [0, track.amodal.area])
    return TrackedInstanceArray(header=image(1.0).header, height=height, width=width, instances=[track])


def crowd() -> Any:
    message = tracks()
    message.instances = message.instances * 5000
    return message


HOSTILE = {
    "a box of 2^28 pixels": lambda: tracks(2**14, 2**14, (0, 0, 2**14, 2**14)),
    "a box outside the image": lambda: tracks(48, 64, (0, 0, 2**13, 2**13)),
    "a box that begins far away": lambda: tracks(48, 64, (2**32 - 3, 2**32 - 3, 2, 2)),
    "an image of 2^64 pixels": lambda: tracks(2**32 - 1, 2**32 - 1),
    "a crowd": crowd,
}


def test_hostile_messages_are_left_out(tmp_path: Path) -> None:
    from a2vis_ros.msg import HiddenObjectArray, TrackedInstanceArray

    peer = Peer()
    with process("a2vis_ros.planner.occlusion_monitor", log=tmp_path / "log") as monitor:
        hidden = peer.listen(HiddenObjectArray, "/occlusion_monitor/hidden")
        publisher = peer.node.create_publisher(TrackedInstanceArray, "/a2vis/tracks", 20)
        peer.until(publisher.get_subscription_count)
        peer.acquaint(publisher, TrackedInstanceArray(height=48, width=64), hidden)
        for make in HOSTILE.values():
            publisher.publish(make())
        publisher.publish(tracks())
        peer.until(lambda: hidden)
        assert psutil.Process(monitor.pid).memory_info().rss < 500 << 20
    peer.close()
    assert [len(message.objects) for message in hidden] == [1]
    assert "message skipped: an image of 16384x16384 has more than" in (tmp_path / "log").read_text()
