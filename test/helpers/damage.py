"""Damaged files, as hypothesis makes them of whole ones."""

import struct
from typing import Any

from hypothesis import strategies as st

NUMBERS = [0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
_WORDS = [
    *(b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"1.5", b"[]", b"{}", b'""', b'"\\u0000"', b'"\\ud800"'),
    *(b"99999999999999999999", b"-0", b"[[", b"]]", b"}}", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\n", b","),
]


ODD_YAML = [
    b" 2000-99-99",
    b" !!int ''",
    b" !!bool x",
    b" !!timestamp x",
    b" 0x_",
    b" &a [*a]",
    b" .nan",
    b" !!set {a}",
]
"""Values on which PyYAML fails with errors that are not its own, and others that nobody expects."""


@st.composite
def damaged(draw: Any, samples: list[bytes], words: list[bytes] | None = None) -> bytes:
    """A whole file with a few things changed: bytes, numbers, words, parts cut out, doubled and moved.

    Args:
        draw: given by hypothesis.
        samples: whole files.
        words: further words, each of which takes the place of what is behind a colon in its line.
    """
    content = bytearray(draw(st.sampled_from(samples)))
    colons = [place + 1 for place, byte in enumerate(content) if byte == ord(":")] if words else []
    if words and colons and draw(st.booleans()):
        at = draw(st.sampled_from(colons))
        end = content.find(b"\n", at)
        content[at : end if end >= 0 else len(content)] = draw(st.sampled_from(words))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(content)))
        end = min(at + draw(st.sampled_from([1, 2, 4, 8, 50, 1000])), len(content))
        kind = draw(st.sampled_from(["bytes", "number", "word", "cut off", "cut out", "double", "move"]))
        if kind == "bytes":
            content[at:end] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "number":
            size, order = draw(st.sampled_from([1, 2, 4, 8])), draw(st.sampled_from("<>"))
            number = draw(st.sampled_from(NUMBERS)) % (1 << 8 * size)
            content[at : at + size] = struct.pack(f"{order}{'BHIQ'[size.bit_length() - 1]}", number)
        elif kind == "word":
            content[at:end] = draw(st.sampled_from(_WORDS))
        elif kind == "cut off":
            del content[at:]
        elif kind == "cut out":
            del content[at:end]
        elif kind == "double":
            content[at:at] = content[at:end]
        else:
            part = content[at:end]
            del content[at:end]
            to = draw(st.integers(0, len(content)))
            content[to:to] = part
    return bytes(content)
