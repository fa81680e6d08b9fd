"""What a dry run says: what was alive at its highest moment, and how it came about. Plain numbers in bytes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from inspector.memory_kinds import MemoryKind
from inspector.simulate.events import Alloc, Event, Free, Mark, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inspector.simulate.allocator.timeline import AliveBlock, Timeline

TIMELINE_POINTS = 2000
LARGEST = 10


@dataclass(frozen=True, slots=True)
class Share:
    """Bytes of a kind, or of a module, alive at the peak."""

    name: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class LiveTensor:
    """A tensor alive at the peak: what the allocator gave it, what it is, who made it."""

    nbytes: int
    kind: str
    module: str
    source: str


@dataclass(frozen=True, slots=True)
class Point:
    """The allocator after an event: bytes allocated and reserved."""

    event: int
    step: int
    stage: Stage
    allocated: int
    reserved: int


@dataclass(frozen=True, slots=True)
class KindLine:
    """Bytes of one kind at each point of a timeline; over all kinds they add up to what is allocated there."""

    kind: str
    nbytes: tuple[int, ...]


def by_kind(alive: Sequence[AliveBlock]) -> tuple[Share, ...]:
    """Bytes of each kind, most first."""
    return _shares(Counter(), ((str(item.alloc.kind), item.nbytes) for item in alive))


def by_module(alive: Sequence[AliveBlock]) -> tuple[Share, ...]:
    """Bytes of each module, the repeated layers taken together (``layers.*``), most first."""
    return _shares(Counter(), ((repeated(item.alloc.module), item.nbytes) for item in alive))


def repeated(module: str) -> str:
    """A module's path with every number in it replaced by a star, and PEFT's wrappers left out."""
    # PEFT names an adapter ``default`` where a script gives it no name.
    short = module.removeprefix("base_model.model.").replace(".base_layer", "").replace(".default", "")
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", short)


def _shares(counts: Counter[str], pairs: Iterable[tuple[str, int]]) -> tuple[Share, ...]:
    for name, nbytes in pairs:
        counts[name] += nbytes
    return tuple(Share(name, nbytes) for name, nbytes in counts.most_common())


def largest(alive: Sequence[AliveBlock], count: int = LARGEST) -> tuple[LiveTensor, ...]:
    """The largest tensors, biggest first."""
    ordered = sorted(alive, key=lambda item: -item.nbytes)[:count]
    return tuple(
        LiveTensor(item.nbytes, str(item.alloc.kind), item.alloc.module, item.alloc.source) for item in ordered
    )


def points(events: Sequence[Event], timeline: Timeline, most: int = TIMELINE_POINTS) -> tuple[Point, ...]:
    """The timeline, thinned: of every stretch of events the lowest and the highest levels are kept.

    No stretch is of two stages, so that the highest bytes of every stage, allocated and reserved, are among the points.
    """
    number_of_events = len(timeline.allocated)
    # Two levels are kept of each stretch, the lowest and the highest.
    stretch = max(1, 2 * number_of_events // most)
    begins = {*range(0, number_of_events, stretch)}
    # A stretch ends where a stage does, else a stage could lose its peak to a higher neighbour.
    begins |= {number for number, event in enumerate(events[:number_of_events]) if isinstance(event, Mark)}
    ordered = [*sorted(begins), number_of_events]
    stage: Stage = "load"
    step = -1
    kept: list[Point] = []
    for begin, end in pairwise(ordered):
        chunk = range(begin, end)
        chosen = {pick(chunk, key=timeline.allocated.__getitem__) for pick in (min, max)}
        chosen.add(max(chunk, key=timeline.reserved.__getitem__))
        event = events[begin]
        if isinstance(event, Mark):
            stage, step = event.stage, event.step
            chosen.add(begin)
        kept += [
            Point(number, step, stage, timeline.allocated[number], timeline.reserved[number])
            for number in sorted(chosen)
        ]
    return tuple(kept)


def kinds_at(events: Sequence[Event], timeline: Timeline, kept: Sequence[Point]) -> tuple[KindLine, ...]:
    """Bytes of every kind at each of the points, in blocks as the allocator hands them out; kinds by their enum."""
    wanted = {point.event for point in kept}
    living: dict[int, tuple[MemoryKind, int]] = {}
    totals: Counter[MemoryKind] = Counter()
    rows: list[dict[MemoryKind, int]] = []
    before = 0
    # Not strict: a replay that ran out of memory ends before its events do.
    for number, (event, after) in enumerate(zip(events, timeline.allocated, strict=False)):
        if isinstance(event, Alloc):
            # The difference is the block handed out, larger than what was asked for.
            living[event.block] = event.kind, after - before
            totals[event.kind] += after - before
        elif isinstance(event, Free):
            kind, nbytes = living.pop(event.block)
            totals[kind] -= nbytes
        if number in wanted:
            rows.append(dict(totals))
        before = after
    seen = [kind for kind in MemoryKind if any(row.get(kind) for row in rows)]
    return tuple(KindLine(str(kind), tuple(row.get(kind, 0) for row in rows)) for kind in seen)
