"""Messages whose texts are not UTF-8, as bytes; rclpy itself writes and reads all the rest of them."""

from typing import Any

import pytest
from ros_helpers import image, needs_ros

from a2vis_ros.wire.cdr import bytes_of, text_of

pytestmark = needs_ros

ODD = (b"\xff", b"\0", b"camera\xe9_left", b"ab\xc3", b"\xed\xb0\x80\0\xff", bytes(range(256)), b"a" * 100 + b"\xfe")
"""One of a single byte, and one that ends in the middle of a character, among others."""


def markers(frame_id: str) -> Any:
    """A message of three headers, the second of another name, between texts and numbers that are as they are."""
    from std_msgs.msg import Header
    from visualization_msgs.msg import Marker, MarkerArray

    headers = [Header(frame_id=name) for name in (frame_id, text_of(b"\xfe"), frame_id)]
    return MarkerArray(markers=[Marker(header=header, ns="aaa", text="b", id=i) for i, header in enumerate(headers)])


@pytest.mark.parametrize("odd", ODD)
def test_a_message_carries_the_very_bytes(odd: bytes) -> None:
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import Image

    from a2vis_ros.wire.exact_text import received, serialized

    message = image(3.5, (5, 7))
    message.header.frame_id = text_of(odd)
    content = serialized(message)
    # On the wire a text ends in NUL.
    assert content.count((len(odd) + 1).to_bytes(4, "little") + odd + b"\0") == 1
    again = received(content, Image)
    assert bytes_of(again.header.frame_id) == odd
    assert again == message
    # All else is as rclpy writes it, and the message itself has not changed.
    by_rclpy = deserialize_message(content, Image)
    by_rclpy.header.frame_id = text_of(odd)
    assert by_rclpy == message


@pytest.mark.parametrize("odd", ODD)
def test_every_text_finds_its_place(odd: bytes) -> None:
    from rclpy.serialization import deserialize_message
    from visualization_msgs.msg import MarkerArray

    from a2vis_ros.wire.exact_text import serialized

    message = markers(text_of(odd))
    content = serialized(message)
    assert message == markers(text_of(odd))
    again = deserialize_message(content, MarkerArray).markers
    cut = [name.partition(b"\0")[0].decode("utf-8", "replace") for name in (odd, b"\xfe", odd)]
    assert [marker.header.frame_id for marker in again] == cut
    assert [(marker.ns, marker.text, marker.id) for marker in again] == [("aaa", "b", i) for i in range(3)]
    written = [(len(name) + 1).to_bytes(4, "little") + name + b"\0" for name in (odd, b"\xfe")]
    assert content.count(written[0]) >= 2
    assert content.count(written[1]) >= 1


def test_ordinary_messages_take_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import Image

    from a2vis_ros.wire import exact_text

    monkeypatch.setattr(exact_text, "_with_exact_texts", None)
    message = image(1.0, (2, 2))
    message.header.frame_id = "Käfig \ufffd"
    assert deserialize_message(exact_text.serialized(message), Image) == message
    sent: list[Any] = []

    class Publisher:
        def publish(self, message: Any) -> None:
            sent.append(message)

    exact_text.publish(Publisher(), message)
    assert sent == [message]


def test_a_message_without_a_header_is_read_by_rclpy_alone() -> None:
    from a2vis_ros.msg import ClassNames

    from a2vis_ros.wire.exact_text import received, serialized

    message = ClassNames(model="m", names=["cat", "dog"])
    assert received(serialized(message), ClassNames) == message


def test_damage_is_an_error_in_words() -> None:
    from sensor_msgs.msg import Image

    from a2vis_ros.wire.exact_text import MessageError, received, serialized

    content = serialized(image(1.0, (2, 2)))
    for broken in (b"", b"\0\1", content[:30]):
        with pytest.raises(MessageError, match=f"a message of {len(broken)} bytes is no Image: "):
            received(broken, Image)
