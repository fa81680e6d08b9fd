"""A block that another stream used: free at once where the card keeps up, else when the host has waited for it."""

from inspector.memory_kinds import MemoryKind
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.events import Alloc, Free, StreamMark, StreamUse, StreamWait
from inspector.units import MiB


def gathered(number):
    return Alloc(number, 30 * MiB, MemoryKind.TEMPORARIES, stream=1)


USED_AND_FREED = [gathered(0), StreamUse(0, 0), Free(0)]


def test_a_card_that_keeps_up_gives_the_block_again():
    assert replay([*USED_AND_FREED, gathered(1)]).reserved[-1] == 30 * MiB


def test_a_card_that_is_behind_needs_another():
    line = replay([*USED_AND_FREED, gathered(1)], behind=True)
    assert line.reserved[-1] == 60 * MiB
    # What is let go counts as let go: the program has no tensor there.
    assert line.peak_allocated == 30 * MiB


def test_until_the_host_waited_for_the_stream():
    waited = [StreamMark(7, 0), StreamWait(7)]
    assert replay([*USED_AND_FREED, *waited, gathered(1)], behind=True).reserved[-1] == 30 * MiB
    # A mark from before the block was let go says nothing of what came after.
    early = [gathered(0), StreamUse(0, 0), StreamMark(7, 0), Free(0), StreamWait(7), gathered(1)]
    assert replay(early, behind=True).reserved[-1] == 60 * MiB


def test_streams_share_no_block():
    ours = Alloc(1, 30 * MiB, MemoryKind.TEMPORARIES)
    assert replay([gathered(0), Free(0), ours]).reserved[-1] == 60 * MiB
