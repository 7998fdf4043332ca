"""The occlusion monitor over DDS."""

from pathlib import Path

import numpy as np
import pytest
from ros_helpers import Peer, arguments, image, needs_ros, process

pytestmark = needs_ros


def test_the_monitor_tells_what_is_hidden(tmp_path: Path) -> None:
    from a2vis_ros.msg import HiddenObjectArray, TrackedInstance, TrackedInstanceArray

    from a2vis_ros.planner.mask_codec import decode_image, encode_image
    from a2vis_ros.planner.mask_messages import mask_from_message, mask_to_message

    picture = np.zeros((48, 64), np.bool_)
    picture[10:20, 30:40] = True
    moved = np.roll(picture, 4, axis=1)

    def tracks(seconds: float, state: int, since: int, *, placed: bool = True) -> TrackedInstanceArray:
        track = TrackedInstance(track_id=7, state=state, class_id=3, class_name="Box", frames_since_visible=since)
        if placed:
            track.amodal = mask_to_message(encode_image(picture))
        return TrackedInstanceArray(header=image(seconds).header, height=48, width=64, instances=[track])

    # A message that was damaged: 4,000,000 x 4,000,000 pixels, and runs that fill them.
    damaged = tracks(0.9, TrackedInstance.OCCLUDED, 0)
    box = damaged.instances[0].amodal
    box.roi.width = box.roi.height = 4_000_000
    full, rest = divmod(4_000_000**2, 2**32 - 1)
    box.counts = [2**32 - 1, 0] * full + [rest]

    peer = Peer()
    with process("a2vis_ros.planner.occlusion_monitor", *arguments(region=[40, 0, 10, 48], margin_px=2.0)):
        hidden = peer.listen(HiddenObjectArray, "/occlusion_monitor/hidden")
        publisher = peer.node.create_publisher(TrackedInstanceArray, "/a2vis/tracks", 10)
        peer.until(publisher.get_subscription_count)
        peer.acquaint(publisher, TrackedInstanceArray(height=48, width=64), hidden)
        publisher.publish(damaged)
        publisher.publish(tracks(1.0, TrackedInstance.VISIBLE, 0))
        publisher.publish(tracks(1.5, TrackedInstance.OCCLUDED, 15))
        # A lost track is where it is predicted, and where that was last when it is no longer.
        lost = tracks(2.0, TrackedInstance.LOST, 30, placed=False)
        lost.instances[0].amodal = mask_to_message(encode_image(moved))
        publisher.publish(lost)
        publisher.publish(tracks(2.5, TrackedInstance.LOST, 45, placed=False))
        publisher.publish(tracks(2.1, TrackedInstance.ENDED, 31, placed=False))
        peer.until(lambda: len(hidden) == 5)
    peer.close()
    assert [len(message.objects) for message in hidden] == [0, 1, 1, 1, 0]
    assert hidden[0].region.x_offset == 40
    expected = ((0.5, 15, picture, 2), (1.0, 30, moved, 6), (1.5, 45, moved, 6))
    for message, (seconds, frames, footprint, columns) in zip(hidden[1:4], expected, strict=True):
        found = message.objects[0]
        assert (found.track_id, found.class_name, found.frames_since_visible) == (7, "Box", frames)
        assert found.seconds_since_visible == pytest.approx(seconds)
        assert found.reachable == columns * 14
        np.testing.assert_array_equal(decode_image(mask_from_message(found.footprint), 48, 64), footprint)
