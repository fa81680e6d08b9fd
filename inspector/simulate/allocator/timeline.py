"""Replay the events of a trace through the caching allocator: what is allocated and reserved after each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.simulate.allocator.allocator import CachingAllocator, OutOfMemoryError
from inspector.simulate.events import (
    Alloc,
    EmptyCache,
    Event,
    Free,
    Mark,
    Stage,
    StreamMark,
    StreamUse,
    StreamWait,
)
from inspector.units import BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inspector.simulate.allocator.blocks import Block
    from inspector.simulate.allocator.settings import AllocatorSettings


@dataclass(frozen=True, slots=True)
class StagePeak:
    """The highest bytes of one stage of one step, and what ``torch.cuda.max_memory_*`` would say at its end.

    ``max_allocated`` and ``max_reserved`` run since the last `Mark` with ``reset``; ``peak_*`` since the stage began.
    ``peak_event`` is the number of the event that first reached ``peak_allocated``; ``end_*`` is what the stage left.
    """

    stage: Stage
    step: int
    peak_allocated: int
    peak_reserved: int
    max_allocated: int
    max_reserved: int
    end_allocated: int
    end_reserved: int
    peak_event: int


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """Where the replay ended: the event that could not be served, and what was asked. All in bytes."""

    event: int
    requested: int
    allocated: int
    reserved: int
    capacity: int | None


@dataclass(frozen=True, slots=True)
class AliveBlock:
    """A block alive at some moment. ``nbytes`` is what the allocator handed out for it, at least ``alloc.nbytes``."""

    alloc: Alloc
    nbytes: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The allocator's two numbers after each event, in bytes, and their peaks.

    ``retries`` counts how often cached segments had to be given back to serve a request
    (``num_alloc_retries`` of ``torch.cuda.memory_stats``). After ``out_of_memory`` nothing more was replayed.
    """

    allocated: tuple[int, ...]
    reserved: tuple[int, ...]
    stages: tuple[StagePeak, ...]
    peak_allocated: int
    peak_reserved: int
    peak_event: int
    retries: int
    out_of_memory: OutOfMemory | None = None

    def alive(self, events: Sequence[Event], at: int | None = None) -> tuple[AliveBlock, ...]:
        """What was alive after event number ``at`` of the same events (default: at the peak), oldest first."""
        last = self.peak_event if at is None else at
        living: dict[int, AliveBlock] = {}
        before = 0
        for event, after in zip(events[: last + 1], self.allocated, strict=False):
            if isinstance(event, Alloc):
                # What was handed out is more than what was asked for: the difference it made is the block.
                living[event.block] = AliveBlock(event, after - before)
            elif isinstance(event, Free):
                del living[event.block]
            before = after
        return tuple(living.values())


def replay(
    events: Iterable[Event],
    settings: AllocatorSettings | None = None,
    *,
    capacity: int | None = None,
    behind: bool = False,
) -> Timeline:
    """Replay events; ``capacity`` is how many bytes the driver can give the allocator (None: no end).

    A block that another stream used is free when that stream is done with it. The card is taken to have kept up with
    its host; ``behind`` takes it to be as late as the host lets it be, which reserves the most.

    A request for no bytes takes no block, as in ``NativeCachingAllocator::allocate``. Out of memory is an answer
    (`Timeline.out_of_memory`), not an error.

    Raises InspectorError when a block is allocated twice or freed without being alive.
    """
    allocator = CachingAllocator(settings, capacity=capacity)
    blocks: dict[int, Block | None] = {}
    allocated: list[int] = []
    reserved: list[int] = []
    marks: list[tuple[int, Mark]] = []
    failure: OutOfMemory | None = None
    # What every event asks for by a name of its own: a long trace has 100,000 of them.
    malloc, free, now, held = allocator.malloc, allocator.free, allocated.append, reserved.append
    for number, event in enumerate(events):
        if isinstance(event, Alloc):
            if event.block in blocks:
                raise InspectorError(f"event {number} allocates block {event.block} again")
            try:
                # Kept though it takes nothing: the trace frees it like any other.
                blocks[event.block] = malloc(event.nbytes, event.stream) if event.nbytes else None
            except OutOfMemoryError:
                # What a program would do after the error is not in its trace: the replay ends here.
                failure = OutOfMemory(number, event.nbytes, allocator.allocated, allocator.reserved, allocator.capacity)
                break
        elif isinstance(event, Free):
            if event.block not in blocks:
                raise InspectorError(f"event {number} frees block {event.block}, not alive")
            if block := blocks.pop(event.block):
                free(block)
        elif isinstance(event, Mark):
            marks.append((number, event))
        elif behind or isinstance(event, EmptyCache):
            on_streams(allocator, blocks, event)
        now(allocator.allocated)
        held(allocator.reserved)
    peak = max(allocated, default=0)
    return Timeline(
        allocated=tuple(allocated),
        reserved=tuple(reserved),
        stages=_stages(marks, allocated, reserved),
        peak_allocated=peak,
        peak_reserved=max(reserved, default=0),
        peak_event=allocated.index(peak) if allocated else -1,
        retries=allocator.retries,
        out_of_memory=failure,
    )


def most_requested(events: Iterable[Event]) -> int:
    """Bytes of what is alive at most, as any allocator has to hold them: in whole blocks of 512 bytes."""
    sizes: dict[int, int] = {}
    now = most = 0
    for event in events:
        if isinstance(event, Alloc):
            sizes[event.block] = size = -(-event.nbytes // BLOCK_BYTES) * BLOCK_BYTES
            now += size
            most = max(most, now)
        elif isinstance(event, Free):
            now -= sizes.pop(event.block)
    return most


def on_streams(
    allocator: CachingAllocator,
    blocks: dict[int, Block | None],
    event: StreamUse | StreamMark | StreamWait | EmptyCache,
) -> None:
    """What keeps a block from being free as soon as it is let go, and what ends that."""
    if isinstance(event, EmptyCache):
        allocator.empty_cache()  # it waits for every stream
    elif isinstance(event, StreamMark):
        allocator.deferred.mark(event.number, event.stream)
    elif isinstance(event, StreamWait):
        allocator.wait(event.number)
    elif (block := blocks.get(event.block)) is not None:
        allocator.deferred.use(block, event.stream)


def _stages(marks: list[tuple[int, Mark]], allocated: list[int], reserved: list[int]) -> tuple[StagePeak, ...]:
    """The peaks of each stage. A mark's own entry is the level the stage starts from, and counts."""
    ends = [begin for begin, _ in marks[1:]] + [len(allocated)] * bool(marks)
    result: list[StagePeak] = []
    max_allocated = max_reserved = 0
    # What came before the first mark counts for ``max_memory_allocated`` until it is reset.
    if marks and not marks[0][1].reset:
        max_allocated, max_reserved = max(allocated[: marks[0][0] + 1]), max(reserved[: marks[0][0] + 1])
    for (begin, mark), end in zip(marks, ends, strict=True):
        if mark.reset:
            max_allocated = max_reserved = 0
        peak, peak_reserved = max(allocated[begin:end]), max(reserved[begin:end])
        max_allocated, max_reserved = max(max_allocated, peak), max(max_reserved, peak_reserved)
        result.append(
            StagePeak(
                stage=mark.stage,
                step=mark.step,
                peak_allocated=peak,
                peak_reserved=peak_reserved,
                max_allocated=max_allocated,
                max_reserved=max_reserved,
                end_allocated=allocated[end - 1],
                end_reserved=reserved[end - 1],
                peak_event=allocated.index(peak, begin, end),
            )
        )
    return tuple(result)
