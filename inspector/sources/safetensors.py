"""The header of a safetensors file, read without trusting it: 8 bytes of length, then JSON, then the data.

The format is that of the safetensors library's README. Nothing is allocated by what a header claims: its length is
held against a limit and the file's size first, and every tensor against the bytes that are really there.
"""

from __future__ import annotations

import json
import math
import stat
import struct
from typing import TYPE_CHECKING, Any

from inspector.checkpoint import MAX_TENSORS, FileTensor
from inspector.errors import InspectorError

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = 8
MAX_HEADER = 25_000_000
"""Bytes. The library's own limit of 100 MB would be a gigabyte of Python objects; published ones stay below 5 MB."""

_MAX_DIMENSIONS = 16
_MAX_SIZE = 2**53

_BITS = {
    "BOOL": ("bool", 8), "U8": ("uint8", 8), "I8": ("int8", 8), "U16": ("uint16", 16), "I16": ("int16", 16),
    "U32": ("uint32", 32), "I32": ("int32", 32), "U64": ("uint64", 64), "I64": ("int64", 64),
    "F16": ("float16", 16), "BF16": ("bfloat16", 16), "F32": ("float32", 32), "F64": ("float64", 64),
    "C64": ("complex64", 64), "F8_E4M3": ("float8_e4m3fn", 8), "F8_E5M2": ("float8_e5m2", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8), "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F4": ("float4_e2m1fn", 4), "F6_E2M3": ("float6_e2m3", 6), "F6_E3M2": ("float6_e3m2", 6),
}  # fmt: skip
"""Dtypes of the format (safetensors/src/tensor.rs, ``Dtype``): torch's name and bits of one element."""


def read_header(path: Path) -> tuple[FileTensor, ...]:
    """The tensors of a file on disk.

    Raises InspectorError when it cannot be read or its header does not hold.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise InspectorError(f"{path.name} is no regular file")
        size = facts.st_size
        with path.open("rb") as stream:
            length = header_length(stream.read(PREFIX), size, path.name)
            return parse_header(stream.read(length), size, path.name)
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
    tensors = []
    for key, entry in _entries(header, name).items():
        if key != "__metadata__":
            tensors.append((*_tensor(key, entry, name), key))
    if len(tensors) > MAX_TENSORS:
        raise broken(name, f"it lists {len(tensors):,} tensors, over the limit of {MAX_TENSORS:,}")
    tensors.sort(key=lambda item: item[:2])
    position = 0
    for start, end, _shape, _dtype, key in tensors:
        if start != position:
            raise broken(name, f"the bytes of {_short(key)} {'overlap others' if start < position else 'leave a gap'}")
        position = end
    data = file_size - PREFIX - len(header)
    if position != data:
        verb = "is truncated: it has" if position > data else "has"
        raise broken(name, f"it {verb} {data:,} bytes of data where its header lists {position:,}")
    return tuple(FileTensor(key, shape, dtype, end - start, name) for start, end, shape, dtype, key in tensors)


def _entries(header: bytes, name: str) -> dict[str, Any]:
    try:
        entries = json.loads(header.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except RecursionError:
        raise broken(name, "its header is nested too deeply") from None
    except ValueError as error:
        raise broken(name, f"its header is not JSON ({str(error)[:80]})") from None
    if not isinstance(entries, dict):
        raise broken(name, "its header is no JSON object")
    return entries


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _tensor(key: str, entry: Any, name: str) -> tuple[int, int, tuple[int, ...], str]:
    """Start, end, shape and dtype of one entry."""
    if not isinstance(entry, dict):
        raise broken(name, f"the entry of {_short(key)} is no object")
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
    if (offsets[1] - offsets[0]) * 8 != math.prod(shape) * bits:
        raise broken(
            name, f"{_short(key)} has {offsets[1] - offsets[0]:,} bytes, which its shape and dtype do not make"
        )
    return offsets[0], offsets[1], tuple(shape), torch_name


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size <= _MAX_SIZE for size in value)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def broken(name: str, why: str) -> InspectorError:
    """The error for a file that is not what its name says."""
    return InspectorError(f"{name} is no sound safetensors file: {why}", hint="download or save it again")
