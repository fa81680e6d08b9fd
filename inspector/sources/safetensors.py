"""The header of a safetensors file, read without trusting it: 8 bytes of length, then JSON, then the data.

The format is that of the safetensors library's README. Nothing is allocated by what a header claims: its length is
held against a limit and the file's size first, and every tensor against the bytes that are really there.
"""

from __future__ import annotations

import json
import math
import re
import stat
import struct
from typing import TYPE_CHECKING, Any

from inspector.checkpoint import MAX_NAME, MAX_TENSORS, FileTensor
from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inspector.sources.budget import Budget

PREFIX = 8
MAX_HEADER = 100_000_000
"""Bytes: the library's own limit (safetensors/src/tensor.rs, ``MAX_HEADER_SIZE``); published ones stay below 5 MB."""

# Far over any tensor's; each costs an object.
_MAX_DIMENSIONS = 16
# Whole numbers up to here mean the same in every JSON reader.
_MAX_SIZE = 2**53
_MAX_ENTRY = 100_000
"""Bytes of one tensor's entry, its name included."""

MAX_METADATA = 20_000_000
"""Bytes; thumbnails and training notes in it reach some megabytes."""

_MAX_PAIR = 5_000_000
"""Bytes of one of its strings with its name: matching one of nothing but escapes takes 40 times as much memory."""

# A text of JSON as bytes: escapes are stepped over, not read.
_TEXT = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_SPACE = rb"[ \t\r\n]*"
# A comma must have another name behind it: JSON has no trailing ones.
_NEXT = _SPACE + rb"(?:,(?=" + _SPACE + rb'")|\})'
_ENTRY = re.compile(_SPACE + rb"(" + _TEXT + rb")" + _SPACE + rb":" + _SPACE + rb"(\{[^{}]*\})" + _NEXT, re.DOTALL)
_METADATA = re.compile(_SPACE + rb'"__metadata__"' + _SPACE + rb":" + _SPACE + rb"\{(?:" + _SPACE + rb"\})?")
_PAIR = re.compile(
    _SPACE + _TEXT + _SPACE + rb":" + _SPACE + _TEXT + _SPACE + rb"(?:,(?=" + _SPACE + rb'")|\})', re.DOTALL
)
_AFTER = re.compile(_NEXT)
_EMPTY = re.compile(rb"\{" + _SPACE + rb"\}" + _SPACE + rb"\Z")
_REST = re.compile(_SPACE + rb"\Z")

_BITS = {
    "BOOL": ("bool", 8), "U8": ("uint8", 8), "I8": ("int8", 8), "U16": ("uint16", 16), "I16": ("int16", 16),
    "U32": ("uint32", 32), "I32": ("int32", 32), "U64": ("uint64", 64), "I64": ("int64", 64),
    "F16": ("float16", 16), "BF16": ("bfloat16", 16), "F32": ("float32", 32), "F64": ("float64", 64),
    "C64": ("complex64", 64), "F8_E4M3": ("float8_e4m3fn", 8), "F8_E5M2": ("float8_e5m2", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8), "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F4": ("float4_e2m1fn", 4), "F6_E2M3": ("float6_e2m3", 6), "F6_E3M2": ("float6_e3m2", 6),
}  # fmt: skip
"""Dtypes of the format (safetensors/src/tensor.rs, ``Dtype``): torch's name and bits of one element."""


def read_header(path: Path, budget: Budget | None = None) -> tuple[int, tuple[FileTensor, ...]]:
    """The bytes and the tensors of a file on disk. Its header is taken off the budget before it is read.

    Raises InspectorError when it cannot be read or its header does not hold.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise InspectorError(f"{path.name} is no regular file")
        size = facts.st_size
        with path.open("rb") as stream:
            # The length is held against the file before one byte of the header is read.
            length = header_length(stream.read(PREFIX), size, path.name)
            if budget is not None:
                # Before it is read: the files together may not take more than one alone.
                budget.take(length)
            return size, parse_header(stream.read(length), size, path.name)
    except OSError as error:
        raise InspectorError(f"cannot read {path}: {error.strerror or error}") from error


def header_length(prefix: bytes, file_size: int, name: str) -> int:
    """Bytes of the JSON header, from the first 8 bytes of a file. Raises InspectorError when it cannot be true."""
    if len(prefix) < PREFIX:
        raise broken(name, "it ends within its first 8 bytes")
    (length,) = struct.unpack("<Q", prefix[:PREFIX])
    if length > file_size - PREFIX:
        raise broken(name, f"its header claims {length:,} bytes, the file has {file_size:,}")
    if length > MAX_HEADER:
        raise broken(name, f"its header of {length:,} bytes is over the limit of {MAX_HEADER:,}")
    return int(length)


def parse_header(header: bytes, file_size: int, name: str) -> tuple[FileTensor, ...]:
    """The tensors a JSON header lists, in the order of their bytes; they must fill the file without gap or overlap.

    Raises InspectorError for anything the format does not allow.
    """
    found: dict[str, tuple[int, int, tuple[int, ...], str]] = {}
    for key, entry in _entries(header, name):
        if len(key) > MAX_NAME:
            raise broken(name, f"{_short(key)} is a name of {len(key):,} characters")
        if key in found:
            raise broken(name, f"{_short(key)} appears twice in its header")
        found[key] = _tensor(key, entry, name)
        if len(found) > MAX_TENSORS:
            raise broken(name, f"it lists over {MAX_TENSORS:,} tensors, the limit")
    # By their bytes, so that one pass finds gaps and overlaps.
    ordered = sorted(found.items(), key=lambda item: item[1][:2])
    position = 0
    for key, (start, end, _shape, _dtype) in ordered:
        if start != position:
            raise broken(name, f"the bytes of {_short(key)} {'overlap others' if start < position else 'leave a gap'}")
        position = end
    data = file_size - PREFIX - len(header)
    if position != data:
        verb = "is truncated: it has" if position > data else "has"
        raise broken(name, f"it {verb} {data:,} bytes of data where its header lists {position:,}")
    return tuple(FileTensor(key, shape, dtype, end - start, name, start) for key, (start, end, shape, dtype) in ordered)


def _entries(header: bytes, name: str) -> Iterator[tuple[str, Any]]:
    """The header's entries one by one, metadata left out: parsed whole, 100 MB of JSON can make over 1 GB of objects.

    An entry is ``"name": {...}`` with no object inside; the metadata's values are all strings.
    """
    if not header.startswith(b"{"):
        raise broken(name, "its header is no JSON object")
    end = _EMPTY.match(header)
    at = 1
    while end is None:
        if match := _METADATA.match(header, at):
            at = _after_metadata(header, match.end(), name)
        # The end of the match is bounded, so that a header without quotes is not searched to its end for each.
        elif match := _ENTRY.match(header, at, at + _MAX_ENTRY):
            at = match.end()
            yield _parsed(match[1] + b"," + match[2], name)
        else:
            raise broken(name, f"its header is not JSON as the format has it, at byte {at:,}")
        if header[at - 1] == ord("}"):
            end = _REST.match(header, at)
            if end is None:
                raise broken(name, f"its header goes on after its end, at byte {at:,}")


def _after_metadata(header: bytes, at: int, name: str) -> int:
    """Where the next entry begins. One regular expression for all strings would take 100 bytes for each of them."""
    last = at + MAX_METADATA
    while header[at - 1] != ord("}"):
        match = _PAIR.match(header, at, at + _MAX_PAIR)
        if match is None or match.end() > last:
            raise broken(name, f"its __metadata__ is not short strings alone, at byte {at:,}")
        at = match.end()
    match = _AFTER.match(header, at)
    if match is None:
        raise broken(name, f"its header is not JSON as the format has it, at byte {at:,}")
    return match.end()


def _parsed(pair: bytes, name: str) -> tuple[str, Any]:
    """A name and its entry, parsed as JSON with nothing but both in a list."""
    try:
        key, entry = _DECODER.decode(f"[{pair.decode('utf-8')}]")
    except RecursionError:
        raise broken(name, "its header is nested too deeply") from None
    except ValueError as error:
        raise broken(name, f"its header is not JSON ({str(error)[:80]})") from None
    return key, entry


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates)


def _tensor(key: str, entry: dict[str, Any], name: str) -> tuple[int, int, tuple[int, ...], str]:
    """Start, end, shape and dtype of one entry."""
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    dtype: Any = entry.get("dtype")
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise broken(name, f"{_short(key)} has the unknown dtype {_short(str(dtype))}")
    if not _sizes(shape) or len(shape) > _MAX_DIMENSIONS or math.prod(shape) > _MAX_SIZE:
        raise broken(name, f"{_short(key)} has no sensible shape")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise broken(name, f"{_short(key)} has no sensible data_offsets")
    torch_name, bits = _BITS[dtype]
    # In bits, for the dtypes of less than a byte.
    if (offsets[1] - offsets[0]) * 8 != math.prod(shape) * bits:
        raise broken(
            name, f"{_short(key)} has {offsets[1] - offsets[0]:,} bytes, which its shape and dtype do not make"
        )
    return offsets[0], offsets[1], tuple(shape), torch_name


def _sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size <= _MAX_SIZE for size in value)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def broken(name: str, why: str) -> InspectorError:
    """The error for a file that is not what its name says."""
    return InspectorError(f"{name} is no sound safetensors file: {why}", hint="download or save it again")
