"""The values of a GGUF file one after another, by its version and byte order, each held against what is left of it.

The layout is that of ggml's docs/gguf.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from inspector.errors import InspectorError

MAX_HEADER = 128_000_000
"""Bytes of metadata and tensor list; a vocabulary of 256,000 tokens with its merges takes about 10 MB."""

MAX_STRINGS = 3_000_000
"""Strings and arrays in all arrays together, which have to be walked one by one."""

MAX_DEPTH = 8
"""Arrays in arrays. The format allows any number, and no published file has more than one."""

# The numbers of the format: gguf_metadata_value_type in docs/gguf.md.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
VERSIONS = (1, 2, 3)
# Lists of one item a layer stay; the scores and types of a vocabulary do not.
_KEPT_ELEMENTS = 4096


@dataclass(frozen=True)
class ArrayLength:
    """An array too long to be kept, such as the vocabulary: how many elements it has."""

    length: int


class GgufStream:
    """Takes bytes off a stream and knows how many are left.

    ``order`` is the byte order of its numbers, ``size_form`` the form of its counts and lengths: the version says both.
    """

    order, size_form = "<", "Q"

    def __init__(self, stream: BinaryIO, size: int, name: str) -> None:
        self.stream, self.size, self.name = stream, size, name
        self.limit = self.left = min(size, MAX_HEADER)
        self.walked = 0

    @property
    def taken(self) -> int:
        """Bytes taken so far."""
        return self.limit - self.left

    def take(self, count: int) -> bytes:
        """So many bytes. Raises InspectorError where fewer are left, here or in the file."""
        if count > self.left:
            raise broken(self.name, f"its header claims {count:,} bytes where {self.left:,} are left")
        self.left -= count
        data = self.stream.read(count)
        if len(data) < count:
            raise broken(self.name, "it ends within its header")
        return data

    def version(self) -> int:
        """The version, by which all that follows is read."""
        data = self.take(4)
        # The file's own byte order shows in nothing else (docs/gguf.md): turned round, the number is no version.
        if int.from_bytes(data, "little") not in VERSIONS and int.from_bytes(data, "big") in VERSIONS:
            self.order = ">"
        found = int.from_bytes(data, "big" if self.order == ">" else "little")
        # Version 1 counted in 32 bits (docs/gguf.md, version history; candle's first reader has it so).
        self.size_form = "I" if found == 1 else "Q"
        return found

    def number(self, form: str) -> Any:
        """A number, by `struct`'s letter for it."""
        return struct.unpack(self.order + form, self.take(struct.calcsize(self.order + form)))[0]

    def count(self) -> int:
        """A count or a length, of as many bits as the version has for them."""
        return int(self.number(self.size_form))

    def string(self) -> str:
        """A string; what is no UTF-8 in it is replaced."""
        return self.take(self.count()).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """A value of the metadata: number, text, list of numbers or `ArrayLength`."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array(self.number("I"), self.count(), MAX_DEPTH)
        raise broken(self.name, f"its metadata has the unknown type {kind}")

    def _array(self, kind: int, length: int, depth: int) -> Any:
        if kind in {_STRING, _ARRAY}:
            self.walked += length
            # Each has at least its own length.
            if self.walked > MAX_STRINGS or length * struct.calcsize(self.size_form) > self.left:
                raise broken(self.name, f"an array claims {length:,} {'strings' if kind == _STRING else 'arrays'}")
        if kind == _STRING:
            size = struct.Struct(self.order + self.size_form)
            for _ in range(length):  # of half a million in many a file
                self.take(size.unpack(self.take(size.size))[0])
            return ArrayLength(length)
        if kind == _ARRAY:
            if not depth:
                raise broken(self.name, f"its arrays are nested over {MAX_DEPTH} deep")
            # Walked, and as long ones are, not kept: no key of a model's sizes has arrays in an array.
            for _ in range(length):
                self._array(self.number("I"), self.count(), depth - 1)
            return ArrayLength(length)
        if kind not in _SCALARS:
            raise broken(self.name, f"an array has the unsupported element type {kind}")
        form = self.order + _SCALARS[kind]
        data = self.take(length * struct.calcsize(form))
        if length > _KEPT_ELEMENTS:
            return ArrayLength(length)
        return [item[0] for item in struct.iter_unpack(form, data)]


def broken(name: str, why: str) -> InspectorError:
    """The error for a file that is not what its name says."""
    return InspectorError(f"{name} is no sound GGUF file: {why}", hint="download or convert it again")
