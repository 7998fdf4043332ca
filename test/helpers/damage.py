"""Damaged files, as hypothesis makes them of whole ones."""

import struct
from typing import Any

from hypothesis import strategies as st

NUMBERS = [0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
_WORDS = [
    *(b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"1.5", b"[]", b"{}", b'""', b'"\\u0000"', b'"\\ud800"'),
    *(b"99999999999999999999", b"-0", b"[[", b"]]", b"}}", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\n", b","),
]


@st.composite
def damaged(draw: Any, samples: list[bytes]) -> bytes:
    """A whole file with a few things changed: bytes, numbers, words, parts cut out, doubled and moved."""
    content = bytearray(draw(st.sampled_from(samples)))
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
