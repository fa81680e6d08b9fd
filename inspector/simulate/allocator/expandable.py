"""Expandable segments: one range of addresses a pool, given memory page by page where it is needed.

Follows ``ExpandableSegment`` and the functions named below, pytorch ``c10/cuda/CUDACachingAllocator.cpp``.
"""

from __future__ import annotations

from typing import Literal, Protocol

from inspector.simulate.allocator.blocks import Block, ExpandableSegment, Pool
from inspector.simulate.allocator.settings import SMALL_SEGMENT, AllocatorSettings
from inspector.units import MiB, TiB

_ENDLESS = 64 * TiB
"""Addresses set aside when the device has no size."""


class Owner(Protocol):
    """What is used of the allocator whose segments these are: its counters, its map of segments, its trace."""

    settings: AllocatorSettings
    capacity: int | None
    reserved: int
    heads: dict[int, Block]

    def merge(self, block: Block, other: Block | None) -> None:
        """Swallow a free neighbour."""

    def driver_has(self, nbytes: int) -> bool:
        """Whether the driver would give that much more."""

    def address_space(self, nbytes: int) -> int:
        """Set addresses aside for a segment."""

    def note(self, action: Literal["segment_map", "segment_unmap"], address: int, nbytes: int) -> None:
        """Write an entry of the trace."""


def prefer(free: list[tuple[int, int, Block]], at: int) -> int:
    """Of the blocks that are large enough, one that can grow the least. Source: ``get_free_block``."""
    # Blocks that could grow are kept for requests that need it.
    while at + 1 < len(free) and _grown(free[at + 1][2]) < _grown(free[at][2]):
        at += 1
    return at


def allocate(allocator: Owner, pool: Pool, size: int) -> Block | None:
    """A free block of at least ``size``, mapping what is missing. Source: ``try_allocate_expandable_block``.

    None when the driver has no more memory; what was mapped before it refused stays, as in PyTorch.
    """
    block: Block | None = _find(allocator, pool, size)
    missing = size
    while block is not None:
        if block.mapped:
            if block.size >= size:
                pool.remove(block)
                return block
            # What is free already counts; only the rest is mapped, right behind it.
            missing, block = size - block.size, block.next
        # No more than the unmapped addresses hold: a mapped block may follow, and the search goes on from there.
        elif not _map(allocator, block, min(block.size, missing)):
            return None
    return None


def unmap(allocator: Owner, block: Block) -> None:
    """Give the whole pages of a free block back. Source: ``unmap_block``, ``release_expandable_segment``."""
    segment, pool = block.segment, block.pool
    assert segment is not None
    # Only whole pages can be given back: what begins or ends within one stays mapped.
    begin = segment.base + -(-(block.address - segment.base) // segment.page) * segment.page
    end = segment.base + (block.address + block.size - segment.base) // segment.page * segment.page
    if begin >= end:
        return
    pool.remove(block)
    if begin > block.address:
        before = Block(pool, block.address, begin - block.address, segment)
        if block.prev is None:
            allocator.heads[before.address] = before
        before.splice(block.prev, block)
        pool.insert(before)
    if block.address + block.size > end:
        after = Block(pool, end, block.address + block.size - end, segment)
        after.splice(block, block.next)
        pool.insert(after)
    block.address, block.size, block.mapped = begin, end - begin, False
    allocator.merge(block, block.prev)
    allocator.merge(block, block.next)
    pool.insert(block)
    allocator.reserved -= end - begin
    allocator.note("segment_unmap", begin, end - begin)
    # Nothing of the segment is mapped any more: its addresses are given up too.
    if block.prev is None and block.next is None:
        pool.remove(block)
        del allocator.heads[block.address]


def _grown(block: Block) -> int:
    after = block.next
    return block.size + (after.size if after is not None and not after.mapped else 0)


def _find(allocator: Owner, pool: Pool, size: int) -> Block:
    """The lowest address with room, in this or a new segment. Source: ``find_expandable_block``."""
    for _, block in pool.unmapped:
        start = block.prev if block.prev is not None and not block.prev.allocated else block
        room, piece = 0, start
        while piece is not None and not piece.allocated and room < size:
            room, piece = room + piece.size, piece.next  # type: ignore[assignment]
        if room >= size:
            return start
    page = SMALL_SEGMENT if pool.is_small else allocator.settings.large_segment_size_mb * MiB
    # An eighth more addresses than memory, for pages that are given back early in a segment and mapped again at its
    # end (the constructor of ``ExpandableSegment``).
    space = allocator.capacity + allocator.capacity // 8 if allocator.capacity else _ENDLESS
    space = -(-space // page) * page
    segment = ExpandableSegment(allocator.address_space(space), space, page)
    block = Block(pool, segment.base, space, segment)
    block.mapped = False
    allocator.heads[block.address] = block
    pool.insert(block)
    return block


def _map(allocator: Owner, block: Block, size: int) -> bool:
    """Put memory behind the first pages of an unmapped block. Source: ``map_block``, ``ExpandableSegment::map``."""
    segment, pool = block.segment, block.pool
    assert segment is not None
    # The driver maps whole pages.
    nbytes = -(-size // segment.page) * segment.page
    if not allocator.driver_has(nbytes):
        return False
    pool.remove(block)
    block.mapped = True
    if nbytes < block.size:
        rest = Block(pool, block.address + nbytes, block.size - nbytes, segment)
        rest.mapped = False
        rest.splice(block, block.next)
        pool.insert(rest)
        block.size = nbytes
    allocator.reserved += nbytes
    allocator.note("segment_map", block.address, nbytes)
    allocator.merge(block, block.prev)
    allocator.merge(block, block.next)
    pool.insert(block)
    return True
