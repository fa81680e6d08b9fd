"""A trace of many steps in chunks, one a micro-batch: what each allocates and frees, of itself and of those before.

A chunk begins where its inputs are made. The optimizer's work, and what a step frees in the end, is of its last one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from inspector.memory_kinds import MemoryKind
from inspector.simulate.events import Alloc, Free, Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.events import Event

Place = Literal["loading", "first", "second", "middle", "last"]
"""Which of a step's micro-batches: the first, the second, one after it, the last; of one alone, the first."""
PLACES: tuple[Place, ...] = ("first", "second", "middle", "last")

FOR_EVER = -1
"""Instead of a slot: never freed."""


class Slot(NamedTuple):
    """A block that outlives its chunk, by what it is: the same in chunks of one place, whatever their length.

    ``soon`` says that the next chunk frees it.
    """

    place: Place
    what: tuple[object, ...]
    soon: bool = False


class Freed(NamedTuple):
    """A block of an earlier chunk: of the one just before (``place`` None, as any may be), or the last of a place."""

    place: Place | None
    what: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a chunk does, but for sizes.

    ``doing`` has n for the allocation of its n-th block, ~n for its free, and n + `births` for that of the n-th of
    ``freed``. ``kept`` says which blocks outlive it, under which slot, or `FOR_EVER`.
    """

    place: Place
    births: int
    doing: tuple[int, ...]
    freed: tuple[Freed, ...]
    kept: tuple[tuple[int, Slot | int], ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk: its shape, and the bytes asked for each of its blocks, in order."""

    shape: Shape
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """A trace of many steps: the events before the first, and the chunks of each but the last.

    ``slots`` are the blocks of loading that a step frees. Of the last step nobody knows what the next one would free.
    """

    before: tuple[Event, ...]
    slots: dict[int, Slot]
    steps: tuple[tuple[Chunk, ...], ...]


def places(accumulated: int) -> tuple[Place, ...]:
    """Those of a step's micro-batches."""
    between: list[Place] = ["second" if number == 1 else "middle" for number in range(1, accumulated - 1)]
    return ("first", *between, "last") if accumulated > 1 else ("first",)


def cut(events: Sequence[Event], accumulated: int) -> Traced:
    """The chunks of a trace whose steps have so many micro-batches."""
    names = places(accumulated)
    begins = [_inputs_before(events, at) for at, event in enumerate(events) if _begins(event)]
    bounds = [0, *begins, len(events)]
    dies: dict[int, int] = {}
    for number in range(len(bounds) - 1):
        for event in events[bounds[number] : bounds[number + 1]]:
            if isinstance(event, Free):
                dies[event.block] = number
    # Of loading, what is freed later is known by its number.
    loaded = {
        event.block: Slot("loading", (event.block,))
        for event in events[: bounds[1]]
        if isinstance(event, Alloc) and dies.get(event.block, 0) > 0
    }
    slots = dict(loaded)
    chunks: list[Chunk] = []
    for number in range(1, len(bounds) - 1):
        place = names[(number - 1) % len(names)]
        part = events[bounds[number] : bounds[number + 1]]
        chunks.append(_chunk(part, number, place, slots, dies))
    steps = [tuple(chunks[at : at + len(names)]) for at in range(0, len(chunks), len(names))]
    return Traced(tuple(events[: bounds[1]]), loaded, tuple(steps[:-1]))


def _begins(event: Event) -> bool:
    return isinstance(event, Mark) and event.stage == "forward"


def _inputs_before(events: Sequence[Event], at: int) -> int:
    """Where the inputs of the micro-batch begin that is marked here: a loader makes them before its step."""
    begin = at
    while at and isinstance(before := events[at - 1], Alloc | Free):
        at -= 1
        if isinstance(before, Alloc):
            if before.kind is not MemoryKind.INPUTS:
                break
            begin = at  # those of the micro-batch before are freed between
    return begin


def _chunk(
    events: Sequence[Event],
    number: int,
    place: Place,
    slots: dict[int, Slot],
    dies: dict[int, int],
) -> Chunk:
    own: dict[int, int] = {}
    sizes: list[int] = []
    doing: list[int | Freed] = []
    kept: list[tuple[int, Slot | int]] = []
    alike: Counter[tuple[object, ...]] = Counter()
    for event in events:
        if isinstance(event, Alloc):
            block = own[event.block] = len(sizes)
            sizes.append(event.nbytes)
            doing.append(block)
            what = (event.kind, event.module, event.source)
            alike[what] += 1
            death = dies.get(event.block)
            if death is None:
                kept.append((block, FOR_EVER))
            elif death > number:
                slots[event.block] = slot = Slot(place, (*what, alike[what]), soon=death == number + 1)
                kept.append((block, slot))
        elif isinstance(event, Free):
            if event.block in own:
                doing.append(~own[event.block])
            else:
                slot = slots[event.block]
                doing.append(Freed(None if slot.soon else slot.place, slot.what))
    freed = tuple(dict.fromkeys(item for item in doing if isinstance(item, Freed)))
    at = {item: len(sizes) + index for index, item in enumerate(freed)}
    numbers = tuple(at[item] if isinstance(item, Freed) else item for item in doing)
    return Chunk(Shape(place, len(sizes), numbers, freed, tuple(kept)), tuple(sizes))
