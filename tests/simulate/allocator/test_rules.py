"""Single rules of the caching allocator, each with the numbers its source gives."""

from __future__ import annotations

import time

import pytest

from inspector.errors import InspectorError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.allocator.settings import AllocatorSettings, parse_settings
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.events import Alloc, EmptyCache, Free, Mark

MiB = 2**20


def alloc(block, nbytes):
    return Alloc(block, int(nbytes), MemoryKind.TEMPORARIES)


@pytest.mark.parametrize(
    ("nbytes", "allocated", "reserved"),
    [
        (1, 512, 2 * MiB),
        (513, 1024, 2 * MiB),
        (MiB, MiB, 2 * MiB),
        (MiB + 1, MiB + 512, 20 * MiB),
        (10 * MiB - 1, 10 * MiB, 10 * MiB),
        (10 * MiB - 512, 10 * MiB - 512, 20 * MiB),
        (10 * MiB + 1, 10 * MiB + 512, 12 * MiB),  # what is left is more than 1 MiB, so it is split off
        (19 * MiB, 20 * MiB, 20 * MiB),
        (525336576, 502 * MiB, 502 * MiB),
    ],
)
def test_one_request(nbytes, allocated, reserved):
    line = replay([alloc(0, nbytes)])
    assert (line.allocated[-1], line.reserved[-1]) == (allocated, reserved)


def test_best_fit_takes_the_tightest_segment():
    events = [alloc(0, 40 * MiB), alloc(1, 30 * MiB), Free(0), Free(1), alloc(2, 29 * MiB)]
    line = replay(events)
    assert line.reserved[-1] == 70 * MiB
    assert line.allocated[-1] == 30 * MiB  # 1 MiB left over is not worth a split in the large pool


def test_retry_gives_cached_segments_back():
    events = [alloc(0, 40 * MiB), Free(0), alloc(1, 50 * MiB)]
    line = replay(events, capacity=60 * MiB)
    assert line.reserved == (40 * MiB, 40 * MiB, 50 * MiB)
    assert line.retries == 1


def test_out_of_memory_is_an_answer():
    line = replay([alloc(0, 40 * MiB), alloc(1, 50 * MiB), Free(0)], capacity=60 * MiB)
    assert line.out_of_memory is not None
    assert line.out_of_memory.event == 1
    assert line.out_of_memory.allocated == 40 * MiB
    assert line.allocated == (40 * MiB,)


def test_a_live_sliver_keeps_its_segment():
    events = [alloc(0, 5 * MiB), alloc(1, 5 * MiB), Free(0), EmptyCache(), Free(1), EmptyCache()]
    assert replay(events).reserved == (20 * MiB,) * 5 + (0,)


def test_expandable_segments_map_pages_and_give_whole_ones_back():
    settings = AllocatorSettings(expandable_segments=True)
    events = [alloc(0, 30 * MiB), alloc(1, 5 * MiB), Free(0), EmptyCache(), alloc(2, 100), Free(1), EmptyCache()]
    line = replay(events, settings)
    # 30 MiB need two 20 MiB pages, 5 MiB fit behind; freeing 30 frees one whole page; the small pool has 2 MiB pages.
    assert line.reserved == tuple(n * MiB for n in (40, 40, 40, 20, 22, 22, 2))


def test_expandable_segments_avoid_fragmentation():
    events = []
    for number in range(10):
        events += [alloc(number, (20 + number) * MiB), Free(number)]
    assert replay(events).peak_reserved > replay(events, parse_settings("expandable_segments:True")).peak_reserved


def test_max_split_size_keeps_large_blocks_whole():
    settings = parse_settings("max_split_size_mb:32")
    events = [alloc(0, 64 * MiB), Free(0), alloc(1, 8 * MiB), alloc(2, 40 * MiB), alloc(3, 50 * MiB)]
    line = replay(events, settings)
    # 8 MiB may not cut the oversize block; 40 may not take it (24 MiB too large); 50 may, and keeps all of it.
    assert line.reserved == tuple(n * MiB for n in (64, 64, 84, 124, 124))
    assert line.allocated[-1] - line.allocated[-2] == 64 * MiB


def test_max_split_size_gives_back_only_what_is_needed():
    settings = parse_settings("max_split_size_mb:32")
    events = [alloc(0, 64 * MiB), alloc(1, 200 * MiB), Free(0), Free(1), alloc(2, 40 * MiB)]
    line = replay(events, settings, capacity=290 * MiB)
    assert line.reserved[-1] == (200 + 40) * MiB
    assert line.retries == 0


def test_garbage_collection_frees_the_oldest_cached_segments():
    settings = AllocatorSettings(garbage_collection_threshold=0.5, process_limit=200 * MiB)
    events = [alloc(0, 60 * MiB), alloc(1, 80 * MiB), Free(0), alloc(2, 90 * MiB)]
    assert replay(events, settings).reserved[-1] == 170 * MiB
    assert replay(events, AllocatorSettings()).reserved[-1] == 230 * MiB


@pytest.mark.parametrize(
    ("text", "nbytes", "rounded"),
    [
        ("roundup_power2_divisions:4", 1200 * 1024, 1280 * 1024),
        ("roundup_power2_divisions:4", 1024 * 1024, 1024 * 1024),
        ("roundup_power2_divisions:[256:1,512:2,>:4]", 100 * MiB + 1, 100 * MiB + 512),
        ("roundup_power2_divisions:[1:1,2:2,>:4]", 2 * MiB + 1, 3 * MiB),
        ("roundup_power2_divisions:[1:1,2:2,>:4]", 33 * MiB, 40 * MiB),
        ("", 1201, 1536),
    ],
)
def test_rounding(text, nbytes, rounded):
    assert parse_settings(text).round_size(nbytes) == rounded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expandable_segment:True", "has no setting 'expandable_segment'"),
        ("expandable_segments:yes", "not a value"),
        ("max_split_size_mb:10", "too small"),
        ("roundup_power2_divisions:3", "powers of two"),
        ("garbage_collection_threshold:1.5", "between 0 and 1"),
        ("backend:cudaMallocAsync", "cannot be replayed"),
        ("max_split_size_mb:lots", "not a value"),
    ],
)
def test_bad_settings(text, message):
    with pytest.raises(InspectorError, match=message):
        parse_settings(text)


def test_settings_that_touch_only_the_host_change_nothing():
    assert parse_settings("backend:native,pinned_num_register_threads:8") == AllocatorSettings()


def test_stage_peaks_and_resets():
    events = [
        Mark("load", -1),
        alloc(0, 100 * MiB),
        alloc(1, 50 * MiB),
        Free(1),
        Mark("forward", 0, reset=True),
        alloc(2, 20 * MiB),
        Free(2),
        Mark("backward", 0),
        alloc(3, 10 * MiB),
    ]
    load, forward, backward = replay(events).stages
    assert (load.peak_allocated, load.end_allocated, load.peak_event) == (150 * MiB, 100 * MiB, 2)
    assert (forward.peak_allocated, forward.max_allocated) == (120 * MiB, 120 * MiB)
    assert (backward.peak_allocated, backward.max_allocated) == (110 * MiB, 120 * MiB)
    assert (backward.max_reserved, load.max_reserved) == (150 * MiB, 150 * MiB)


def test_no_bytes_take_no_block():
    assert replay([alloc(0, 0), Free(0)]).peak_reserved == 0


@pytest.mark.parametrize("events", [[Free(7)], [alloc(7, 1), alloc(7, 1)]])
def test_a_broken_trace_is_refused(events):
    with pytest.raises(InspectorError, match="block 7"):
        replay(events)


def test_half_a_million_events_in_seconds():
    events = []
    for number in range(250_000):
        events.append(alloc(number, (number * 7919) % (3 * MiB) + 1))
        if number >= 3000:
            events.append(Free(number - 3000))
    started = time.perf_counter()
    replay(events)
    assert time.perf_counter() - started < 8  # about 2 s on a quiet core
