"""PyTorch's memory snapshot: write a simulated run in the format its own viewer opens.

The structure is that of ``torch.cuda.memory._snapshot`` (torch/cuda/memory.py, and ``THCPModule_memorySnapshot`` in
torch/csrc/cuda/Module.cpp): segments with their blocks, and what the allocator did, one list of entries a device.
"""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import write_output
from inspector.simulate.allocator.allocator import CachingAllocator, OutOfMemoryError
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.allocator.timeline import on_streams
from inspector.simulate.events import Alloc, EmptyCache, Event, Free, StreamMark, StreamUse, StreamWait

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from inspector.simulate.allocator.allocator import Action
    from inspector.simulate.allocator.blocks import Block

Frames = list[dict[str, Any]]


def snapshot(
    events: Iterable[Event], settings: AllocatorSettings | None = None, *, capacity: int | None = None
) -> dict[str, Any]:
    """What ``torch.cuda.memory._snapshot()`` would say after these events, on one device and one stream.

    The stack of an allocation has two frames: the operator, with the module in the place of the file's name, and the
    kind of memory. Time is the number of the entry, in microseconds.
    """
    settings = settings or AllocatorSettings()
    recorder = _Recorder(settings, capacity)
    for event in events:
        recorder.play(event)
        if recorder.failed:
            break
    return {
        "segments": recorder.segments(),
        "device_traces": [recorder.entries],
        "allocator_settings": _settings(settings),
        "external_annotations": [],
    }


def write_snapshot(
    path: Path, events: Iterable[Event], settings: AllocatorSettings | None = None, *, capacity: int | None = None
) -> None:
    """Write a simulated run to a file: JSON when its name ends in ``.json``, else the pickle PyTorch's viewer opens.

    The pickle is protocol 2 and holds dictionaries, lists, tuples, strings and numbers only.

    Raises InspectorError when the file cannot be written.
    """
    made = snapshot(events, settings, capacity=capacity)
    as_json = path.suffix.lower() == ".json"
    write_output(path, json.dumps(made).encode() if as_json else pickle.dumps(made, protocol=2))


class _Recorder:
    """An allocator whose trace entries carry the frames of the event that caused them."""

    def __init__(self, settings: AllocatorSettings, capacity: int | None) -> None:
        self.log: list[tuple[Action, int, int]] = []
        self.allocator = CachingAllocator(settings, capacity=capacity, trace=self.log)
        self.entries: list[dict[str, Any]] = []
        self.failed = False
        self.alive: dict[int, tuple[Block | None, Frames]] = {}
        self.frames_at: dict[int, Frames] = {}
        self._known: dict[tuple[str, str, str], Frames] = {}

    def play(self, event: Event) -> None:
        frames: Frames = []
        stream = 0
        if isinstance(event, Alloc):
            stream = event.stream
            frames = self._frames(event)
            try:
                block = self.allocator.malloc(event.nbytes, event.stream) if event.nbytes else None
            except OutOfMemoryError:
                self.failed = True
            else:
                self.alive[event.block] = block, frames
                if block is not None:
                    self.frames_at[block.address] = frames
        elif isinstance(event, Free):
            if event.block not in self.alive:
                raise InspectorError(f"the trace frees block {event.block}, which is not alive")
            block, frames = self.alive.pop(event.block)
            if block is not None:
                self.allocator.free(block)
        elif isinstance(event, EmptyCache):
            self.allocator.empty_cache()
        elif isinstance(event, (StreamMark, StreamUse, StreamWait)):
            on_streams(self.allocator, {number: block for number, (block, _) in self.alive.items()}, event)
        self._write(frames, stream)

    def _write(self, frames: Frames, stream: int) -> None:
        for action, address, nbytes in self.log:
            # What the viewer shows of an error is the memory left, which PyTorch keeps under this name.
            where = {"device_free": address} if action == "oom" else {"addr": address}
            number = len(self.entries)
            self.entries.append(
                {"action": action, **where, "size": nbytes, "stream": stream, "frames": frames, "time_us": number}
            )
        self.log.clear()

    def segments(self) -> list[dict[str, Any]]:
        """Every segment; of an expandable one, every contiguous mapped range, as PyTorch reports them."""
        result: list[dict[str, Any]] = []
        for head in sorted(self.allocator.heads.values(), key=lambda block: block.address):
            run: list[Block] = []
            block: Block | None = head
            while block is not None:
                if block.mapped:
                    run.append(block)
                if run and (not block.mapped or block.next is None):
                    result.append(self._segment(run))
                    run = []
                block = block.next
        return result

    def _segment(self, blocks: list[Block]) -> dict[str, Any]:
        first = blocks[0]
        used = sum(block.size for block in blocks if block.allocated)
        return {
            "device": 0,
            "address": first.address,
            "total_size": sum(block.size for block in blocks),
            "allocated_size": used,
            "active_size": used,
            "requested_size": sum(block.requested for block in blocks),
            "stream": first.pool.stream,
            "segment_type": "small" if first.pool.is_small else "large",
            "segment_pool_id": (0, 0),
            "is_expandable": first.segment is not None,
            "frames": [],
            "blocks": [
                {
                    "address": block.address,
                    "size": block.size,
                    "requested_size": block.requested,
                    "state": "active_allocated" if block.allocated else "inactive",
                    "frames": self.frames_at.get(block.address, []) if block.allocated else [],
                }
                for block in blocks
            ],
        }

    def _frames(self, event: Alloc) -> Frames:
        key = (event.source, event.module, event.kind.value)
        # One list for all allocations alike: pickle writes an object once, and the file would be many times as large.
        frames = self._known.get(key)
        if frames is None:
            frames = self._known[key] = [
                {"name": event.source or "?", "filename": event.module, "line": 0},
                {"name": event.kind.value, "filename": "inspector", "line": 0},
            ]
        return frames


def _settings(settings: AllocatorSettings) -> dict[str, Any]:
    """The ``allocator_settings`` of a snapshot; no limit on splitting is -1, as PyTorch's int64 of SIZE_MAX is."""
    limit = settings.max_split_size_mb
    parts = [f"expandable_segments:{settings.expandable_segments}"]
    parts += [f"max_split_size_mb:{limit}"] if limit is not None else []
    divisions = settings.roundup_power2_divisions or (0,) * 16
    return {
        "PYTORCH_CUDA_ALLOC_CONF": ",".join(parts),
        "max_split_size": -1 if limit is None else int(settings.max_split_size),
        "garbage_collection_threshold": settings.garbage_collection_threshold,
        "expandable_segments": settings.expandable_segments,
        "pinned_num_register_threads": 1,
        "release_lock_on_cudamalloc": False,
        "pinned_use_cuda_host_register": False,
        "roundup_power2_divisions": {str(2**power): value for power, value in enumerate(divisions)},
    }
