"""Weights that threads bring while others are quantized (transformers 5.0 to 5.3), and loading without a warm-up."""

from __future__ import annotations

from inspector.memory_kinds import MemoryKind
from inspector.simulate import finetune
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.events import Alloc, Free
from inspector.simulate.program.threads import ARRIVES, THREADS, in_threads
from tests.simulate.conftest import TINY


def weights(sizes):
    """Events of weights in turn: each arrives, a packed one is made of it, and the first is let go."""
    events = []
    for number, nbytes in enumerate(sizes):
        packed = Alloc(2 * number + 1, nbytes // 4, MemoryKind.BASE_WEIGHTS)
        events += [Alloc(2 * number, nbytes, MemoryKind.TEMPORARIES, source=ARRIVES), packed, Free(2 * number)]
    return events


def arrivals(events):
    """Numbers of weights as they arrive, and below zero (~n) as they are let go."""
    return [
        event.block // 2 if isinstance(event, Alloc) else ~(event.block // 2)
        for event in events
        if event.block % 2 == 0
    ]


def test_what_has_arrived_waits_for_a_large_weight_before_it():
    assert arrivals(in_threads(weights([80, 10, 10, 10, 10]), 2)) == [0, 1, 2, 3, 4, ~0, ~1, ~2, ~3, ~4]


def test_weights_of_one_size_are_as_many_as_threads_and_those_that_wait_for_the_main_one():
    alive, most = 0, 0
    for each in arrivals(in_threads(weights([16] * 12), THREADS)):
        alive += 1 if each >= 0 else -1
        most = max(most, alive)
    assert most == 2 * THREADS
    assert arrivals(in_threads(weights([16] * 3), 1)) == [0, 1, ~0, 2, ~1, ~2]


def test_a_program_without_such_weights_stays_as_it_is():
    events = [event for event in weights([16, 16]) if event.block % 2]
    assert in_threads(events) == tuple(events)


def told(events):
    """What an allocator is asked, without the numbers of blocks."""
    return [event.nbytes if isinstance(event, Alloc) else type(event).__name__ for event in events]


def test_a_run_says_so(report):
    """The same blocks in another order, and neither lost: `replay` refuses a free of what is not there."""
    loaded = in_threads(report.events)
    assert sorted(map(repr, loaded)) == sorted(map(repr, report.events))
    assert replay(loaded).stages[0].peak_reserved > report.stages[0].peak_reserved
    asked = {"recipe": "peft-loop", "seq_len": 128, "gpu": "T4", "keep_events": True}
    without = finetune(dict(TINY), **asked, load_threads=True, warm_up=False)
    warm = report.events[1]
    assert isinstance(warm, Alloc)
    assert warm.source == "transformers::caching_allocator_warmup"
    assert told(without.events) == told([event for event in loaded if getattr(event, "block", None) != warm.block])
