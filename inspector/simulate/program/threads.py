"""Weights that threads bring to the card while others are quantized there, as transformers 5.0 to 5.3 loads them.

Four threads each take the next weight in order, ask the card for its room and copy it there; the main thread quantizes
what has arrived, in order too, and lets go of it. How fast a thread is, is the machine's matter and changes from run to
run: what loading leaves, and reserves, does so with it. Taken here is that the threads are as fast as each other, that
a weight takes the time of its bytes, and that quantizing, which the card does, takes none.

Source: transformers v5.0.0 core_model_loading.py, ``spawn_materialize`` and ``GLOBAL_WORKERS``; since 5.4 weights that
are quantized on loading are brought in turn (huggingface/transformers#44576).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from inspector.simulate.events import Alloc, Free, Instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.events import Event

THREADS = 4
"""Source: ``GLOBAL_WORKERS``, on a machine of four cores or more."""

ARRIVES = "transformers::_materialize_copy"
"""The source of a block that a weight arrives in."""


def in_threads(events: Sequence[Event], threads: int = THREADS) -> tuple[Event, ...]:
    """Events of weights that arrive in turn, as threads would bring them.

    A weight's own events are its arrival and what follows until the next one arrives; of the last one, until the block
    that it arrived in is free.
    """
    starts = [at for at, event in enumerate(events) if isinstance(event, Alloc) and event.source == ARRIVES]
    if not starts:
        return tuple(events)
    weights = [events[begin:end] for begin, end in zip(starts, [*starts[1:], _end(events, starts[-1])], strict=True)]
    order = _order([_nbytes(weight[0]) for weight in weights], threads)
    there: list[Event] = []
    for number, arrives in order:
        there.extend(weights[number][:1] if arrives else weights[number][1:])
    return (*events[: starts[0]], *there, *events[starts[-1] + len(weights[-1]) :])


def _order(sizes: Sequence[int], threads: int) -> list[tuple[int, bool]]:
    """Each weight twice: when it asks for room on the card (True), and when it is there and quantized (False)."""
    free = [0] * threads
    moments: list[tuple[int, bool, int]] = []
    ready = 0
    for number, nbytes in enumerate(sizes):
        begins = heapq.heappop(free)
        heapq.heappush(free, begins + nbytes)
        # In order: what has arrived waits for those before it.
        ready = max(ready, begins + nbytes)
        # A thread that is done begins with the next weight before the main thread has woken.
        moments += [(begins, False, number), (ready, True, number)]
    return [(number, not quantized) for _, quantized, number in sorted(moments)]


def _end(events: Sequence[Event], start: int) -> int:
    """Where the last weight's events end: with it, if it stays as it arrived."""
    first = events[start]
    for at in range(start + 1, len(events)):
        event = events[at]
        if isinstance(event, Instant):
            break
        if isinstance(event, Free) and isinstance(first, Alloc) and event.block == first.block:
            return at + 1
    return start + 1


def _nbytes(event: Event) -> int:
    return event.nbytes if isinstance(event, Alloc) else 0
