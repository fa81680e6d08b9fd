"""The header of a GGUF file, read without trusting it.

The layout is that of ggml's docs/gguf.md; types and block sizes are the ``gguf`` package's own tables. Its reader maps
the file and believes every count, so the header is walked here: each count and length is held against what is left.
"""

from __future__ import annotations

import math
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from inspector.checkpoint import MAX_NAME, MAX_TENSORS, Checkpoint, FileTensor, Overhead
from inspector.errors import InspectorError
from inspector.sources.gguf_stream import VERSIONS, GgufStream, broken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# ggml counts its types from 0 (about 40), forks of it from 97 to about 400.
_MOST_TYPES, _NEW_TYPE = 1000, "ggml_type_"
_SPLIT = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class GgufHeader:
    """Metadata and tensors of one file. Arrays of over 4,096 elements and of strings are kept as their length.

    ``notes`` say what llama.cpp does not read everywhere: an old version, the other byte order.
    """

    metadata: dict[str, Any]
    tensors: tuple[FileTensor, ...]
    overhead: Overhead
    notes: tuple[str, ...] = ()


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
    reader = GgufStream(stream, size, name)
    # An empty file is told what it is not, rather than where it ends.
    if reader.take(min(4, size)) != b"GGUF":
        raise broken(name, "it does not begin with GGUF")
    version = reader.version()
    if version not in VERSIONS:
        raise broken(name, f"it has version {version}; versions 1 to 3 are read")
    count, pairs = reader.count(), reader.count()
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
        metadata[key] = reader.value(reader.number("I"))
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
    overhead = Overhead(listed - tokenizer, tokenizer, consumed - listed, padding)
    return GgufHeader(metadata, tensors, overhead, tuple(_read_by_few(reader, version)))


def _read_by_few(reader: GgufStream, version: int) -> Iterator[str]:
    """What ggml's own reader refuses (``gguf_init_from_reader``), though nothing is wrong with the file."""
    if reader.order == ">":
        yield "big-endian: llama.cpp reads it on machines of that byte order alone"
    if version == 1:
        yield "version 1 of GGUF, which llama.cpp no longer reads: it has to be converted anew"


def _entry(reader: GgufStream) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape (ours: rows first), ggml type and offset of one tensor."""
    tensor = reader.string()
    if len(tensor) > MAX_NAME:
        raise broken(reader.name, f"{tensor[:60]!r} is a name of {len(tensor):,} characters")
    dimensions = reader.number("I")
    # ggml has four (GGML_MAX_DIMS).
    if dimensions > 8:
        raise broken(reader.name, f"{tensor[:60]!r} has {dimensions:,} dimensions")
    # ggml names the dimension first whose elements lie side by side; torch names it last.
    shape = tuple(reader.count() for _ in range(dimensions))[::-1]
    return tensor, shape, reader.number("I"), reader.number("Q")


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
    from inspector.checkpoint.gguf_tables import tables

    plain = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "I8": "int8", "I16": "int16",
             "I32": "int32", "I64": "int64"}  # fmt: skip
    return {
        int(kind): (plain.get(kind.name, kind.name.lower()), block, size)
        for kind, (block, size) in tables("constants").GGML_QUANT_SIZES.items()
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
    notes = (*dict.fromkeys(note for header in headers for note in header.notes), *notes)
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
