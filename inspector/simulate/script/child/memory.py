"""The simulated allocator while the script runs: what ``torch.cuda.memory_allocated()`` and its like say of it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.simulate.allocator.allocator import CachingAllocator, OutOfMemoryError
from inspector.simulate.allocator.settings import parse_settings
from inspector.simulate.events import Alloc, EmptyCache, Free
from inspector.simulate.script.child.errors import emulated
from inspector.simulate.snapshot.writer import snapshot
from inspector.simulate.tracing.owners import written
from inspector.units import MiB

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.simulate.allocator.blocks import Block
    from inspector.simulate.allocator.settings import AllocatorSettings
    from inspector.simulate.script.child.card_tracer import CardTracer


class Memory:
    """Follows a tracer's log, as far as somebody asks. With ``full`` the card refuses where its memory ends.

    ``number`` says which of the cards it is.
    """

    def __init__(
        self, tracer: CardTracer, card: Gpu, settings: AllocatorSettings, *, full: bool, number: int = 0
    ) -> None:
        self.card, self.number = card, number
        self.settings = settings
        self.full = full
        self.allocator = CachingAllocator(settings, capacity=card.available_bytes if full else None)
        self._tracer = tracer
        self._read = 0
        self._blocks: dict[int, Block] = {}
        self.peak_allocated = self.peak_reserved = 0
        self.refusals: list[tuple[str, int]] = []
        self.allocations = self.frees = self.requested = 0
        self.fraction = 1.0
        self.conf = settings_said()

    def follow(self) -> None:
        """Serve everything that was asked for since the last time."""
        log, rows, allocator = self._tracer.log, self._tracer.rows, self.allocator
        cards, number = self._tracer.cards, self.number
        for entry in log[self._read :]:
            if not isinstance(entry, int):
                if isinstance(entry, EmptyCache) and entry.card in {None, number}:
                    allocator.empty_cache()
            elif entry < 0:
                if (block := self._blocks.pop(~entry, None)) is not None:
                    self.frees += 1
                    allocator.free(block)
            elif cards.get(entry, 0) == number:
                self.allocations += 1
                self._blocks[entry] = allocator.malloc(rows[entry][0], self._tracer.stream_of(entry))
                self.peak_allocated = max(self.peak_allocated, allocator.allocated)
                self.peak_reserved = max(self.peak_reserved, allocator.reserved)
        self._read = len(log)

    def served(self, number: int) -> None:
        """Serve a block that was just asked for, or raise PyTorch's error as if it had not been."""
        import torch

        try:
            self.follow()
        except OutOfMemoryError:
            nbytes = self._tracer.rows[number][0]
            said = self._sentence(nbytes)
            self.refusals.append((self._tracer.lines[number], nbytes))
            # What is left of it: looking for room gave all cached segments back, here (`follow`) and in a replay.
            self._tracer.log[-1] = EmptyCache(self.number)
            self._read = len(self._tracer.log)
            raise emulated(torch.OutOfMemoryError(said)) from None

    def address(self, block: int) -> int:
        """Where a block lies."""
        self.follow()
        found = self._blocks.get(block)
        return 0 if found is None else found.address

    @property
    def free_bytes(self) -> int:
        """What the driver has left, as ``cudaMemGetInfo`` says it; never below zero."""
        self.follow()
        return max(self.card.available_bytes - self.allocator.reserved, 0)

    def reset_peaks(self) -> None:
        """``torch.cuda.reset_peak_memory_stats``."""
        self.follow()
        self.peak_allocated, self.peak_reserved = self.allocator.allocated, self.allocator.reserved

    def configure(self) -> None:
        """Settings that the script has put into its environment: PyTorch reads them with the first block."""
        conf = settings_said()
        if conf != self.conf:
            self.conf, self.settings = conf, parse_settings(conf)
            self.allocator = CachingAllocator(self.settings, capacity=self.allocator.capacity)

    def limit(self, fraction: float) -> None:
        """``torch.cuda.set_per_process_memory_fraction``: the process may have so much of the card, where it refuses.

        Source: ``setMemoryFraction``: of the card's whole memory, by the pools of PyTorch alone.
        """
        self.follow()
        self.fraction = fraction
        if self.full:
            self.settings = replace(self.settings, process_limit=int(fraction * self.card.usable_bytes))
            self.allocator.settings = self.settings

    def snapshot(self) -> dict[str, Any]:
        """``torch.cuda.memory._snapshot`` of the run so far, recorded from its first block on."""
        tracer, cards = self._tracer, self._tracer.cards
        events = written(tracer.log, tracer.log, tracer.rows, tracer._labels, tracer._copies)
        mine = [
            each for each in events if not isinstance(each, Alloc | Free) or cards.get(each.block, 0) == self.number
        ]
        return snapshot(mine, self.settings)

    def _sentence(self, nbytes: int) -> str:
        """PyTorch's own. Source: c10/cuda/CUDACachingAllocator.cpp, ``malloc``, its last branch (torch 2.9 and newer).

        What could not be had is the segment that was asked for, not the tensor; and the driver names the process.
        """
        allocator, card, settings = self.allocator, self.card, self.settings
        size = settings.segment_size(settings.round_size(nbytes))
        used = allocator.reserved + card.context_bytes
        idle = allocator.reserved - allocator.allocated
        allowed = "" if settings.process_limit is None else f"{format_size(settings.process_limit)} allowed; "
        return (
            f"CUDA out of memory. Tried to allocate {format_size(size)}. GPU {self.number} has a total capacity of "
            f"{format_size(card.usable_bytes)} of which {format_size(card.available_bytes - allocator.reserved)} is "
            f"free. Including non-PyTorch memory, this process has {format_size(used)} memory in use. {allowed}Of the "
            f"allocated memory {format_size(allocator.allocated)} is allocated by PyTorch, and {format_size(idle)} is "
            "reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting "
            "PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory "
            "Management  (https://docs.pytorch.org/docs/stable/notes/cuda.html#optimizing-memory-usage-with-pytorch-"
            "cuda-alloc-conf)"
        )


def settings_said() -> str:
    """The allocator's settings in the environment, under the new name or the old."""
    return os.environ.get("PYTORCH_ALLOC_CONF") or os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "")


def format_size(nbytes: int) -> str:
    """As PyTorch says a size. Source: c10/cuda/CUDACachingAllocator.cpp, ``format_size``."""
    if nbytes <= 1024:
        return f"{nbytes} bytes"
    if nbytes <= MiB:
        return f"{nbytes / 1024:.2f} KiB"
    if nbytes <= 1024 * MiB:
        return f"{nbytes / MiB:.2f} MiB"
    return f"{nbytes / (1024 * MiB):.2f} GiB"
