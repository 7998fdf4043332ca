"""How many messages a serialised message holds in its last field, read before time and memory are spent on them."""

import importlib
import re
from functools import lru_cache
from typing import Any

from .cdr import CdrError, CdrReader

_NUMBERS = {
    "boolean": 1,
    "octet": 1,
    "uint8": 1,
    "int8": 1,
    "uint16": 2,
    "int16": 2,
    "uint32": 4,
    "int32": 4,
    "float": 4,
    "uint64": 8,
    "int64": 8,
    "double": 8,
}
"""Bytes of a number by its name in rosidl."""
_TEXT = 0
"""Stands for a text where the bytes of numbers stand."""
_ARRAY_OF_MESSAGES = re.compile(r"sequence<\w+/\w+>")
MAX_INSTANCES = 4096
"""Largest number of messages in the last field of one that is read: no network has more slots, and what holds more was
damaged. rclpy takes milliseconds for a hundred of them, and rosbags ten times as long."""


def check_count(content: bytes, message_type: type) -> None:
    """Refuse a message that is one long array of messages, by the number that it announces.

    Args:
        content: the serialised message.
        message_type: its type. Of one whose last field is no array of messages there is nothing to check.

    Raises:
        CdrError: it announces more than `MAX_INSTANCES`, or ends before.
    """
    if ends_in_messages(message_type):
        check_number(announced_messages(content, message_type))


def check_number(count: int) -> None:
    """Raise CdrError if a message holds so many in its last field that it was damaged."""
    if count > MAX_INSTANCES:
        raise CdrError(f"it holds {count}, more than {MAX_INSTANCES}, in its last field; it was damaged")


@lru_cache(maxsize=64)
def ends_in_messages(message_type: Any) -> bool:
    """Whether the last field of a message is an array of messages."""
    last = [*message_type.get_fields_and_field_types().values()][-1:]
    return bool(last) and _ARRAY_OF_MESSAGES.fullmatch(last[0]) is not None


def announced_messages(content: bytes, message_type: type) -> int:
    """Return the length of the array of messages that is the last field of a message.

    Args:
        content: the serialised message.
        message_type: its type; all fields before the last are numbers, texts, and messages of these.

    Raises:
        CdrError: the message ends before.
        TypeError: it is of another type.
    """
    reader = CdrReader(content)
    for size in _before_the_last(message_type):
        if size == _TEXT:
            reader.octets()
        else:
            reader.skip(size)
    return reader.u32()


@lru_cache(maxsize=16)
def _before_the_last(message_type: Any) -> tuple[int, ...]:
    """Bytes of the numbers before the last field, and `_TEXT`, in their order."""
    *fields, last = message_type.get_fields_and_field_types().values()
    if not _ARRAY_OF_MESSAGES.fullmatch(last):
        raise TypeError(f"the last field of {message_type.__name__} is {last}, no array of messages")
    return _sizes(message_type, fields)


def _sizes(message_type: Any, fields: list[str]) -> tuple[int, ...]:
    sizes: list[int] = []
    for name in fields:
        package, slash, kind = name.partition("/")
        if name == "string":
            sizes.append(_TEXT)
        elif name in _NUMBERS:
            sizes.append(_NUMBERS[name])
        elif slash and kind.isidentifier():
            nested: Any = getattr(importlib.import_module(f"{package}.msg"), kind)
            sizes += _sizes(nested, list(nested.get_fields_and_field_types().values()))
        else:
            raise TypeError(f"{message_type.__name__} has a field of type {name}, whose end is not looked for")
    return tuple(sizes)
