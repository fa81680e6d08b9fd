"""What we write opens in PyTorch's own tools and reads back; what is read is data, however hostile the file."""

from __future__ import annotations

import json
import pickle
import pickletools
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.events import Alloc, EmptyCache, Free, Mark
from inspector.simulate.snapshot.allocator_check import replay_recording
from inspector.simulate.snapshot.recording import read_recording
from inspector.simulate.snapshot.safe_pickle import plain_data
from inspector.simulate.snapshot.writer import snapshot, write_snapshot

MiB = 2**20


SIZES = (1, 700, 40_000, MiB, 3 * MiB, 11 * MiB, 33 * MiB)
EVEN = (1000, 40_000, MiB - 2000, 12 * MiB - 2000, 20 * MiB - 2000, 34 * MiB - 2000)
"""Sizes whose blocks are always cut to measure: what is left over is worth a split or nothing at all."""


def program(seed, length=400, sizes=SIZES):
    """A run that allocates, frees and now and then empties the cache."""
    chance = random.Random(seed)  # noqa: S311
    events, alive = [Mark("forward", 0)], []
    for number in range(length):
        dice = chance.random()
        if dice < 0.42 and alive:
            events.append(Free(alive.pop(chance.randrange(len(alive)))))
        elif dice < 0.44:
            events.append(EmptyCache())
        else:
            size = chance.choice(sizes) + (chance.randrange(2000) if sizes is SIZES else 2000)
            events.append(Alloc(number, size, MemoryKind.ACTIVATIONS, f"model.layers.{number % 4}", "aten::mm"))
            alive.append(number)
    return events


@pytest.mark.parametrize("name", ["run.pickle", "run.json"])
@pytest.mark.parametrize("expandable", [False, True])
def test_what_is_written_reads_back_and_replays_to_the_byte(tmp_path, name, expandable):
    options = AllocatorSettings(expandable_segments=expandable)
    events = program(1)
    write_snapshot(tmp_path / name, events, options)
    report = replay_recording(read_recording(tmp_path / name))
    line = replay(events, options)
    assert report.first_difference is None
    assert report.peak_reserved == report.peak_replayed == line.peak_reserved
    assert report.end_reserved == line.reserved[-1]
    assert report.requests == sum(isinstance(event, Alloc) for event in events)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.95))
def test_a_history_that_begins_in_the_middle(seed, cut):
    """PyTorch keeps only the last entries; the start is worked out from the end.

    Blocks handed out larger than asked, and freed within the history, are the one thing it cannot know.
    """
    from inspector.simulate.snapshot import recording

    made = snapshot(program(seed, 150, EVEN))
    entries = made["device_traces"][0]
    first = int(len(entries) * cut)
    while first < len(entries) and entries[first]["action"] not in {"segment_alloc", "free_requested"}:
        first += 1
    if first == len(entries):
        return
    made["device_traces"] = [entries[first:]]
    report = replay_recording(recording._recording(made))
    assert not report.notes
    assert report.end_replayed == report.end_reserved
    assert report.first_difference is None


def test_pytorchs_own_tools_open_it(tmp_path):
    from torch.cuda import _memory_viz

    path = tmp_path / "run.pickle"
    write_snapshot(path, program(2))
    data = pickle.loads(path.read_bytes())  # noqa: S301 -- our own file, as PyTorch's tools open it
    assert "segments:" in _memory_viz.segsum(data)
    listing = _memory_viz.trace(data)
    assert "cudaMalloc" in listing
    assert "free completed" in listing
    assert "MemoryViz" in _memory_viz.trace_plot(data)
    assert "MemoryViz" in _memory_viz.segment_plot(data)
    for flames in (_memory_viz.memory, _memory_viz.segments):  # the drawing itself is a script fetched from the network
        assert "active_allocated;inspector:0:" in flames(data, format_flamegraph=str)
    same = _memory_viz.compare(data["segments"], data["segments"], format_flamegraph=str)
    assert "only_before" not in same
    reserved = sum(segment["total_size"] for segment in data["segments"])
    assert reserved == replay(program(2)).reserved[-1]


def test_the_pickle_is_protocol_2_and_plain(tmp_path):
    path = tmp_path / "run.pickle"
    write_snapshot(path, program(3, 40))
    codes = {code.name for code, _, _ in pickletools.genops(path.read_bytes())}
    assert not codes & {"GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "STACK_GLOBAL", "FRAME", "MEMOIZE"}


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.tuples(inner),
    max_leaves=30,
)


@settings(deadline=None)
@given(plain, st.sampled_from([2, 3, 4, 5]))
def test_plain_data_is_read_as_pickle_reads_it(value, protocol):
    assert plain_data(pickle.dumps(value, protocol=protocol)) == value


class Evil:
    """What a hostile pickle does when it is loaded."""

    def __reduce__(self):
        return (pytest.fail, ("the file ran code",))


HOSTILE = {
    "code": pickle.dumps(Evil()),
    "code, protocol 0": pickle.dumps(Evil(), protocol=0),
    "a class": pickle.dumps({"segments": [complex(1, 2)]}, protocol=2),
    "cut short": pickle.dumps({"segments": [1, 2, 3]}, protocol=2)[:-4],
    "a memo index of 4 billion": b"\x80\x02}r\xff\xff\xff\xff.",
    "a string of 16 exabytes": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "an integer of 2 GB": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "no stop": b"\x80\x02}",
    "empty": b"",
    "text": b"hello",
    "deep JSON": b"[" * 100_000,
    "wrong JSON": b'{"segments": [',
    "other JSON": b'{"segment": []}',
    "JSON with a float size": b'{"segments": [{"address": 1, "total_size": 1.5, "blocks": []}]}',
    "JSON with a huge integer": b'{"segments": [{"address": 1, "total_size": ' + b"9" * 4000 + b', "blocks": []}]}',
    "blocks that do not add up": b'{"segments": [{"address": 1, "total_size": 512, "blocks": []}]}',
    "marks without values": b"\x80\x02((((u.",
    "keys that are not strings": pickle.dumps({1: 2}, protocol=2),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_give_one_line(tmp_path, name):
    path = tmp_path / "bad.pickle"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(InspectorError, match=r"cannot read .* as a memory snapshot") as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)


def test_a_list_repeated_by_reference_is_bounded(tmp_path, monkeypatch):
    """Thirty bytes a level double the work: a million million blocks in a kilobyte, were they walked."""
    blocks = [{"size": 1, "state": "inactive"}] * 3000
    data = {"segments": [{"address": 1, "total_size": 3000, "blocks": blocks}] * 100_000}
    path = tmp_path / "bomb.pickle"
    path.write_bytes(pickle.dumps(data, protocol=2))
    monkeypatch.setattr("inspector.simulate.snapshot.recording.MAX_CONTAINERS", 500_000)
    started = time.perf_counter()
    with pytest.raises(InspectorError, match="more than"):
        read_recording(path)
    assert time.perf_counter() - started < 10


def test_a_device_without_history_is_said(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"segments": [], "device_traces": [[], [{"action": "snapshot"}]]}))
    with pytest.raises(InspectorError, match="no history of device 0"):
        replay_recording(read_recording(path))


def test_the_command(tmp_path, capsys):
    write_snapshot(tmp_path / "run.pickle", program(4))
    assert run(["replay", str(tmp_path / "run.pickle"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["format"] == "inspector.replay"
    assert answer["peak_reserved_bytes"] == answer["peak_replayed_bytes"] > 0
    assert run(["replay", str(tmp_path / "run.pickle")]) == 0
    assert "Equal after every request" in capsys.readouterr().out
