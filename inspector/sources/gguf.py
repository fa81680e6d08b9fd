"""The header of a GGUF file, read without trusting it.

The layout is that of ggml's docs/gguf.md; types and block sizes are the ``gguf`` package's own tables. Its reader maps
the file and believes every count, so the header is walked here: each count and length is held against what is left.
"""

from __future__ import annotations

import math
import re
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from inspector.checkpoint import MAX_NAME, MAX_TENSORS, Checkpoint, FileTensor, Overhead
from inspector.errors import InspectorError

if TYPE_CHECKING:
    from pathlib import Path

MAX_HEADER = 128_000_000
"""Bytes of metadata and tensor list; a vocabulary of 256,000 tokens with its merges takes about 10 MB."""

MAX_STRINGS = 3_000_000
"""Strings in all arrays together, which have to be walked one by one."""

# The numbers of the format: gguf_metadata_value_type in docs/gguf.md.
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
# Lists of one item a layer stay; the scores and types of a vocabulary do not.
_KEPT_ELEMENTS = 4096
# ggml counts its types from 0 (about 40), forks of it from 97 to about 400.
_MOST_TYPES, _NEW_TYPE = 1000, "ggml_type_"
_SPLIT = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class ArrayLength:
    """An array too long to be kept, such as the vocabulary: how many elements it has."""

    length: int


@dataclass(frozen=True)
class GgufHeader:
    """Metadata and tensors of one file. Arrays of over 4,096 elements and of strings are kept as their length."""

    metadata: dict[str, Any]
    tensors: tuple[FileTensor, ...]
    overhead: Overhead


class _Reader:
    """Takes bytes off a stream and knows how many are left."""

    def __init__(self, stream: BinaryIO, size: int, name: str) -> None:
        self.stream, self.size, self.name = stream, size, name
        self.limit = self.left = min(size, MAX_HEADER)
        self.strings = 0

    @property
    def taken(self) -> int:
        """Bytes taken so far."""
        return self.limit - self.left

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise broken(self.name, f"its header claims {count:,} bytes where {self.left:,} are left")
        self.left -= count
        data = self.stream.read(count)
        if len(data) < count:
            raise broken(self.name, "it ends within its header")
        return data

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self) -> str:
        return self.take(self.number("<Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array(self.number("<I"), self.number("<Q"))
        raise broken(self.name, f"its metadata has the unknown type {kind}")

    def _array(self, kind: int, length: int) -> Any:
        if kind == _STRING:
            self.strings += length
            # Each string has at least its own length, of eight bytes.
            if self.strings > MAX_STRINGS or length * 8 > self.left:
                raise broken(self.name, f"an array claims {length:,} strings")
            for _ in range(length):
                self.take(self.number("<Q"))
            return ArrayLength(length)
        if kind not in _SCALARS:
            raise broken(self.name, f"an array has the unsupported element type {kind}")
        form = _SCALARS[kind]
        data = self.take(length * struct.calcsize(form))
        if length > _KEPT_ELEMENTS:
            return ArrayLength(length)
        return [item[0] for item in struct.iter_unpack(form, data)]


def read_gguf(path: Path) -> GgufHeader:
    """The header of one GGUF file. Raises InspectorError when it cannot be read or does not hold."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise InspectorError(f"{path.name} is no regular file")
        with path.open("rb") as stream:
            return parse_gguf(stream, facts.st_size, path.name)
    except OSError as error:
        raise InspectorError(f"cannot read {path}: {error.strerror or error}") from error


def parse_gguf(stream: BinaryIO, size: int, name: str) -> GgufHeader:
    """The header at the start of a stream, of a file of ``size`` bytes. Raises InspectorError when it does not hold."""
    reader = _Reader(stream, size, name)
    # An empty file is told what it is not, rather than where it ends.
    if reader.take(min(4, size)) != b"GGUF":
        raise broken(name, "it does not begin with GGUF")
    version = reader.number("<I")
    # Version 1 counted in 32 bits (docs/gguf.md, version history).
    if version not in {2, 3}:
        # A file of the other byte order has the same number with its bytes turned round.
        kind = "is big-endian" if version in {2 << 24, 3 << 24} else f"has version {version}"
        raise broken(name, f"it {kind}; versions 2 and 3, little-endian, are read")
    count, pairs = reader.number("<Q"), reader.number("<Q")
    # Each entry is read by itself: a count of 2**60 would never come to an end.
    if count > MAX_TENSORS or pairs > 100_000:
        raise broken(name, f"it claims {count:,} tensors and {pairs:,} metadata entries")
    metadata: dict[str, Any] = {}
    tokenizer = 0
    for _ in range(pairs):
        before = reader.taken
        key = reader.string()
        if key in metadata:
            raise broken(name, f"the metadata {key[:60]!r} is there twice")
        metadata[key] = reader.value(reader.number("<I"))
        tokenizer += reader.taken - before if key.startswith("tokenizer.") else 0
    listed = reader.taken
    entries = [_entry(reader) for _ in range(count)]
    # 32 is the default of the format where a file says none.
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 8 <= alignment <= 2**20 or alignment % 8:
        raise broken(name, f"its alignment {alignment!r} is no sensible multiple of 8")
    consumed = reader.taken
    start = -(-consumed // alignment) * alignment
    tensors = tuple(_checked(entries, start, size, alignment, name))
    padding = size - consumed - sum(tensor.nbytes for tensor in tensors)
    return GgufHeader(metadata, tensors, Overhead(listed - tokenizer, tokenizer, consumed - listed, padding))


def _entry(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape (ours: rows first), ggml type and offset of one tensor."""
    tensor = reader.string()
    if len(tensor) > MAX_NAME:
        raise broken(reader.name, f"{tensor[:60]!r} is a name of {len(tensor):,} characters")
    dimensions = reader.number("<I")
    # ggml has four (GGML_MAX_DIMS).
    if dimensions > 8:
        raise broken(reader.name, f"{tensor[:60]!r} has {dimensions:,} dimensions")
    # ggml names the dimension first whose elements lie side by side; torch names it last.
    shape = tuple(reader.number("<Q") for _ in range(dimensions))[::-1]
    return tensor, shape, reader.number("<I"), reader.number("<Q")


def _checked(
    entries: list[tuple[str, tuple[int, ...], int, int]], start: int, size: int, alignment: int, name: str
) -> list[FileTensor]:
    """The tensors, each with its true bytes, none overlapping another or reaching over the end of the file."""
    blocks = _blocks()
    found, end = [], 0
    if len({entry[0] for entry in entries}) != len(entries):
        raise broken(name, "it lists a tensor twice")
    # In the order of their bytes, so that one pass finds what overlaps.
    ordered = sorted(entries, key=lambda entry: entry[3])
    limits = [*(entry[3] for entry in ordered), size - start][1:]
    for (tensor, shape, kind, offset), limit in zip(ordered, limits, strict=True):
        if kind >= _MOST_TYPES:
            raise broken(name, f"{tensor[:60]!r} has the unknown ggml type {kind}")
        dtype, block, block_bytes = blocks.get(kind, (f"{_NEW_TYPE}{kind}", 1, 0))
        numel = math.prod(shape)
        if numel > 2**53 or (shape and shape[-1] % block):
            raise broken(name, f"{tensor[:60]!r} has a shape that {dtype} cannot store")
        # Of a type that is not known, all up to the next tensor, its padding too.
        nbytes = numel // block * block_bytes if kind in blocks else max(0, limit - offset)
        if offset % alignment or offset < end:
            raise broken(
                name, f"the bytes of {tensor[:60]!r} {'overlap others' if offset < end else 'are not aligned'}"
            )
        end = offset + nbytes
        # A type that is not known may begin where nothing is left.
        if start + max(end, offset) > size:
            raise broken(name, f"{tensor[:60]!r} reaches over the end of the file: truncated?")
        found.append(FileTensor(tensor, shape, dtype, nbytes, name))
    return found


def _blocks() -> dict[int, tuple[str, int, int]]:
    """Types of ggml by number: our name, elements of a block, bytes of a block."""
    # Here, for the package brings numpy and all its readers and writers with it.
    from gguf.constants import GGML_QUANT_SIZES

    plain = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "I8": "int8", "I16": "int16",
             "I32": "int32", "I64": "int64"}  # fmt: skip
    return {
        int(kind): (plain.get(kind.name, kind.name.lower()), block, size)
        for kind, (block, size) in GGML_QUANT_SIZES.items()
    }


def read_gguf_files(path: Path) -> Checkpoint:
    """The checkpoint of a file, with the other splits where it is one of several (``-00001-of-00003.gguf``).

    Raises InspectorError when one is missing or broken.
    """
    paths = [path.with_name(name) for name in split_names(path.name)]
    headers = [read_gguf(part) for part in paths]
    return merged(path.stem, [part.name for part in paths], headers, sum(part.stat().st_size for part in paths))


def split_names(name: str) -> list[str]:
    """All files of the model that this one is a split of; itself alone where it is none."""
    match = _SPLIT.match(name)
    if not match:
        return [name]
    if not 0 < (total := int(match[3])) <= 10_000:
        raise broken(name, f"it says it is one of {total:,} files")
    return [f"{match[1]}-{part:05}-of-{total:05}.gguf" for part in range(1, total + 1)]


def merged(name: str, files: list[str], headers: list[GgufHeader], size: int) -> Checkpoint:
    """One checkpoint of the headers of all splits; the first has the metadata."""
    from inspector.checkpoint.gguf_header import holds, kind_of
    from inspector.sources.gguf_config import config_of

    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise broken(name, "two of its splits have the same tensor")
    # The other splits repeat only what says that they are splits.
    metadata = headers[0].metadata
    config, notes = config_of(metadata, tensors) if kind_of(metadata, tensors) == "model" else ({}, ())
    if newer := sorted({tensor.dtype for tensor in tensors if tensor.dtype.startswith(_NEW_TYPE)}):
        several = ", ".join(newer[:6])
        notes = (
            *notes,
            f"{several}: unknown to the gguf package; its bytes are all up to the next tensor, with padding",
        )
    if (total := metadata.get("split.tensors.count")) and type(total) is int and total != len(tensors):
        notes = (*notes, f"the header announces {total:,} tensors in all splits, {len(tensors):,} are here")
    parts = [header.overhead for header in headers]
    overhead = Overhead(
        sum(part.metadata_bytes for part in parts),
        sum(part.tokenizer_bytes for part in parts),
        sum(part.tensor_info_bytes for part in parts),
        sum(part.padding_bytes for part in parts),
    )
    return Checkpoint(
        name, "gguf", tensors, tuple(files), size, config, notes, overhead, metadata, holds(metadata, tensors)
    )


def broken(name: str, why: str) -> InspectorError:
    """The error for a file that is not what its name says."""
    return InspectorError(f"{name} is no sound GGUF file: {why}", hint="download or convert it again")
