"""Whatever a program does, the allocator's invariants hold, and it agrees with a slow and obvious model of itself."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.memory_kinds import MemoryKind
from inspector.simulate.allocator.allocator import CachingAllocator, OutOfMemoryError
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.allocator.timeline import most_requested, replay
from inspector.simulate.events import Alloc, EmptyCache, Free
from tests.simulate.allocator.slow_model import SlowModel

MiB = 2**20
sizes = st.one_of(
    st.integers(0, 5000),
    st.integers(5000, 3 * MiB),
    st.integers(3 * MiB, 60 * MiB),
    st.sampled_from([512, MiB - 512, MiB, MiB + 1, 10 * MiB - 1, 10 * MiB, 19 * MiB, 20 * MiB, 21 * MiB - 512]),
)


@st.composite
def programs(draw):
    """Allocations, frees of live blocks, and emptied caches, in any order."""
    events, alive = [], []
    for number in range(draw(st.integers(1, 60))):
        what = draw(st.sampled_from("aaaaaffffe"))
        if what == "f" and alive:
            events.append(Free(alive.pop(draw(st.integers(0, len(alive) - 1)))))
        elif what == "e":
            events.append(EmptyCache())
        else:
            events.append(Alloc(number, draw(sizes), MemoryKind.TEMPORARIES))
            alive.append(number)
    return events


any_settings = st.builds(
    AllocatorSettings,
    expandable_segments=st.booleans(),
    max_split_size_mb=st.sampled_from([None, 20, 32]),
    roundup_power2_divisions=st.sampled_from([(), (4,) * 16, (0, 2, 4, 8) * 4]),
    garbage_collection_threshold=st.sampled_from([0.0, 0.5]),
    process_limit=st.sampled_from([None, 150 * MiB]),
)
capacities = st.one_of(st.none(), st.integers(1, 200).map(lambda n: n * MiB))


@settings(max_examples=300, deadline=None)
@given(programs(), capacities)
def test_same_as_the_slow_model(events, capacity):
    slow = SlowModel(capacity)
    fast = replay(events, capacity=capacity)
    for number, event in enumerate(events):
        if isinstance(event, Alloc):
            if not slow.malloc(event.block, event.nbytes):
                assert fast.out_of_memory is not None
                assert fast.out_of_memory.event == number
                return
        elif isinstance(event, Free):
            slow.free(event.block)
        else:
            slow.empty_cache()
        assert (fast.allocated[number], fast.reserved[number]) == (slow.allocated, slow.reserved)
    assert fast.out_of_memory is None


def walk(allocator):
    """Every block of every segment, by following neighbours."""
    for address, head in allocator.heads.items():
        assert head.prev is None
        assert head.address == address
        block = head
        while block is not None:
            yield block
            if block.next is not None:
                assert block.next.prev is block
                assert block.next.address == block.address + block.size
                idle = not block.allocated and not block.next.allocated
                assert not (idle and block.mapped == block.next.mapped), "free neighbours were not merged"
            block = block.next


@settings(max_examples=300, deadline=None)
@given(programs(), any_settings, capacities)
def test_invariants_under_any_settings(events, options, capacity):
    allocator = CachingAllocator(options, capacity=capacity, trace=[])
    alive = {}
    for event in events:
        if isinstance(event, Alloc) and event.nbytes:
            try:
                alive[event.block] = allocator.malloc(event.nbytes)
            except OutOfMemoryError:
                assert capacity is not None or options.process_limit is not None
                break
            assert alive[event.block].size >= options.round_size(event.nbytes) >= event.nbytes
        elif isinstance(event, Free) and event.block in alive:
            allocator.free(alive.pop(event.block))
        elif isinstance(event, EmptyCache):
            allocator.empty_cache()
        blocks = list(walk(allocator))
        spans = sorted((block.address, block.address + block.size) for block in blocks)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), "blocks overlap"
        assert allocator.allocated == sum(block.size for block in blocks if block.allocated)
        assert allocator.reserved == sum(block.size for block in blocks if block.mapped)
        assert allocator.allocated <= allocator.reserved
        assert capacity is None or allocator.reserved <= capacity
        assert {id(b) for b in alive.values()} == {id(b) for b in blocks if b.allocated}
        idle = sum(not block.allocated for block in blocks)
        pools = (allocator.small, allocator.large)
        assert idle == sum(len(pool.free) + len(pool.unmapped) for pool in pools)
    for block in alive.values():
        allocator.free(block)
    assert allocator.allocated == 0
    allocator.empty_cache()
    assert allocator.reserved == 0
    assert not any(block.mapped for block in walk(allocator))
    given_out = sum(n for action, _, n in allocator.trace if action in {"segment_alloc", "segment_map"})
    given_back = sum(n for action, _, n in allocator.trace if action in {"segment_free", "segment_unmap"})
    assert given_out == given_back


@settings(max_examples=100, deadline=None)
@given(programs(), any_settings)
def test_what_is_alive_at_the_peak_adds_up(events, options):
    line = replay(events, options, capacity=None)
    if line.allocated:
        alive = line.alive(events)
        assert sum(block.nbytes for block in alive) == line.peak_allocated == max(line.allocated)
        assert all(block.nbytes >= block.alloc.nbytes for block in alive)


@settings(max_examples=100, deadline=None)
@given(programs(), any_settings)
def test_nothing_is_served_within_less_than_is_alive(events, options):
    most = most_requested(events)
    line = replay(events, options, capacity=None)
    assert line.out_of_memory is not None or line.peak_allocated >= most
    assert not most or replay(events, options, capacity=most - 1).out_of_memory is not None
