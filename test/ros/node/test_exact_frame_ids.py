"""A frame_id that is not UTF-8 is passed on bit for bit by all that answers an image, over DDS."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ros_helpers import Peer, image, needs_ros, process
from running_node import peer, running

from a2vis_ros.wire.cdr import CdrReader, bytes_of, text_of

__all__ = ["peer"]

pytestmark = [needs_ros, pytest.mark.usefixtures("no_process_is_left_over")]

LEFT, RIGHT = b"caf\xe9/left", b"caf\xe8/left"
"""In Latin-1. rclpy reads both as the same text."""


def content(seconds: float, frame_id: bytes) -> bytes:
    """A serialised image that costs `fake_node` nothing."""
    from a2vis_ros.wire.exact_text import serialized

    message = image(seconds, (10, 10))
    message.data[0] = 0
    message.header.frame_id = text_of(frame_id)
    return serialized(message)


def listen(peer: Peer, message_type: Any, topic: str) -> list[bytes]:
    """All messages of a topic from now on, as they come."""
    messages: list[bytes] = []
    peer.node.create_subscription(message_type, topic, messages.append, 100, raw=True)
    return messages


def frame_ids(messages: Iterable[bytes]) -> list[bytes]:
    """What the messages' headers hold."""
    return [bytes_of(CdrReader(message).header()[2]) for message in messages]


def test_every_output_carries_the_bytes_of_its_image(peer: Peer, tmp_path: Path) -> None:
    from a2vis_ros.msg import TrackedInstanceArray
    from sensor_msgs.msg import Image

    with running(peer, tmp_path, module="fake_node") as node:
        node.start()
        topics = {"tracks": TrackedInstanceArray, "overlay": Image, "visible_ids": Image}
        heard = {topic: listen(peer, kind, f"/a2vis/{topic}") for topic, kind in topics.items()}
        camera = node.publisher()
        sent = [content(10.0, LEFT)]
        camera.publish(sent[0])
        # The node learns of who looks when it does.
        while not all(heard.values()):
            sent.append(content(10.0 + 0.01 * len(sent), LEFT))
            camera.publish(sent[-1])
            peer.spin(0.2)
        sent.append(content(10.0 + 0.01 * len(sent), RIGHT))
        camera.publish(sent[-1])
        peer.until(lambda: all(frame_ids(messages)[-1] == RIGHT for messages in heard.values()))
        for topic, messages in heard.items():
            assert frame_ids(messages) == [LEFT] * (len(messages) - 1) + [RIGHT], topic
            # Not the frame_id alone: the header as it came, with the stamp before it.
            assert {message[4:24] for message in messages} <= {message[4:24] for message in sent}, topic
        # What is one text to rclpy is two cameras here.
        peer.until(lambda: node.tracks and node.tracks[-1].epoch == 1)
        assert r"frame_id changed from 'caf\udce9/left' to 'caf\udce8/left'" in node.log()
        assert node.books() == {"received": len(sent), "processed": len(sent)}


def test_a_damaged_message_is_counted_and_harms_no_other(peer: Peer, tmp_path: Path) -> None:
    with running(peer, tmp_path, module="fake_node") as node:
        node.start()
        camera = node.publisher()
        whole = content(10.0, b"camera")
        camera.publish(whole[:40])
        camera.publish(whole)
        (answer,) = node.results(1)
        assert answer.header.frame_id == "camera"
        assert node.books() == {"received": 2, "processed": 1, "damaged message": 1}
        assert "image dropped: the message of 40 bytes is damaged" in node.diagnostics()["last_error"]


def test_the_monitor_passes_them_on(peer: Peer) -> None:
    from a2vis_ros.msg import HiddenObjectArray, TrackedInstanceArray

    from a2vis_ros.wire.exact_text import publish

    with process("a2vis_ros.planner.occlusion_monitor"):
        heard = listen(peer, HiddenObjectArray, "/occlusion_monitor/hidden")
        tracks = peer.node.create_publisher(TrackedInstanceArray, "/a2vis/tracks", 10)
        peer.until(tracks.get_subscription_count)
        message = TrackedInstanceArray(height=48, width=64)
        message.header.frame_id = text_of(LEFT)

        def answered() -> list[bytes]:
            publish(tracks, message)
            peer.spin(0.2)
            return heard

        peer.until(answered)
    assert set(frame_ids(heard)) == {LEFT}
