"""The number of messages in a serialised message, found without decoding it."""

import ast
from typing import Any

import pytest
from paths import ROOT
from ros_helpers import image, needs_ros

from a2vis_ros.wire.cdr import CdrError, CdrReader

pytestmark = needs_ros


def arrays(count: int, text: str) -> list[Any]:
    """A message of each type that is read so, whose texts end at any place among the numbers."""
    from a2vis_ros.msg import (
        HiddenObject,
        HiddenObjectArray,
        TrackedInstance,
        TrackedInstanceArray,
        TrackedObject,
        TrackedObjectArray,
    )

    head = image(1.5).header
    head.frame_id = text
    return [
        TrackedInstanceArray(
            header=head, session=2**63, epoch=3, backend=text, instances=[TrackedInstance() for _ in range(count)]
        ),
        TrackedObjectArray(header=head, camera_frame_id=text, objects=[TrackedObject() for _ in range(count)]),
        HiddenObjectArray(header=head, session=2**63, objects=[HiddenObject() for _ in range(count)]),
    ]


@pytest.mark.parametrize("length", range(9))
def test_it_is_found_behind_all_other_fields(length: int) -> None:
    from rclpy.serialization import serialize_message

    from a2vis_ros.wire.counts import announced_messages

    for count in (0, 1, 7):
        for message in arrays(count, "x" * length):
            assert announced_messages(serialize_message(message), type(message)) == count


def test_too_many_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    from rclpy.serialization import serialize_message

    from a2vis_ros.wire import counts, exact_text

    contents = [(serialize_message(message), type(message)) for message in arrays(5, "camera")]
    monkeypatch.setattr(counts, "MAX_INSTANCES", 5)
    for content, kind in contents:
        assert exact_text.received(content, kind).header.frame_id == "camera"

    def decode(content: bytes, kind: type) -> None:
        raise AssertionError("it is decoded")

    monkeypatch.setattr(counts, "MAX_INSTANCES", 4)
    monkeypatch.setattr(exact_text, "deserialize_message", decode)
    for content, kind in contents:
        with pytest.raises(exact_text.MessageError, match="it holds 5, more than 4, in its last field"):
            exact_text.received(content, kind)


def test_a_message_that_ends_before_is_damaged() -> None:
    from rclpy.serialization import serialize_message

    from a2vis_ros.wire import exact_text

    message = arrays(0, "camera")[0]
    content = serialize_message(message)
    for end in range(len(content) - 4):
        with pytest.raises(exact_text.MessageError):
            exact_text.received(content[:end], type(message))


def test_other_messages_have_no_such_number() -> None:
    from sensor_msgs.msg import Image, JointState

    from a2vis_ros.wire.counts import announced_messages, check_count

    for kind, words in ((Image, "the last field of Image is sequence<uint8>"), (JointState, "JointState")):
        with pytest.raises(TypeError, match=words):
            announced_messages(bytes(100), kind)
        check_count(bytes(100), kind)


def test_no_program_has_such_messages_decoded_unseen() -> None:
    """Subscriptions to them take bytes, and what is left to rclpy is decoded by `received` alone."""
    import diagnostic_msgs.msg

    from a2vis_ros import msg
    from a2vis_ros.wire.counts import ends_in_messages

    kinds = {
        name
        for module in (msg, diagnostic_msgs.msg)
        for name, kind in vars(module).items()
        if hasattr(kind, "get_fields_and_field_types") and ends_in_messages(kind)
    }
    assert {"TrackedInstanceArray", "TrackedObjectArray", "HiddenObjectArray", "DiagnosticArray"} <= kinds
    # It measures how soon a message is a planner's.
    files = {path for path in (ROOT / "a2vis_ros").rglob("*.py") if path.name != "benchmark.py"}
    calls = [
        node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    ]
    subscriptions = [call for call in calls if ast.unparse(call.func).endswith(".create_subscription")]
    taken = [call for call in subscriptions if ast.unparse(call.args[0]) in kinds]
    assert len(taken) >= 4
    assert [ast.unparse(call) for call in taken if "raw=True" not in ast.unparse(call)] == []
    decoders = [path.name for path in files if "deserialize_message(" in path.read_text("utf-8")]
    assert decoders == ["exact_text.py"]


@pytest.mark.parametrize(("encoding", "begins"), [(1, 8), (7, 4)])
def test_numbers_of_eight_bytes_begin_where_the_version_says(encoding: int, begins: int) -> None:
    body = (1).to_bytes(4, "little") + bytes(begins - 4) + bytes(range(8)) + (9).to_bytes(4, "little")
    reader = CdrReader(encoding.to_bytes(2, "big") + bytes(2) + body)
    assert reader.u32() == 1
    reader.skip(8)
    assert reader.u32() == 9
    with pytest.raises(CdrError):
        reader.skip(1)
