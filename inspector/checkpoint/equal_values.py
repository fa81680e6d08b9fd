"""Whether tensors in files hold the same values, read in pieces and no further than needed.

As ``torch.equal`` answers for what transformers has loaded of both: 0.0 is -0.0, and tensors of two dtypes are compared
as numbers of the one they are loaded in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np

    from inspector.checkpoint.checkpoint import FileTensor

    ReadBytes = Callable[[FileTensor, int, int], bytes]
    """A tensor's bytes from a first one, so many; raises InspectorError when they cannot be read."""

_CHUNK = 2**18
"""Elements at once: a megabyte, which the allocator has at hand; of 16 the comparison takes twice as long."""

_MOST = 2**31
"""Elements compared from the beginning on, before the end alone: Gemma 3 27B's embedding has 1.4 x 10^9, and of a file
of nothing but holes so many are read in seconds."""

_SAMPLE = 16 * 2**10
_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
_SIGN = {2: 0x8000, 4: 0x80000000, 8: 0x8000000000000000}


@dataclass(frozen=True)
class TensorReader:
    """How tensors are read. ``whole``: all of them; else their two ends and their middle, for what is far away."""

    read: ReadBytes
    whole: bool = True

    def pieces(self, numel: int) -> Iterable[tuple[int, int]]:
        """First element and number of them, of each piece."""
        if not self.whole and numel > 3 * _SAMPLE:
            return [(start, _SAMPLE) for start in (0, (numel - _SAMPLE) // 2, numel - _SAMPLE)]
        pieces = [(start, min(_CHUNK, numel - start)) for start in range(0, min(numel, _MOST), _CHUNK)]
        return [*pieces, (numel - _CHUNK, _CHUNK)] if numel > _MOST else pieces


def numbered(tensors: Sequence[FileTensor], reader: TensorReader, dtype: str) -> tuple[int, ...]:
    """A number for each tensor of one shape, the same one for equal values. Raises InspectorError as the reader.

    ``dtype`` is the one they are loaded in.
    """
    kinds: list[FileTensor] = []
    found = []
    for tensor in tensors:
        number = next((at for at, kind in enumerate(kinds) if _equal(kind, tensor, reader, dtype)), len(kinds))
        if number == len(kinds):
            kinds.append(tensor)
        found.append(number)
    return tuple(found)


def _equal(one: FileTensor, other: FileTensor, reader: TensorReader, dtype: str) -> bool:
    if one.dtype != other.dtype and not (one.dtype in _BYTES and other.dtype in _BYTES):
        return False
    for first, count in reader.pieces(one.numel):
        a, b = (reader.read(tensor, *_range(tensor, first, count)) for tensor in (one, other))
        # Bytes first: that takes no library, and is the answer for nearly all tensors that are the same.
        if not (a == b and one.dtype == other.dtype) and not _same_numbers((one.dtype, a), (other.dtype, b), dtype):
            return False
    return True


def _range(tensor: FileTensor, first: int, count: int) -> tuple[int, int]:
    """Offset and length in bytes; dtypes of less than a byte have pieces that begin on whole ones."""
    start, end = (tensor.nbytes * at // tensor.numel for at in (first, first + count))
    return start, end - start


def _same_numbers(one: tuple[str, bytes], other: tuple[str, bytes], dtype: str) -> bool:
    import numpy as np

    if one[0] not in _BYTES:
        return False
    if one[0] == other[0]:
        size = _BYTES[one[0]]
        a, b = (np.frombuffer(data, dtype=f"<u{size}") for _, data in (one, other))
        apart = a != b
        # Only zeros differ in their bits and not as numbers.
        return not ((a[apart] | b[apart]) & ~np.array(_SIGN[size], dtype=a.dtype)).any()
    return np.array_equal(_loaded(*one, dtype), _loaded(*other, dtype))


def _loaded(stored: str, data: bytes, dtype: str) -> np.ndarray[Any, Any]:
    """Numbers as they are after loading: rounded to ``dtype``, to the nearest and ties to even."""
    import numpy as np

    if stored == "bfloat16":
        numbers = (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        numbers = np.frombuffer(data, dtype=f"<f{_BYTES[stored]}")
    if dtype == "bfloat16":
        bits = numbers.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)
    # What overflows becomes infinite, in both alike.
    with np.errstate(over="ignore"):
        return numbers.astype({"float16": np.float16, "float64": np.float64}.get(dtype, np.float32))
