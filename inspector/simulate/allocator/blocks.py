"""The caching allocator's two structures: a block with its neighbours, and a pool of free blocks in best-fit order."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExpandableSegment:
    """Addresses set aside, mapped to memory page by page. ``page`` is 2 MiB in the small pool, 20 in the large."""

    base: int
    size: int
    page: int


class Block:
    """A piece of a segment. ``requested`` is what the program asked for, 0 when free.

    ``mapped`` is False for addresses of an expandable ``segment`` that have no memory behind them.
    Source: ``struct Block``, pytorch ``c10/cuda/CUDACachingAllocator.cpp``.
    """

    __slots__ = ("address", "allocated", "born", "mapped", "next", "pool", "prev", "requested", "segment", "size")

    def __init__(self, pool: Pool, address: int, size: int, segment: ExpandableSegment | None = None) -> None:
        self.pool = pool
        self.address = address
        self.size = size
        self.segment = segment
        self.requested = 0
        self.allocated = False
        self.mapped = True
        self.born = 0
        self.prev: Block | None = None
        self.next: Block | None = None

    def splice(self, before: Block | None, after: Block | None) -> None:
        """Stand between two neighbours."""
        self.prev, self.next = before, after
        if before is not None:
            before.next = self
        if after is not None:
            after.prev = self


class Pool:
    """Free blocks by size, then address; unmapped ones by address.

    Source: ``BlockPool``, ``BlockComparatorSize``, ``BlockComparatorAddress``. ``searches`` counts lookups: the age
    of a cached block, for garbage collection, is how many happened since it was freed. A block serves the ``stream``
    it was made for, and no other: each has a pool of its own.
    """

    __slots__ = ("free", "is_small", "searches", "stream", "unmapped")

    def __init__(self, *, is_small: bool, stream: int = 0) -> None:
        self.is_small = is_small
        self.stream = stream
        self.free: list[tuple[int, int, Block]] = []
        self.unmapped: list[tuple[int, Block]] = []
        self.searches = 0

    def insert(self, block: Block) -> None:
        """Put a block that is not allocated in its place."""
        if block.mapped:
            # The age of a free block counts from here; one that is merged is inserted anew, and young again.
            block.born = self.searches
            # No two blocks have one address, so a comparison never gets as far as the blocks themselves.
            insort(self.free, (block.size, block.address, block))
        else:
            insort(self.unmapped, (block.address, block))

    def remove(self, block: Block) -> None:
        """Take a block that is not allocated out."""
        if block.mapped:
            del self.free[bisect_left(self.free, (block.size, block.address))]
        else:
            del self.unmapped[bisect_left(self.unmapped, (block.address,))]
