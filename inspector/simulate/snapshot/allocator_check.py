"""Judge our allocator by a real one: replay the requests a GPU's memory history recorded, and compare what is held.

Every request and every free of the recording goes to our allocator; every segment it then holds is its own decision.
The recording's own ``segment_*`` entries say what the real one held. A history rarely begins with an empty device:
the segments and blocks of its beginning are worked out backwards from the snapshot's end and put in place first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from inspector.errors import InspectorError
from inspector.reporting import Report
from inspector.simulate.allocator.allocator import CachingAllocator
from inspector.simulate.allocator.blocks import Block, ExpandableSegment
from inspector.simulate.allocator.settings import SMALL_SEGMENT, AllocatorSettings, parse_settings
from inspector.simulate.snapshot.rewind import start_layout
from inspector.units import MiB, TiB

if TYPE_CHECKING:
    from inspector.simulate.snapshot.recording import Entry, Recording, Segment
    from inspector.simulate.snapshot.rewind import Chunk, Pool

_GROWS = {"segment_alloc": 1, "segment_map": 1, "segment_free": -1, "segment_unmap": -1}


@dataclass(frozen=True)
class ReplayReport(Report):
    """Reserved bytes of the real allocator and of ours over one device's history.

    ``reserved`` and ``replayed`` have a value after each entry. ``first_difference`` is the number of the first entry
    after which the two differ for good reason: both have finished serving the request it belongs to.
    """

    kind: ClassVar[str] = "replay"

    device: int
    entries: int
    requests: int
    start_reserved: int
    peak_reserved: int
    peak_replayed: int
    end_reserved: int
    end_replayed: int
    largest_difference: int
    first_difference: int | None
    reserved: tuple[int, ...] = field(repr=False)
    replayed: tuple[int, ...] = field(repr=False)
    notes: tuple[str, ...]


def replay_recording(recording: Recording, device: int = 0, settings: AllocatorSettings | None = None) -> ReplayReport:
    """Replay one device's history. The settings are the recording's own unless given.

    Raises InspectorError when there is no such device or its history is empty.
    """
    if device >= len(recording.traces) or not recording.traces[device]:
        having = [number for number, trace in enumerate(recording.traces) if trace]
        raise InspectorError(
            f"the snapshot has no history of device {device}",
            hint=f"it has one of device {having[0]}" if having else "call torch.cuda.memory._record_memory_history()",
        )
    trace = recording.traces[device]
    segments = tuple(segment for segment in recording.segments if segment.device == device)
    notes: list[str] = []
    settings = settings or _settings(recording, notes)
    grown = sum(_GROWS.get(entry.action, 0) * entry.size for entry in trace)
    # Backwards from the end, which the segments say: the history may begin with memory held.
    start = sum(segment.size for segment in segments) - grown
    replayer = _Replayer(settings, trace, segments)
    if start != replayer.reserved:
        notes.append("the history and the segments do not agree: the snapshot was cut, or taken while memory moved")
    real, ours, compared = [], [], []
    held = start
    for number, entry in enumerate(trace):
        held += _GROWS.get(entry.action, 0) * entry.size
        replayer.play(number, entry)
        real.append(held)
        ours.append(replayer.reserved)
        # In between, one of the two may be halfway through a request.
        if entry.action in {"alloc", "free_completed", "snapshot"}:
            compared.append(number)
    if start and settings.expandable_segments:
        notes.append("addresses that expandable segments had given back before the history began are not known")
    if any(entry.pool[1:] != (0, 0) for entry in trace):
        notes.append("private pools (CUDA graphs) are replayed as pools of their own")
    gaps = [(abs(real[number] - ours[number]), number) for number in compared]
    return ReplayReport(
        device=device,
        entries=len(trace),
        requests=sum(entry.action == "alloc" for entry in trace),
        start_reserved=start,
        peak_reserved=max(real),
        peak_replayed=max(ours),
        end_reserved=real[-1],
        end_replayed=ours[-1],
        largest_difference=max((gap for gap, _ in gaps), default=0),
        first_difference=next((number for gap, number in gaps if gap), None),
        reserved=tuple(real),
        replayed=tuple(ours),
        notes=(*notes, *replayer.notes()),
    )


def _settings(recording: Recording, notes: list[str]) -> AllocatorSettings:
    try:
        settings = parse_settings(recording.settings)
    except InspectorError as error:
        notes.append(f"the recording's allocator settings were not understood ({error.message}); defaults were used")
        settings = AllocatorSettings()
    expandable = any(segment.is_expandable for segment in recording.segments) or any(
        entry.action == "segment_map" for trace in recording.traces for entry in trace
    )
    return replace(settings, expandable_segments=expandable or settings.expandable_segments)


class _Replayer:
    """One allocator for each stream and private pool, since blocks never move between them."""

    def __init__(self, settings: AllocatorSettings, trace: tuple[Entry, ...], segments: tuple[Segment, ...]) -> None:
        self.settings = settings
        self.trace = trace
        self.allocators: dict[Pool, CachingAllocator] = {}
        self.blocks: dict[int, Block] = {}
        self.reserved = 0
        self.unknown = 0
        for pool, small, expandable, pieces in start_layout(trace, segments):
            self._adopt(self._of(pool), small, expandable, pieces)

    def play(self, number: int, entry: Entry) -> None:
        allocator = self._of(entry.pool)
        before = allocator.reserved
        if entry.action == "alloc":
            self.blocks[entry.address] = allocator.malloc(entry.size)
        elif entry.action == "free_completed":
            block = self.blocks.pop(entry.address, None)
            if block is None:
                self.unknown += 1
            else:
                allocator.free(block)
        elif entry.action in {"segment_free", "segment_unmap"}:
            # Given back all at once: empty_cache, or a request the driver refused at first. Ours decides what.
            last = self.trace[number - 1].action if number else ""
            if last not in {"segment_free", "segment_unmap"}:
                for each in self.allocators.values():
                    before_each = each.reserved
                    each.empty_cache()
                    self.reserved += each.reserved - before_each
                return
        self.reserved += allocator.reserved - before

    def notes(self) -> tuple[str, ...]:
        return (f"{self.unknown} frees of blocks that were never seen were skipped",) if self.unknown else ()

    def _of(self, pool: Pool) -> CachingAllocator:
        allocator = self.allocators.get(pool)
        if allocator is None:
            allocator = self.allocators[pool] = CachingAllocator(self.settings)
            # Far apart, so that no two pools ever have a block of one address.
            allocator.next_address += len(self.allocators) * 1024 * TiB
        return allocator

    def _adopt(self, allocator: CachingAllocator, small: bool, expandable: bool, pieces: list[Chunk]) -> None:
        """Put a segment in place as the history found it."""
        pool = allocator.small if small else allocator.large
        base = pieces[0].address
        segment = None
        if expandable:
            page = SMALL_SEGMENT if small else self.settings.large_segment_size_mb * MiB
            segment = ExpandableSegment(base, pieces[-1].address + pieces[-1].size - base, page)
        before: Block | None = None
        for piece in pieces:
            block = Block(pool, piece.address, piece.size, segment)
            block.splice(before, None)
            block.mapped = piece.mapped
            before = block
            if piece.mapped:
                allocator.reserved += piece.size
                self.reserved += piece.size
            if piece.used:
                block.allocated = True
                block.requested = piece.size
                allocator.allocated += piece.size
                self.blocks[piece.address] = block
            else:
                pool.insert(block)
            if block.prev is None:
                allocator.heads[base] = block
