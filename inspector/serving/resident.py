"""What PyTorch's allocator hands out for weights, beside their own bytes: whole blocks of segments of 2 MiB.

A tensor of 10 MiB and more has a segment of its own, rounded up to 2 MiB, and a rest of up to 1 MiB is not split off
(pytorch ``c10/cuda/CUDACachingAllocator.cpp``, ``should_split``): Qwen2.5 7B's gate and up projections, 259 MiB, take
260. That is why vLLM prints 14.2487 GiB for 14.1930 GiB of tensors: it prints ``max_memory_allocated``
(vllm/utils/mem_utils.py, ``DeviceMemoryProfiler``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.simulate.allocator.allocator import CachingAllocator

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Resident:
    """Bytes of blocks that tensors have, which engines print, and of the segments they lie in, which the card lacks."""

    allocated: int
    reserved: int


def resident(sizes: Iterable[int]) -> Resident:
    """What so many allocations take, one after another and none given back. Sizes are bytes."""
    allocator = CachingAllocator()
    for size in sizes:
        if size:
            allocator.malloc(size)
    return Resident(allocator.allocated, allocator.reserved)
