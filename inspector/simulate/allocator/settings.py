"""The settings of PyTorch's CUDA caching allocator, by the names ``PYTORCH_CUDA_ALLOC_CONF`` gives them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.units import BLOCK_BYTES, MiB

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_SIZE = 1 * MiB
"""The largest request served from the small pool. Source: ``kSmallSize``, pytorch ``c10/core/AllocatorConfig.h``."""
SMALL_SEGMENT = 2 * MiB
"""What the small pool asks the driver for. Source: ``kSmallBuffer``, same file."""
MIN_LARGE_ALLOC = 10 * MiB
"""From here on a request gets a segment of its own size. Source: ``kMinLargeAlloc``, same file."""
ROUND_LARGE = 2 * MiB
"""Such segments are rounded up to this. Source: ``kRoundLarge``, same file."""
LARGE_SEGMENT = 20 * MiB
"""What the large pool asks for below `MIN_LARGE_ALLOC`. Source: ``kLargeBuffer``, later ``large_segment_size_``."""

_INTERVALS = 16
"""Power-of-two intervals from 1 MiB to 64 GiB. Source: ``kRoundUpPowerOfTwoIntervals``, ``AllocatorConfig.cpp``."""
_IGNORED = frozenset({
    "backend", "release_lock_on_cudamalloc", "throw_on_cudamalloc_oom", "graph_capture_record_stream_reuse",
    "pinned_use_cuda_host_register", "pinned_num_register_threads", "pinned_use_background_threads",
    "pinned_reserve_segment_size_mb", "pinned_max_round_threshold_mb", "pinned_max_cached_size_mb",
})  # fmt: skip
"""Keys that change no byte on the device (host memory, locks)."""


@dataclass(frozen=True)
class AllocatorSettings:
    """How the allocator rounds, splits and gives back. The defaults are PyTorch's.

    ``max_split_size_mb`` and ``max_non_split_rounding_mb`` are in MiB, as PyTorch reads them; None is no limit.
    ``roundup_power2_divisions`` has 16 entries, for requests from 1 MiB to 64 GiB, or is empty (off).
    ``process_limit`` is ``torch.cuda.set_per_process_memory_fraction`` in bytes; garbage collection needs it.
    """

    expandable_segments: bool = False
    max_split_size_mb: int | None = None
    max_non_split_rounding_mb: int = LARGE_SEGMENT // MiB
    large_segment_size_mb: int = LARGE_SEGMENT // MiB
    roundup_power2_divisions: tuple[int, ...] = ()
    garbage_collection_threshold: float = 0.0
    process_limit: int | None = None

    def __post_init__(self) -> None:
        """Raise InspectorError for a value that PyTorch refuses."""
        smallest = LARGE_SEGMENT // MiB
        for name in ("max_split_size_mb", "max_non_split_rounding_mb", "large_segment_size_mb"):
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise InspectorError(f"{name}:{value} is too small", hint=f"PyTorch takes {smallest} or more")
        if not 0 <= self.garbage_collection_threshold < 1:
            raise InspectorError(
                f"garbage_collection_threshold:{self.garbage_collection_threshold} is not between 0 and 1"
            )
        if len(self.roundup_power2_divisions) not in {0, _INTERVALS} or any(
            value < 0 or value & (value - 1) for value in self.roundup_power2_divisions
        ):
            raise InspectorError("roundup_power2_divisions takes powers of two", hint="such as [256:4,>:1], or 4")

    @cached_property
    def max_split_size(self) -> float:
        """In bytes; infinite when there is no limit."""
        return float("inf") if self.max_split_size_mb is None else self.max_split_size_mb * MiB

    def round_size(self, nbytes: int) -> int:
        """Bytes a block must have for a request. Source: ``DeviceCachingAllocator::round_size``."""
        if self.roundup_power2_divisions and nbytes >= BLOCK_BYTES:
            # 2^20 has 21 bits: the first interval is that of 1 MiB, and of all that is less.
            index = min(max(nbytes.bit_length() - 21, 0), _INTERVALS - 1)
            divisions = self.roundup_power2_divisions[index]
            # Smaller requests would be divided finer than a block is.
            if divisions > 1 and nbytes > BLOCK_BYTES * divisions:
                return _next_division(nbytes, divisions)
        return -(-max(nbytes, 1) // BLOCK_BYTES) * BLOCK_BYTES

    def segment_size(self, size: int) -> int:
        """Bytes asked of the driver for a block of ``size``. Source: ``get_allocation_size``."""
        if size <= SMALL_SIZE:
            return SMALL_SEGMENT
        if size < MIN_LARGE_ALLOC:
            return self.large_segment_size_mb * MiB
        return -(-size // ROUND_LARGE) * ROUND_LARGE


def _next_division(nbytes: int, divisions: int) -> int:
    """Round up between two powers of two. Source: ``roundup_power2_next_division``."""
    floor = 1 << (nbytes.bit_length() - 1)
    if nbytes == floor:
        return nbytes
    step = floor >> (divisions.bit_length() - 1)
    return -(-nbytes // step) * step if step else floor << 1


def parse_settings(text: str) -> AllocatorSettings:
    """Read ``PYTORCH_CUDA_ALLOC_CONF``, such as ``expandable_segments:True,max_split_size_mb:128``.

    Keys that touch only host memory are accepted and change nothing.
    Source: ``AcceleratorAllocatorConfig::parseArgs``, pytorch ``c10/core/AllocatorConfig.cpp``.

    Raises InspectorError for an unknown key or a value PyTorch would refuse.
    """
    values: dict[str, object] = {}
    # A comma within brackets stands between intervals, not between settings.
    for part in re.split(r",(?![^\[]*\])", text.replace(" ", "")):
        if not part:
            continue
        key, _, value = part.partition(":")
        if key in _IGNORED:
            if part == "backend:cudaMallocAsync":
                raise InspectorError("backend:cudaMallocAsync is not PyTorch's own allocator and cannot be replayed")
            continue
        try:
            values[key] = _READERS[key](value)
        except KeyError:
            raise InspectorError(f"PyTorch's allocator has no setting {key!r}") from None
        except ValueError:
            raise InspectorError(f"{part!r} is not a value for {key}") from None
    return AllocatorSettings(**values)  # type: ignore[arg-type]


def _boolean(text: str) -> bool:
    # PyTorch takes these two spellings and no other.
    if text not in {"True", "False"}:
        raise ValueError(text)
    return text == "True"


def _divisions(text: str) -> tuple[int, ...]:
    """Read ``4`` or ``[256:1,512:2,>:8]``. Source: ``parseRoundUpPower2Divisions``."""
    if not text.startswith("["):
        return (int(text),) * _INTERVALS
    table = [0] * _INTERVALS
    after = 0
    for position, item in enumerate(text.strip("[]").split(",")):
        bound, _, value = item.partition(":")
        if bound == ">":
            table[after:] = [int(value)] * (_INTERVALS - after)
            continue
        index = min(max(int(bound).bit_length() - 1, 0), _INTERVALS - 1)
        # The first bound's value is also that of everything below it.
        if position == 0:
            table[:index] = [int(value)] * index
        table[index] = int(value)
        after = index + 1
    return tuple(table)


_READERS: dict[str, Callable[[str], object]] = {
    "expandable_segments": _boolean,
    "max_split_size_mb": int,
    "max_non_split_rounding_mb": int,
    "large_segment_size_mb": int,
    "roundup_power2_divisions": _divisions,
    "garbage_collection_threshold": float,
}
