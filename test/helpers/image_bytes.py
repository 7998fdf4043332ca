"""Serialised image messages, written by hand from the format's rules: without ROS, and in either byte order."""

import struct

STARTS = {"<": 1, ">": 0}
"""Identifier of CDR, version 1, by byte order."""


class CdrWriter:
    """Appends fields to a message; `start` is its identifier, that of CDR's version 1 by default."""

    def __init__(self, order: str, start: int | None = None) -> None:
        self._order = order
        self._start = bytes([0, STARTS[order] if start is None else start, 0, 0])
        self._body = bytearray()

    def add(self, kind: str, *values: int) -> None:
        self._body.extend(bytes(-len(self._body) % struct.calcsize(kind)))
        self._body.extend(struct.pack(self._order + kind, *values))

    def text(self, content: bytes) -> None:
        self.octets(content + b"\0")

    def octets(self, content: bytes) -> None:
        self.add("I", len(content))
        self._body.extend(content)

    def header(self, sec: int, nanosec: int, frame_id: bytes) -> None:
        self.add("i", sec)
        self.add("I", nanosec)
        self.text(frame_id)

    def message(self) -> bytes:
        return self._start + bytes(self._body)


def raw_image(order: str, frame_id: bytes, start: int | None = None) -> bytes:
    """A sensor_msgs/Image of 2 x 3 pixels, mono8, with rows of 4 bytes."""
    writer = CdrWriter(order, start)
    writer.header(-5, 7, frame_id)
    writer.add("I", 2)
    writer.add("I", 3)
    writer.text(b"mono8")
    writer.add("B", 1)
    writer.add("I", 4)
    writer.octets(bytes(range(8)))
    return writer.message()


def compressed_image(order: str, frame_id: bytes, data: bytes) -> bytes:
    """A sensor_msgs/CompressedImage."""
    writer = CdrWriter(order)
    writer.header(-5, 7, frame_id)
    writer.text(b"jpeg")
    writer.octets(data)
    return writer.message()
