"""Messages whose texts are passed on bit for bit, also where they are not UTF-8.

rclpy reads what is not UTF-8 as U+FFFD, and sends UTF-8 alone. Here a message is received with the text that
`cdr.text_of` makes of its `frame_id`, and a message with such texts is sent as bytes that are serialised here. A
message of ordinary texts takes rclpy's own way.
"""

import struct
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from rclpy.serialization import deserialize_message, serialize_message

from .cdr import CdrReader, byte_order, bytes_of
from .counts import check_count

MessageT = TypeVar("MessageT")


class MessageError(ValueError):
    """A serialised message is damaged."""


class _Publisher(Protocol):
    def publish(self, msg: Any, /) -> None: ...


def received(content: bytes, message_type: type[MessageT]) -> MessageT:
    """Return the message that a subscription with `raw=True` or a bag has given.

    What announces more than `counts.MAX_INSTANCES` messages in its last field is refused before it is decoded.

    Args:
        content: the serialised message.
        message_type: its type. If its first field is a header, the header's `frame_id` is exact (see `cdr.text_of`);
            rclpy decodes all other texts.

    Raises:
        MessageError: it is damaged, or holds too many.
    """
    kind: Any = message_type
    try:
        check_count(content, message_type)
        message: Any = deserialize_message(content, message_type)
        if next(iter(kind.get_fields_and_field_types().values()), "") == "std_msgs/Header":
            message.header.frame_id = CdrReader(content).header()[2]
    except Exception as error:
        # rclpy has a class of its own for it, in a private module.
        name = message_type.__name__
        raise MessageError(f"a message of {len(content)} bytes is no {name}: {error!s:.200}") from error
    return message


def serialized(message: Any) -> bytes:
    """Return the bytes of a message, with the very bytes that `cdr.text_of` has made its texts of."""
    try:
        return bytes(serialize_message(message))
    except UnicodeEncodeError:
        return _with_exact_texts(message)


def publish(publisher: _Publisher, message: Any) -> None:
    """Publish a message, with the very bytes that `cdr.text_of` has made its texts of."""
    try:
        publisher.publish(message)
    except UnicodeEncodeError:
        publisher.publish(_with_exact_texts(message))


def _with_exact_texts(message: Any) -> bytes:
    """Serialise the message with stand-ins for the texts that rclpy refuses, and put their bytes there.

    The stand-ins are as long as the texts. It is serialised twice, with different ones, and where the two differ are
    the texts.
    """
    found = list(_refused_texts(message))
    lengths = [len(bytes_of(text)) for _, _, text in found]
    versions = []
    try:
        for letter in "ab":
            for (owner, field, _), length in zip(found, lengths, strict=True):
                setattr(owner, field, letter * length)
            versions.append(bytes(serialize_message(message)))
    finally:
        for owner, field, text in found:
            setattr(owner, field, text)
    one, other = versions
    size = struct.Struct(f"{byte_order(one)}I")
    content = bytearray(one)
    position = 0
    for (_, _, text), length in zip(found, lengths, strict=True):
        first, second = (size.pack(length + 1) + letter * length + b"\0" for letter in (b"a", b"b"))
        position = one.index(first, position)
        while not other.startswith(second, position):
            position = one.index(first, position + 1)
        position += size.size
        content[position : position + length] = bytes_of(text)
    return bytes(content)


def _refused_texts(message: Any) -> Iterator[tuple[Any, str, str]]:
    """Yield (message, field, text) of all texts that are not UTF-8, in the order in which they are serialised."""
    for field in message.get_fields_and_field_types():
        value = getattr(message, field)
        if isinstance(value, str):
            if any("\udc00" <= letter <= "\udcff" for letter in value):
                yield message, field, value
        else:
            for part in value if isinstance(value, list) else [value]:
                if hasattr(part, "get_fields_and_field_types"):
                    yield from _refused_texts(part)
