"""The two pools of the caching allocator, each a lane that is run by itself, chunk by chunk, and remembered.

No request of up to 1 MiB touches a larger one's segments, so that what both reserve is a sum while the card has room. A
lane that is again as it was does again what it did: of thousands of steps only those are replayed that find it new.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from inspector.simulate.allocator.allocator import CachingAllocator
from inspector.simulate.allocator.blocks import Block, ExpandableSegment
from inspector.simulate.allocator.settings import SMALL_SIZE
from inspector.simulate.long_run.chunks import Slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.allocator.settings import AllocatorSettings
    from inspector.simulate.long_run.chunks import Chunk, Freed, Place

    Held = dict[Slot, Block]

_SEGMENT, _FREE, _FOR_EVER, _UNMAPPED, _SLOT = -1, 0, 1, 2, 3


class Work(NamedTuple):
    """What a lane has to do; ``levels`` are the most bytes of the other lane before it, and after each of ``doing``."""

    doing: tuple[int, ...]
    levels: tuple[int, ...]


class Ready:
    """A chunk made ready: the work of the small lane, of the large one, and of both together."""

    def __init__(self, chunk: Chunk, settings: AllocatorSettings) -> None:
        self.chunk = chunk
        births = chunk.shape.births
        rounded = [settings.round_size(nbytes) for nbytes in chunk.sizes]
        small = [size <= SMALL_SIZE for size in rounded]
        doing = chunk.shape.doing
        # What an earlier chunk allocated may be of either lane.
        self.small = Work(tuple(op for op in doing if op >= births or small[max(op, ~op)]), ())
        large: list[int] = []
        levels = [0]
        level = 0
        for op in doing:
            if op < births and small[max(op, ~op)]:
                level += rounded[op] if op >= 0 else -rounded[~op]
                levels[-1] = max(levels[-1], level)
            else:
                large.append(op)
                levels.append(level)
        self.large = Work(tuple(large), tuple(levels))
        self.both = Work(doing, ())


class Took(NamedTuple):
    """What a chunk left: the number of the lane's state, its segments, the highest bytes of both lanes' blocks."""

    state: int
    reserved: int
    peak: int


class Lane:
    """One pool's states and what each chunk makes of them.

    Args:
        settings: the allocator's.
        is_small: which pool it is.
        slots: numbers of the slots, for both lanes.
    """

    def __init__(self, settings: AllocatorSettings, *, is_small: bool, slots: dict[Slot, int]) -> None:
        self._settings = settings
        self._is_small = is_small
        self._slots = slots
        self._numbers: dict[bytes, int] = {}
        self._states: list[bytes] = []
        self._made: dict[object, Took] = {}
        self._hot: tuple[int, CachingAllocator, Held] | None = None

    def take_in(self, allocator: CachingAllocator, held: Held) -> int:
        """The number of the state that this lane's pool is in."""
        state = written(allocator, held, self._slots, is_small=self._is_small)
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
        return number

    def put_into(self, allocator: CachingAllocator, held: Held, state: int) -> None:
        """Make the pool of an allocator as it was."""
        read_back(self._states[state], allocator, held, list(self._slots), is_small=self._is_small)

    def standing(self, state: int) -> tuple[CachingAllocator, Held]:
        """An allocator with this lane alone, in a state; it may be changed."""
        if self._hot is not None and self._hot[0] == state:
            _, allocator, held = self._hot
        else:
            allocator, held = CachingAllocator(self._settings), {}
            self.put_into(allocator, held, state)
        self._hot = None
        return allocator, held

    def sizes(self, state: int) -> tuple[int, dict[Slot, int]]:
        """Allocated bytes in a state, and those of each block that a later chunk frees."""
        allocator, held = self.standing(state)
        self._hot = state, allocator, held
        return allocator.allocated, {slot: block.size for slot, block in held.items()}

    def run(
        self, state: int, ready: Ready, before: Place, beside: int = 0, others: Sequence[tuple[int, int]] = ()
    ) -> Took:
        """Do a chunk's work; ``others`` are the other lane's blocks among the freed, ``beside`` its bytes before."""
        key = state, id(ready), before, beside, tuple(others)
        if key not in self._made:
            allocator, held = self.standing(state)
            work = ready.small if self._is_small else ready.large
            peak = perform(allocator, held, ready.chunk, work, before, beside, dict(others))
            after = self.take_in(allocator, held)
            self._hot = after, allocator, held
            self._made[key] = Took(after, allocator.reserved, peak)
        return self._made[key]

    def emptied(self, state: int) -> Took:
        """The state after ``torch.cuda.empty_cache()``."""
        if state not in self._made:
            allocator, held = self.standing(state)
            allocator.empty_cache()
            after = self.take_in(allocator, held)
            self._hot = after, allocator, held
            self._made[state] = Took(after, allocator.reserved, allocator.allocated)
        return self._made[state]


def resolved(freed: Freed, before: Place) -> Slot:
    """The slot that is meant, where the chunk before was at this place."""
    return Slot(freed.place or before, freed.what, soon=freed.place is None)


def perform(
    allocator: CachingAllocator,
    held: Held,
    chunk: Chunk,
    work: Work,
    before: Place,
    beside: int = 0,
    others: dict[int, int] | None = None,
) -> int:
    """Allocate and free as a chunk does; returns the highest bytes allocated.

    ``beside`` are bytes of another lane, ``others`` those of its blocks that are freed here, by their number.
    Raises `allocator.OutOfMemoryError`.
    """
    shape, sizes = chunk.shape, chunk.sizes
    births, levels, others = shape.births, work.levels, others or {}
    # Found before any is allocated: a block may take the slot of one that is freed after it.
    refs = [held.pop(resolved(freed, before), None) for freed in shape.freed]
    # What was freed by now wherever it was traced, after a chunk of another alignment.
    late = [slot for slot in held if slot.soon]
    blocks: dict[int, Block] = {}
    malloc, free = allocator.malloc, allocator.free
    peak = allocator.allocated + beside + (levels[0] if levels else 0)
    for at, op in enumerate(work.doing, start=1):
        if op < 0:
            free(blocks.pop(~op))
        elif op < births:
            blocks[op] = malloc(sizes[op])
        else:
            block = refs[op - births]
            if block is not None:
                free(block)
                refs[op - births] = None
            beside -= others.get(op - births, 0)
        now = allocator.allocated + beside + (levels[at] if levels else 0)
        peak = max(peak, now)
    for slot in late:
        free(held.pop(slot))
    for number, kept in shape.kept:
        if number in blocks and isinstance(kept, Slot):
            held[kept] = blocks[number]
    return peak


def written(allocator: CachingAllocator, held: Held, slots: dict[Slot, int], *, is_small: bool) -> bytes:
    """A pool's segments, their blocks and whose they are, without addresses: what happens next goes by no more."""
    tags = {id(block): _SLOT + slots.setdefault(slot, len(slots)) for slot, block in held.items()}
    found = array("q")
    for address in sorted(allocator.heads):
        block: Block | None = allocator.heads[address]
        assert block is not None
        if block.pool.is_small is not is_small:
            continue
        found.extend((_SEGMENT, 0 if block.segment is None else block.segment.size))
        while block is not None:
            free = _FREE if block.mapped else _UNMAPPED
            tag = tags.get(id(block), _FOR_EVER) if block.allocated else free
            found.extend((block.size, tag))
            block = block.next
    return found.tobytes()


def read_back(state: bytes, allocator: CachingAllocator, held: Held, slots: Sequence[Slot], *, is_small: bool) -> None:
    """Put the segments of a state into an allocator; ``held`` gets the blocks that have a slot."""
    numbers = array("q")
    numbers.frombytes(state)
    pool = allocator.small if is_small else allocator.large
    settings = allocator.settings
    page = settings.segment_size(1 if is_small else SMALL_SIZE + 1)
    before: Block | None = None
    segment: ExpandableSegment | None = None
    address = 0
    for size, tag in zip(numbers[::2], numbers[1::2], strict=True):
        if size == _SEGMENT:
            before = None
            # Segments lie one after another; only their order counts.
            address = allocator.next_address
            segment = ExpandableSegment(address, tag, page) if tag else None
            continue
        block = Block(pool, address, size, segment)
        block.mapped = tag != _UNMAPPED
        if before is None:
            allocator.heads[address] = block
        else:
            before.next, block.prev = block, before
        before, address = block, address + size
        allocator.next_address = max(allocator.next_address, address)
        if block.mapped:
            allocator.reserved += size
        if tag in {_FREE, _UNMAPPED}:
            pool.insert(block)
        else:
            block.allocated, block.requested = True, size
            allocator.allocated += size
            if tag >= _SLOT:
                held[slots[tag - _SLOT]] = block
