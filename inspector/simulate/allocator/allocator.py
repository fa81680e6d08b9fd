"""PyTorch's CUDA caching allocator in pure Python: one device, its streams, the same blocks in the same segments.

A model of ``DeviceCachingAllocator`` (pytorch ``c10/cuda/CUDACachingAllocator.cpp``); every method names the one it
follows. Two things the driver decides are fixed here: segments lie at ascending addresses, never reused, and
``cudaMalloc`` fails exactly when the segments would exceed ``capacity``. Expandable segments are in `expandable`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Literal

from inspector.simulate.allocator import expandable
from inspector.simulate.allocator.blocks import Block, Pool
from inspector.simulate.allocator.deferred import Deferred
from inspector.simulate.allocator.settings import SMALL_SEGMENT, SMALL_SIZE, AllocatorSettings
from inspector.units import BLOCK_BYTES, MiB

FIRST_ADDRESS = 0x7F00_0000_0000
"""Where the first segment lies; any value will do, this one looks like a CUDA address."""

Action = Literal["alloc", "free_requested", "free_completed", "segment_alloc", "segment_free", "segment_map",
                 "segment_unmap", "oom"]  # fmt: skip
"""What `torch.cuda.memory._snapshot` calls the entries of a device trace."""


class OutOfMemoryError(Exception):
    """No block, no segment, and nothing left to give back: ``torch.cuda.OutOfMemoryError``."""


class CachingAllocator:
    """Serve requests as the real one would.

    ``capacity`` is how many bytes of segments the driver can give (None: no end). ``trace``, when a list is given,
    receives every ``(action, address, bytes)`` in the order PyTorch's memory history records them.
    """

    def __init__(
        self,
        settings: AllocatorSettings | None = None,
        *,
        capacity: int | None = None,
        trace: list[tuple[Action, int, int]] | None = None,
    ) -> None:
        self.settings = settings or AllocatorSettings()
        self.capacity = capacity
        self.trace = trace
        self.small = Pool(is_small=True)
        self.large = Pool(is_small=False)
        self.deferred = Deferred()
        self._pools = {0: (self.large, self.small)}
        self.allocated = 0
        self.reserved = 0
        self.retries = 0
        self.next_address = FIRST_ADDRESS
        self.heads: dict[int, Block] = {}
        # The search for a block is what a replay does most: without these settings it skips their questions.
        self._limit = self.settings.max_split_size
        self._plain = not (self.settings.expandable_segments or self.settings.max_split_size_mb)
        self._collects = self.settings.process_limit is not None and self.settings.garbage_collection_threshold > 0

    def malloc(self, nbytes: int, stream: int = 0) -> Block:
        """Hand out a block of a stream. Source: ``malloc`` and ``alloc_found_block``.

        Raises OutOfMemoryError when the limit leaves no way to serve it.
        """
        size = self.settings.round_size(nbytes)
        # By the rounded size: `get_pool` is asked after `round_size`.
        pool = self.small if size <= SMALL_SIZE else self.large
        if stream:
            pool = self._of_stream(stream)[size <= SMALL_SIZE]
        block = self._best_fit(pool, size) or self._new_segment(pool, size)
        if block.size != size:
            self._split(block, size)
        block.allocated = True
        block.requested = nbytes
        self.allocated += block.size
        if self.trace is not None:
            self.trace.append(("alloc", block.address, nbytes))
        return block

    def free(self, block: Block) -> None:
        """Take a block back and merge it with free neighbours. Source: ``free``, ``free_block``."""
        self.allocated -= block.size
        if self.trace is not None:
            self.trace.append(("free_requested", block.address, block.requested))
        # What no other stream uses waits for nothing, and is free as soon as that is requested.
        if not (self.deferred.uses and self.deferred.let_go(block)):
            self._complete(block)

    def wait(self, mark: int) -> None:
        """The host waited for a mark on a stream; frees that waited for it are complete. Source: ``process_events``."""
        for block in self.deferred.wait(mark):
            self._complete(block)

    def _complete(self, block: Block) -> None:
        """Source: ``free_block``."""
        if self.trace is not None:
            self.trace.append(("free_completed", block.address, block.requested))
        block.allocated = False
        block.requested = 0
        # Asked here too, as most neighbours are in use.
        if block.prev is not None and not block.prev.allocated:
            self.merge(block, block.prev)
        if block.next is not None and not block.next.allocated:
            self.merge(block, block.next)
        # Only now, whole: its place in the pool is by size and address.
        block.pool.insert(block)

    def empty_cache(self) -> None:
        """Give every segment without a live block back. Source: ``release_cached_blocks``, ``release_blocks``."""
        for block in self.deferred.wait_for_all():
            self._complete(block)
        # The large pools first, as `release_cached_blocks` does; the order is that of the trace's entries.
        for pool in (pools[small] for small in (0, 1) for pools in self._pools.values()):
            # Listed before any is released: releasing takes blocks out of the pool that is walked.
            whole = [block for _, _, block in pool.free if block.segment is None]
            partial = [block for _, _, block in pool.free if block.segment is not None]
            for block in whole:
                if block.prev is None and block.next is None:
                    self._release(block)
            for block in partial:
                expandable.unmap(self, block)

    def merge(self, block: Block, other: Block | None) -> None:
        """Swallow a free neighbour. Source: ``try_merge_blocks``."""
        # Addresses without memory and addresses with it stay two blocks.
        if other is None or other.allocated or other.mapped is not block.mapped:
            return
        other.pool.remove(other)
        if block.prev is other:
            if other.prev is None:
                self.heads[other.address] = block
            else:
                other.prev.next = block
            block.address, block.prev = other.address, other.prev
        else:
            block.next = other.next
            if other.next is not None:
                other.next.prev = block
        block.size += other.size

    def driver_has(self, nbytes: int) -> bool:
        """Whether the driver would give that much more."""
        return self.capacity is None or self.reserved + nbytes <= self.capacity

    def address_space(self, nbytes: int) -> int:
        """Set addresses aside for a segment, after all the others."""
        address = self.next_address
        self.next_address += -(-nbytes // SMALL_SEGMENT) * SMALL_SEGMENT
        return address

    def _of_stream(self, stream: int) -> tuple[Pool, Pool]:
        """The large pool and the small one of a stream."""
        if stream not in self._pools:
            self._pools[stream] = Pool(is_small=False, stream=stream), Pool(is_small=True, stream=stream)
        return self._pools[stream]

    def note(self, action: Action, address: int, nbytes: int) -> None:
        """Write an entry of the trace, when there is one."""
        if self.trace is not None:
            self.trace.append((action, address, nbytes))

    def _best_fit(self, pool: Pool, size: int) -> Block | None:
        """Smallest free block that is large enough, taken out of the pool. Source: ``get_free_block``."""
        # Counted whether or not one is found: these searches are the clock of `_collect_garbage`.
        pool.searches += 1
        free = pool.free
        # A size alone sorts before every block of that size: of equals, the lowest address is found.
        at = bisect_left(free, (size,))
        if at == len(free):
            return None
        if not self._plain:
            settings = self.settings
            if settings.expandable_segments:
                at = expandable.prefer(free, at)
            found = free[at][0]
            # A block too large to be split is kept for requests that are as large.
            if size < settings.max_split_size <= found:
                return None
            if size >= settings.max_split_size and found >= size + settings.max_non_split_rounding_mb * MiB:
                return None
        return free.pop(at)[2]

    def _split(self, block: Block, size: int) -> None:
        """Cut what is left over off, if it is worth it. Source: ``should_split``, ``alloc_found_block``."""
        left = block.size - size
        if block.pool.is_small or self.settings.expandable_segments:
            worth = left >= BLOCK_BYTES
        else:
            # A rest of up to 1 MiB would serve no request of the large pool, which begin above it.
            worth = left > SMALL_SIZE and size < self._limit
        if worth:
            rest = Block(block.pool, block.address + size, left)
            rest.segment = block.segment
            rest.prev, rest.next = block, block.next
            if rest.next is not None:
                rest.next.prev = rest
            block.next = rest
            block.size = size
            block.pool.insert(rest)

    def _new_segment(self, pool: Pool, size: int) -> Block:
        """Ask the driver, giving cached segments back when it refuses. Source: the middle of ``malloc``."""
        if self._collects:
            self._collect_garbage()
        block = self._from_driver(pool, size)
        if block is None and self._release_oversize(pool, size):
            block = self._from_driver(pool, size)
        if block is None:
            # Only this counts as a retry in PyTorch's own statistics (`num_alloc_retries`).
            self.retries += 1
            self.empty_cache()
            block = self._from_driver(pool, size)
        if block is None:
            # Where other entries have an address, that of an error has what the device has left.
            self.note("oom", max((self.capacity or 0) - self.reserved, 0), size)
            raise OutOfMemoryError
        return block

    def _from_driver(self, pool: Pool, size: int) -> Block | None:
        """One segment more. Source: ``alloc_block``."""
        nbytes = self.settings.segment_size(size)
        limit = self.settings.process_limit
        # The process's own limit refuses before the driver is asked (`allowed_memory_maximum`).
        if limit is not None and self.reserved + nbytes > limit:
            return None
        if self.settings.expandable_segments:
            return expandable.allocate(self, pool, size)
        if not self.driver_has(nbytes):
            return None
        block = Block(pool, self.address_space(nbytes), nbytes)
        self.heads[block.address] = block
        self.reserved += nbytes
        self.note("segment_alloc", block.address, nbytes)
        return block

    def _release(self, block: Block) -> None:
        """``cudaFree`` a segment that is one free block. Source: ``release_block``."""
        block.pool.remove(block)
        del self.heads[block.address]
        self.reserved -= block.size
        self.note("segment_free", block.address, block.size)

    def _release_oversize(self, pool: Pool, size: int) -> bool:
        """Give back just enough unsplittable blocks. Source: ``release_available_cached_blocks``.

        Blocks of expandable segments cannot be given back whole (``release_block`` asserts it) and are left alone.
        """
        if self.settings.max_split_size_mb is None or self.settings.expandable_segments:
            return False
        wanted = max(size, int(self.settings.max_split_size))
        at = bisect_left(pool.free, (wanted,))
        if at < len(pool.free):
            self._release(pool.free[at][2])
            return True
        # No block alone is enough: from the largest down, until the sum is.
        released = 0
        while released < wanted and pool.free and pool.free[-1][0] >= self.settings.max_split_size:
            released += pool.free[-1][0]
            self._release(pool.free[-1][2])
        return released >= wanted

    def _collect_garbage(self) -> None:
        """Give back the cached segments not used for longest. Source: ``garbage_collect_cached_blocks``."""
        allowed = int(self.settings.garbage_collection_threshold * (self.settings.process_limit or 0))
        wanted = self.reserved - allowed
        # In the large pool alone, as there; of a segment with a live block nothing can be given back.
        ages = {
            block.address: (pool.searches - block.born, block)
            for pool, _ in self._pools.values()
            for _, _, block in pool.free
            if block.prev is None and block.next is None and block.segment is None
        }
        while wanted > 0 and ages:
            # Those at least as old as the mean of what is left go; then the mean is taken anew.
            mean = sum(age for age, _ in ages.values()) / len(ages)
            for address, (age, block) in list(ages.items()):
                if age >= mean:
                    wanted -= block.size
                    self._release(block)
                    del ages[address]
