"""Reading CDR, the encoding of ROS messages on the wire and in bags; needs nothing but Python itself.

The format is "plain CDR" of OMG DDS-XTYPES 1.3, section 7.4. Its versions 1 and 2 differ only in numbers of 8 bytes,
which begin at multiples of 8 bytes in the one and of 4 in the other.
"""

import struct

_ORDERS = {0: ">", 1: "<", 6: ">", 7: "<"}
"""Byte order by the identifier that a message begins with: CDR and CDR 2, each big and little endian."""
_WIDEST = {0: 8, 1: 8, 6: 4, 7: 4}
"""Largest alignment of a number by the same identifier, in bytes."""
_START = 4
"""Number of bytes of the identifier and its options, before the first field."""
_NUL = "\udc00"
"""Stand-in for NUL in a text. rclpy would end the text there; see `text_of`."""


class CdrError(ValueError):
    """A serialised message is damaged, or of an encoding that ROS does not use."""


def text_of(content: bytes) -> str:
    """Return bytes as a text that keeps every one of them, even where they are not UTF-8; `bytes_of` undoes it.

    A byte that is no part of a UTF-8 character becomes a lone surrogate, U+DC80 to U+DCFF (PEP 383), and NUL becomes
    U+DC00. rclpy refuses to send such a text, so that it can never send a changed one.
    """
    return content.decode("utf-8", "surrogateescape").replace("\0", _NUL)


def bytes_of(text: str) -> bytes:
    """Return the bytes that `text_of` has made a text of."""
    return text.replace(_NUL, "\0").encode("utf-8", "surrogateescape")


def byte_order(message: bytes) -> str:
    """Return the byte order of a serialised message as the struct module writes it, "<" or ">".

    Raises:
        CdrError: the message does not begin as one of ROS does.
    """
    return _ORDERS[_encoding(message)]


def _encoding(message: bytes) -> int:
    encoding = int.from_bytes(message[:2], "big")
    if len(message) < _START or encoding not in _ORDERS:
        raise CdrError(f"it begins with {message[:_START]!r}, which is none of the encodings of ROS")
    return encoding


class CdrReader:
    """Reads the fields of a serialised message one by one, in their order.

    Args:
        message: the whole message, from its identifier on. What is read refers to it and copies no pixels.

    Raises:
        CdrError: the message does not begin as one of ROS does.
    """

    def __init__(self, message: bytes) -> None:
        order, self._widest = byte_order(message), _WIDEST[_encoding(message)]
        self._body = memoryview(message)[_START:]
        self._at = 0
        self._u32, self._i32 = struct.Struct(f"{order}I"), struct.Struct(f"{order}i")

    def u8(self) -> int:
        """Read a uint8, byte or bool.

        Raises:
            CdrError: the message ends before.
        """
        return self._take(1)[0]

    def u32(self) -> int:
        """Read a uint32.

        Raises:
            CdrError: the message ends before.
        """
        return int(self._u32.unpack(self._aligned())[0])

    def i32(self) -> int:
        """Read an int32.

        Raises:
            CdrError: the message ends before.
        """
        return int(self._i32.unpack(self._aligned())[0])

    def skip(self, size: int) -> None:
        """Pass over a number of 1, 2, 4 or 8 bytes.

        Raises:
            CdrError: the message ends before.
        """
        self._at += -self._at % min(size, self._widest)
        self._take(size)

    def octets(self) -> memoryview:
        """Read a uint8[] of any length, without copying it.

        Raises:
            CdrError: the message ends before.
        """
        return self._take(self.u32())

    def text(self) -> str:
        """Read a string as `text_of` returns it.

        Raises:
            CdrError: the message ends before.
        """
        content = bytes(self.octets())
        # Some middleware sends an empty text without the NUL that ends all others.
        return text_of(content[:-1] if content.endswith(b"\0") else content)

    def header(self) -> tuple[int, int, str]:
        """Read a std_msgs/Header: seconds, nanoseconds, frame_id as `text_of` returns it.

        Raises:
            CdrError: the message ends before.
        """
        return self.i32(), self.u32(), self.text()

    def _aligned(self) -> memoryview:
        """Return the next 4 bytes at a multiple of 4."""
        self._at += -self._at % 4
        return self._take(4)

    def _take(self, size: int) -> memoryview:
        part = self._body[self._at : self._at + size]
        if len(part) < size:
            raise CdrError(f"a field of {size} bytes begins at byte {_START + self._at}, and it ends before")
        self._at += size
        return part
