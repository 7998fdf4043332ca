"""JSON lists larger than memory: an index of the position of each record, and the records one at a time."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..data.problems import DataError, DataProblem, RecordError
from ..files.regular import open_regular

_CHUNK = 1 << 22  # Size of a piece in bytes.


@dataclass(frozen=True, slots=True)
class Span:
    """A range of bytes in a file."""

    start: int
    stop: int

    def read(self, path: str) -> Any:
        """Read the record at these bytes.

        Raises:
            RecordError: if there is no longer a record at these bytes.
        """
        try:
            with open_regular(path) as file:
                file.seek(self.start)
                return json.loads(file.read(self.stop - self.start))
        except (OSError, ValueError) as error:
            raise RecordError(f"cannot be read again, was the file changed? {error}") from error


def scan_records(path: str | Path) -> Iterator[tuple[str, Span, Any]]:
    """Yield the elements of the lists in a document as (key of the list, byte range, value).

    The document is a list, whose key is "", or an object. Other values of the object are yielded too, except nulls,
    which stand for absent lists.

    Raises:
        DataError: if the file cannot be read as JSON; the message names the byte.
    """
    try:
        with open_regular(path) as file:
            yield from _Scanner(file).document()
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(DataProblem(str(path), "file", f"cannot be read as JSON: {error}")) from error


class _Scanner:
    """A JSON scanner that reads a file in pieces.

    Bytes are read as Latin-1 characters, so that positions count bytes; the structure of UTF-8 JSON is the same. Text
    that holds non-ASCII characters is decoded again.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._position = 0
        # Some editors begin UTF-8 files with a byte order mark, which is not part of the document.
        # Position of the text in the file, in bytes.
        self._offset = len(BOM_UTF8) if file.read(len(BOM_UTF8)) == BOM_UTF8 else 0
        file.seek(self._offset)
        self._ended = False

    def document(self) -> Iterator[tuple[str, Span, Any]]:
        if self._text == "" and self._next() == "[":
            yield from self._list("")
        elif self._next() == "{":
            yield from self._object()
        else:
            raise ValueError("is neither a list nor an object")
        if self._next():
            raise ValueError(f"goes on after its end, at byte {self._byte()}")

    def _object(self) -> Iterator[tuple[str, Span, Any]]:
        for _ in self._items("}"):
            key, _ = self._value()
            if not isinstance(key, str):
                raise ValueError(f"a key is not a string, at byte {self._byte()}")
            self._expect(":")
            if self._next() == "[":
                yield from self._list(key)
            else:
                value, span = self._value()
                if value is not None:
                    yield key, span, value

    def _list(self, key: str) -> Iterator[tuple[str, Span, Any]]:
        for _ in self._items("]"):
            value, span = self._value()
            yield key, span, value

    def _items(self, closing: str) -> Iterator[None]:
        """Step through a list or an object; the caller reads one item at each step."""
        self._position += 1
        if self._next() == closing:
            self._position += 1
            return
        while True:
            yield
            if self._next() == closing:
                self._position += 1
                return
            self._expect(",")

    def _value(self) -> tuple[Any, Span]:
        self._next()
        size = _CHUNK
        while True:
            try:
                value, stop = self._decoder.raw_decode(self._text, self._position)
                # A number at the end of the piece may continue in the next one.
                if stop < len(self._text) or self._ended:
                    text = self._text[self._position : stop]
                    if not text.isascii():
                        value = json.loads(text.encode("latin-1"))
                    span = Span(self._offset + self._position, self._offset + stop)
                    self._position = stop
                    return value, span
            except json.JSONDecodeError as error:
                if self._ended:
                    raise ValueError(f"{error.msg} at byte {self._offset + error.pos}") from None
            self._fill(size)
            size *= 2  # Doubling keeps the number of attempts small for a record of any size.

    def _next(self) -> str:
        """Return the next character that is not white space; "" at the end."""
        while True:
            while self._position < len(self._text):
                if self._text[self._position] not in " \t\r\n":
                    return self._text[self._position]
                self._position += 1
            if self._ended:
                return ""
            self._fill(_CHUNK)

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise ValueError(f"{character!r} is missing at byte {self._byte()}")
        self._position += 1

    def _byte(self) -> int:
        return self._offset + self._position

    def _fill(self, size: int) -> None:
        piece = self._file.read(size)
        self._ended = not piece
        self._offset += self._position
        self._text = self._text[self._position :] + piece.decode("latin-1")
        self._position = 0
