"""Read the data in a pickle without unpickling it: an interpreter of the opcodes that make plain values, no others.

There is no opcode here that names, imports or calls anything, so no file can run code. Memory and time are bounded
by the size of the file and by `MAX_CONTAINERS`. Opcodes: CPython ``Lib/pickletools.py``.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CONTAINERS = 8_000_000
"""More lists, tuples and dictionaries than any real snapshot holds; a container costs about 100 bytes."""

_MAX_INTEGER_BYTES = 16
_NAMES = {
    "c": "GLOBAL", "\x93": "STACK_GLOBAL", "R": "REDUCE", "i": "INST", "o": "OBJ", "\x81": "NEWOBJ",
    "\x92": "NEWOBJ_EX", "b": "BUILD", "P": "PERSID", "Q": "BINPERSID", "\x82": "EXT1", "\x83": "EXT2", "\x84": "EXT4",
}  # fmt: skip


def plain_data(data: bytes) -> Any:
    """The value in a pickle of dictionaries with string keys, lists, tuples, strings, numbers, booleans and None.

    Raises InspectorError when it holds anything else, is cut short, or holds more than `MAX_CONTAINERS` containers.
    """
    try:
        return _Reader(data).run()
    except InspectorError:
        raise
    except (IndexError, KeyError, struct.error, UnicodeDecodeError, AttributeError, TypeError, ValueError):
        raise InspectorError("it is not a pickle, or it is cut short") from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.containers = 0

    def take(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) != count:
            raise IndexError
        self.at += count
        return piece

    def number(self, count: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(count), "little", signed=signed)

    def items(self) -> list[Any]:
        mark = self.marks.pop()
        found = self.stack[mark:]
        del self.stack[mark:]
        return found

    def new(self, value: object) -> None:
        self.containers += 1
        if self.containers > MAX_CONTAINERS:
            raise InspectorError(f"it holds more than {MAX_CONTAINERS:,} lists and dictionaries")
        self.stack.append(value)

    def put(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(pairs) % 2:
            raise ValueError
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) is not str:
                raise InspectorError("it has a dictionary whose keys are not strings")
            target[key] = value

    def run(self) -> Any:
        while True:
            code = self.data[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                name = _NAMES.get(chr(code))
                raise InspectorError(
                    f"it holds more than plain data ({name})" if name else "it is not a pickle of plain data",
                    hint="only dictionaries, lists, tuples, strings and numbers are read",
                )
            step(self)


def _append(reader: _Reader, values: list[Any]) -> None:
    target = reader.stack[-1]
    if type(target) is not list:
        raise ValueError
    target.extend(values)


def _long(reader: _Reader, width: int) -> None:
    count = reader.number(width)
    if count > _MAX_INTEGER_BYTES:
        raise InspectorError("it holds an integer too large to be a size")
    reader.stack.append(reader.number(count, signed=True))


def _text(reader: _Reader, width: int) -> None:
    reader.stack.append(reader.take(reader.number(width)).decode("utf-8", "surrogatepass"))


def _tuple(reader: _Reader, count: int) -> None:
    if len(reader.stack) < count:
        raise IndexError
    values = tuple(reader.stack[len(reader.stack) - count :])
    del reader.stack[len(reader.stack) - count :]
    reader.new(values)


def _set_item(reader: _Reader) -> None:
    value, key = reader.stack.pop(), reader.stack.pop()
    reader.put([key, value])


def _keep(reader: _Reader, index: int) -> None:
    reader.memo[index] = reader.stack[-1]


_STEPS: dict[int, Callable[[_Reader], Any]] = {
    0x80: lambda r: r.take(1),  # PROTO
    0x95: lambda r: r.take(8),  # FRAME
    0x4E: lambda r: r.stack.append(None),
    0x88: lambda r: r.stack.append(True),
    0x89: lambda r: r.stack.append(False),
    0x4A: lambda r: r.stack.append(r.number(4, signed=True)),  # BININT
    0x4B: lambda r: r.stack.append(r.number(1)),  # BININT1
    0x4D: lambda r: r.stack.append(r.number(2)),  # BININT2
    0x8A: lambda r: _long(r, 1),  # LONG1
    0x8B: lambda r: _long(r, 4),  # LONG4
    0x47: lambda r: r.stack.append(struct.unpack(">d", r.take(8))[0]),  # BINFLOAT
    0x58: lambda r: _text(r, 4),  # BINUNICODE
    0x8C: lambda r: _text(r, 1),  # SHORT_BINUNICODE
    0x8D: lambda r: _text(r, 8),  # BINUNICODE8
    0x28: lambda r: r.marks.append(len(r.stack)),  # MARK
    0x5D: lambda r: r.new([]),  # EMPTY_LIST
    0x61: lambda r: _append(r, [r.stack.pop()]),  # APPEND
    0x65: lambda r: _append(r, r.items()),  # APPENDS
    0x7D: lambda r: r.new({}),  # EMPTY_DICT
    0x73: _set_item,  # SETITEM
    0x75: lambda r: r.put(r.items()),  # SETITEMS
    0x29: lambda r: r.new(()),  # EMPTY_TUPLE
    0x85: lambda r: _tuple(r, 1),
    0x86: lambda r: _tuple(r, 2),
    0x87: lambda r: _tuple(r, 3),
    0x74: lambda r: r.new(tuple(r.items())),  # TUPLE
    0x71: lambda r: _keep(r, r.number(1)),  # BINPUT
    0x72: lambda r: _keep(r, r.number(4)),  # LONG_BINPUT
    0x94: lambda r: _keep(r, len(r.memo)),  # MEMOIZE
    0x68: lambda r: r.stack.append(r.memo[r.number(1)]),  # BINGET
    0x6A: lambda r: r.stack.append(r.memo[r.number(4)]),  # LONG_BINGET
}
