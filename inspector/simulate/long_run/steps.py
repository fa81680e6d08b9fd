"""A run's steps through the allocator of one card, one after another, until the last one or until memory is out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.simulate.allocator.allocator import CachingAllocator, OutOfMemoryError
from inspector.simulate.events import Alloc, EmptyCache, Free
from inspector.simulate.long_run.chunks import places
from inspector.simulate.long_run.lanes import Lane, Ready, perform, resolved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.allocator.blocks import Block
    from inspector.simulate.allocator.settings import AllocatorSettings
    from inspector.simulate.long_run.chunks import Place, Slot
    from inspector.simulate.long_run.lanes import Held, Took
    from inspector.simulate.long_run.lengths_traced import TracedLengths

LOADING = -1

QUIET = 32
"""Steps without a new segment for blocks of up to 1 MiB, after which these are taken to find room in what there is.

Where each of them lies is never the same again, so that no step of theirs is remembered; a longer batch is replayed.
"""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Where memory ran out: the step from 0 on (`LOADING` before the first), and in bytes what was asked for then.

    ``allocated`` and ``reserved`` are the allocator's at that moment, after all that was cached had been given back.
    """

    step: int
    requested: int
    allocated: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """The highest bytes allocated and reserved in each step; a step that stopped has none.

    ``gave_back`` are the steps in which cached segments had to go back to the driver before a request was served.
    """

    allocated: tuple[int, ...]
    reserved: tuple[int, ...]
    gave_back: tuple[int, ...]
    stopped: Stopped | None = None

    @property
    def peak_allocated(self) -> int:
        """Over all steps that were done."""
        return max(self.allocated, default=0)

    @property
    def peak_reserved(self) -> int:
        """Over all steps that were done."""
        return max(self.reserved, default=0)


class Card:
    """A card on which a run goes on: its allocator as two lanes, and as one where room is short.

    Args:
        lengths: the chunks of every length.
        settings: the allocator's.
        capacity: bytes that the driver can give the allocator.
    """

    def __init__(self, lengths: TracedLengths, settings: AllocatorSettings, capacity: int) -> None:
        self._lengths = lengths
        self._settings = settings
        self._capacity = capacity
        slots: dict[Slot, int] = {}
        self._lanes = tuple(Lane(settings, is_small=small, slots=slots) for small in (True, False))
        self._states = (0, 0)
        self._reserved = (0, 0)
        self._before: Place = "loading"
        self._ready: dict[tuple[str, int], Ready] = {}
        self._gave_back = False
        self._settled: dict[Place, Took] = {}
        self._quiet = self._most_small = self._longest = 0

    def run(self, steps: Sequence[tuple[int, ...]], *, empty_every: int = 0) -> Replayed:
        """Load, then train; ``steps`` are the padded tokens of each micro-batch, ``empty_every`` counts steps."""
        allocated: list[int] = []
        reserved: list[int] = []
        gave_back: list[int] = []
        number = LOADING
        try:
            self._load()
            for number, step in enumerate(steps):
                self._gave_back = False
                ready = self._of_step(number, step)
                levels = [self._chunk(each, tokens) for each, tokens in zip(ready, step, strict=True)]
                allocated.append(max(peak for peak, _ in levels))
                reserved.append(max(most for _, most in levels))
                if self._gave_back:
                    gave_back.append(number)
                    self._quiet = 0
                self._listen(max(step))
                if empty_every and (number + 1) % empty_every == 0:
                    self._empty()
        except _OutError as out:
            allocator = out.allocator
            stopped = Stopped(number, out.requested, allocator.allocated, allocator.reserved)
            return Replayed(tuple(allocated), tuple(reserved), tuple(gave_back), stopped)
        return Replayed(tuple(allocated), tuple(reserved), tuple(gave_back))

    def _of_step(self, number: int, step: tuple[int, ...]) -> list[Ready]:
        """The chunks of a step; the first one's are its own, as it makes the optimizer's state."""
        found = []
        first = {chunk.shape.place: chunk for chunk in self._lengths.first}
        for place, tokens in zip(places(len(step)), step, strict=True):
            key = ("", -1) if number == 0 else (place, tokens)
            if number == 0:
                found.append(Ready(first[place], self._settings))
            else:
                if key not in self._ready:
                    self._ready[key] = Ready(self._lengths.chunk(place, tokens), self._settings)
                found.append(self._ready[key])
        return found

    def _listen(self, tokens: int) -> None:
        """Count the steps in which small blocks needed nothing new."""
        grown = self._reserved[0] > self._most_small or tokens > self._longest
        self._quiet = 0 if grown else self._quiet + 1
        self._most_small, self._longest = max(self._most_small, self._reserved[0]), max(self._longest, tokens)

    def _empty(self) -> None:
        """``torch.cuda.empty_cache()``; what small blocks get back at once is left to them, once they are quiet."""
        small, large = self._lanes
        small_state, small_reserved = self._states[0], self._reserved[0]
        if self._quiet < QUIET:
            emptied = small.emptied(small_state)
            small_state, small_reserved = emptied.state, emptied.reserved
        after = large.emptied(self._states[1])
        self._now(small_state, after.state, small_reserved, after.reserved)

    def _small(self, ready: Ready, before: Place, tokens: int) -> Took:
        place = ready.chunk.shape.place
        if self._quiet >= QUIET and tokens <= self._longest and place in self._settled:
            return self._settled[place]
        self._settled[place] = took = self._lanes[0].run(self._states[0], ready, before)
        return took

    def _now(self, small: int, large: int, small_reserved: int, large_reserved: int) -> None:
        self._states, self._reserved = (small, large), (small_reserved, large_reserved)

    def _load(self) -> None:
        allocator = CachingAllocator(self._settings, capacity=self._capacity)
        blocks: dict[int, Block] = {}
        for event in self._lengths.before:
            if isinstance(event, Alloc):
                try:
                    blocks[event.block] = allocator.malloc(event.nbytes)
                except OutOfMemoryError:
                    raise _OutError(allocator, event.nbytes) from None
            elif isinstance(event, Free):
                allocator.free(blocks.pop(event.block))
            elif isinstance(event, EmptyCache):
                allocator.empty_cache()
        held = {slot: blocks[block] for block, slot in self._lengths.slots.items()}
        self._take_in(allocator, held)

    def _take_in(self, allocator: CachingAllocator, held: Held) -> None:
        states, reserved = [], []
        for lane, is_small in zip(self._lanes, (True, False), strict=True):
            states.append(lane.take_in(allocator, held_in(held, is_small=is_small)))
            reserved.append(_reserved(allocator, is_small=is_small))
        self._now(states[0], states[1], reserved[0], reserved[1])

    def _chunk(self, ready: Ready, tokens: int) -> tuple[int, int]:
        """Do a micro-batch; returns the highest bytes allocated and reserved."""
        small_lane, large_lane = self._lanes
        before, place = self._before, ready.chunk.shape.place
        beside, sizes = small_lane.sizes(self._states[0])
        others = [
            (number, sizes[slot])
            for number, freed in enumerate(ready.chunk.shape.freed)
            if (slot := resolved(freed, before)) in sizes
        ]
        small = self._small(ready, before, tokens)
        large = large_lane.run(self._states[1], ready, before, beside, others)
        self._before = place
        if small.reserved + large.reserved > self._capacity:
            return self._together(ready, before)
        self._now(small.state, large.state, small.reserved, large.reserved)
        return large.peak, small.reserved + large.reserved

    def _together(self, ready: Ready, before: Place) -> tuple[int, int]:
        """The same where the card has no room for what both lanes would reserve: cached segments go back first."""
        allocator = _Counting(self._settings, capacity=self._capacity)
        held: Held = {}
        for lane, state in zip(self._lanes, self._states, strict=True):
            lane.put_into(allocator, held, state)
        allocator.most = allocator.reserved
        try:
            peak = perform(allocator, held, ready.chunk, ready.both, before)
        except OutOfMemoryError:
            raise _OutError(allocator, allocator.asked) from None
        self._gave_back = self._gave_back or bool(allocator.retries)
        self._take_in(allocator, held)
        return peak, allocator.most


class _Counting(CachingAllocator):
    """Knows the most it had reserved, and what it was asked last."""

    most = 0
    asked = 0

    def malloc(self, nbytes: int, stream: int = 0) -> Block:
        self.asked = nbytes
        block = super().malloc(nbytes, stream)
        self.most = max(self.most, self.reserved)
        return block


class _OutError(Exception):
    def __init__(self, allocator: CachingAllocator, requested: int) -> None:
        super().__init__()
        self.allocator = allocator
        self.requested = requested


def held_in(held: Held, *, is_small: bool) -> Held:
    """Those of one lane."""
    return {slot: block for slot, block in held.items() if block.pool.is_small is is_small}


def _reserved(allocator: CachingAllocator, *, is_small: bool) -> int:
    total = 0
    for first in allocator.heads.values():
        block: Block | None = first
        while block is not None and block.pool.is_small is is_small:
            total += block.size if block.mapped else 0
            block = block.next
    return total
