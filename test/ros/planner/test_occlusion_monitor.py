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
        # What the slot of a lost track draws is not the track.
        lost = tracks(2.0, TrackedInstance.LOST, 30, placed=False)
        lost.instances[0].amodal = mask_to_message(encode_image(np.roll(picture, -20, axis=1)))
        publisher.publish(lost)
        publisher.publish(tracks(2.1, TrackedInstance.ENDED, 31, placed=False))
        peer.until(lambda: len(hidden) == 4)
    peer.close()
    assert [len(message.objects) for message in hidden] == [0, 1, 1, 0]
    assert hidden[0].region.x_offset == 40
    for message, seconds, frames in zip(hidden[1:3], (0.5, 1.0), (15, 30), strict=True):
        found = message.objects[0]
        assert (found.track_id, found.class_name, found.frames_since_visible) == (7, "Box", frames)
        assert found.seconds_since_visible == pytest.approx(seconds)
        assert found.reachable == 2 * 14
        np.testing.assert_array_equal(decode_image(mask_from_message(found.footprint), 48, 64), picture)
