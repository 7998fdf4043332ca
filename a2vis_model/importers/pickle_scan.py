"""Scan a pickle's opcodes without running them, and refuse what no weight file contains.

The unpickler decides which functions a pickle may call. This scan refuses what does harm although every called
function is allowed: memory or time out of proportion to the file, and changes to the functions themselves.
"""

import pickle
import pickletools
from typing import IO

_OPCODES = 2_000_000
"""Largest number of opcodes; the largest weight files have a tenth of it."""
_WORK = 8
"""Number of values, and bytes in them, that may be passed to functions or looked up, per byte of the file."""
_SMALL = 1 << 20

_FILLED_BY_BUILD = frozenset(
    {
        "collections OrderedDict",
        "numpy ndarray",
        "numpy dtype",
        "numpy.core.multiarray _reconstruct",
        "numpy._core.multiarray _reconstruct",
    }
)
"""Callables whose results may have their state set by a pickle (opcode BUILD)."""
_UNUSED = frozenset(
    {
        "ADDITEMS",
        "EMPTY_SET",
        "EXT1",
        "EXT2",
        "EXT4",
        "FROZENSET",
        "INST",
        "NEWOBJ_EX",
        "NEXT_BUFFER",
        "OBJ",
        "READONLY_BUFFER",
    }
)
"""Opcodes that no weight file has."""


def scan_pickle(stream: IO[bytes], length: int) -> None:
    """Scan one pickle of a stream.

    Args:
        stream: stream at the pickle's beginning; it is left after the pickle's end.
        length: length of the file in bytes.

    Raises:
        pickle.UnpicklingError: the pickle is broken, or must not be run.
    """
    scan = _Scan(_WORK * length + _SMALL)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count == _OPCODES:
                raise pickle.UnpicklingError(f"its pickle has over {_OPCODES:,} opcodes")
            scan.step(opcode.name, argument, count)
    except (ValueError, IndexError, KeyError, UnicodeError) as error:
        raise pickle.UnpicklingError("its pickle is broken") from error


class _Value:
    """Placeholder of a value: its size, the values it refers to, and what made it."""

    __slots__ = ("maker", "parts", "size", "text")

    def __init__(self, size: int = 1, parts: "list[_Value] | None" = None, maker: str = "", text: str = "") -> None:
        self.size = size
        self.parts = parts if parts is not None else []
        self.maker = maker
        """Origin of the value: "global NAME" for a global, NAME for what calling it gave, empty for plain data."""
        self.text = text


_SCALAR = _Value()
_MARK = _Value()


class _Scan:
    """The unpickler's stack and memo, holding placeholders of the real values.

    Args:
        work: number of values and bytes that may be visited in total.
    """

    def __init__(self, work: int) -> None:
        self._left = work
        self._stack: list[_Value] = []
        self._memo: dict[int, _Value] = {}

    def step(self, name: str, argument: object, count: int) -> None:
        """Follow one opcode, the `count`-th."""
        stack = self._stack
        if name in _UNUSED:
            raise pickle.UnpicklingError(f"its pickle has the opcode {name}, which weight files have no use for")
        if name in ("PROTO", "FRAME", "STOP"):
            return
        if name in ("PUT", "BINPUT", "LONG_BINPUT"):
            assert isinstance(argument, int)
            if argument > count:
                raise pickle.UnpicklingError(f"its pickle numbers a value {argument}, among {count} opcodes")
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            assert isinstance(argument, int)
            stack.append(self._memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._since_mark()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "EMPTY_TUPLE":
            stack.append(_SCALAR)
        elif name == "TUPLE":
            stack.append(_Value(1, self._since_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(_Value(1, self._pop(int(name[-1]))))
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append(_Value())
        elif name == "LIST":
            stack.append(_Value(1, self._since_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = self._pop(1) if name == "APPEND" else self._since_mark()
            stack[-1].parts.extend(items)
        elif name in ("DICT", "SETITEM", "SETITEMS"):
            items = self._pop(2) if name == "SETITEM" else self._since_mark()
            if name == "DICT":
                stack.append(_Value())
            for key in items[::2]:
                self._walk(key)
            stack[-1].parts.extend(items)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            asked = str(argument) if name == "GLOBAL" else " ".join(value.text for value in self._pop(2))
            stack.append(_Value(maker=f"global {asked}"))
        elif name in ("REDUCE", "NEWOBJ"):
            function, arguments = self._pop(2)
            self._walk(arguments)
            stack.append(_Value(1, [arguments], function.maker.removeprefix("global ")))
        elif name == "BUILD":
            (state,) = self._pop(1)
            self._walk(state)
            if stack[-1].maker not in _FILLED_BY_BUILD:
                asked = ".".join(stack[-1].maker.removeprefix("global ").split()) or "plain data with a state"
                raise pickle.UnpicklingError(f"it asks for {asked}, which is not data")
            stack[-1].parts.append(state)
        elif name == "BINPERSID":
            (number,) = self._pop(1)
            stack.append(_Value(1, [number]))
        else:
            stack.append(_leaf(argument))

    def _pop(self, count: int) -> list[_Value]:
        values = self._stack[-count:]
        if len(values) < count or _MARK in values:
            raise IndexError("the stack is empty")
        del self._stack[-count:]
        return values

    def _since_mark(self) -> list[_Value]:
        values: list[_Value] = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _walk(self, value: _Value) -> None:
        """Visit a value as a function does that copies it, or a dictionary that hashes it.

        A part that occurs in it several times is visited several times.
        """
        pending = [value]
        while pending:
            value = pending.pop()
            self._left -= value.size + len(value.parts)
            if self._left < 0:
                raise pickle.UnpicklingError("its pickle makes far more of its values than it holds")
            pending.extend(value.parts)


def _leaf(argument: object) -> _Value:
    """Return a placeholder of a value that refers to no other."""
    if isinstance(argument, str):
        return _Value(1 + len(argument), text=argument)
    if isinstance(argument, bytes | bytearray):
        return _Value(1 + len(argument))
    if isinstance(argument, int) and argument.bit_length() > 64:
        return _Value(argument.bit_length() // 8)
    return _SCALAR
