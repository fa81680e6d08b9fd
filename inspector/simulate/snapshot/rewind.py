"""What a device held when a memory history began: the snapshot at its end, with every entry taken back.

A block freed in the history and allocated before it is known by what was asked for it. When it was handed out larger
(up to 1 MiB, where the rest was not worth a split), the rest is taken for free memory: the one thing not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.simulate.allocator.settings import LARGE_SEGMENT, SMALL_SEGMENT
from inspector.units import TiB

if TYPE_CHECKING:
    from inspector.simulate.snapshot.recording import Entry, Segment

Pool = tuple[int, int, int]
"""Stream and private pool."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a segment at the beginning of the history."""

    address: int
    size: int
    used: bool
    mapped: bool = True


def start_layout(trace: tuple[Entry, ...], segments: tuple[Segment, ...]) -> list[tuple[Pool, bool, bool, list[Chunk]]]:
    """Segments and blocks at the beginning of a history: those of its end, with every entry taken back.

    Raises InspectorError when segments lie over each other, at the end or at the beginning.
    """
    _check_apart([(segment.address, segment.size) for segment in segments])
    ranges = {segment.address: _Range(segment.size, segment.pool, segment.is_expandable) for segment in segments}
    small = {segment.address: segment.is_small for segment in segments}
    used: dict[int, int] = {}
    for segment in segments:
        address = segment.address
        for piece in segment.blocks:
            if piece.active:
                used[address] = piece.size
            address += piece.size
    for entry in reversed(trace):
        if entry.action == "alloc":
            used.pop(entry.address, None)
        elif entry.action == "free_completed":
            used[entry.address] = -(-entry.size // 512) * 512
        elif entry.action in {"segment_alloc", "segment_map"}:
            _take_out(ranges, entry)
        elif entry.action in {"segment_free", "segment_unmap"}:
            _put_back(ranges, entry)
    _check_apart([(address, each.size) for address, each in ranges.items()])
    return [layout for layout in _chunks(ranges, used, small) if layout[3]]  # a segment of no bytes holds nothing


def _check_apart(stretches: list[tuple[int, int]]) -> None:
    """No two stretches of memory, (address, size), have a byte in common."""
    end = 0
    for address, size in sorted(stretches):
        if address < end:
            raise InspectorError(
                f"the snapshot contradicts itself: two segments lie over each other at {address:#x}",
                hint="take it again with torch.cuda.memory._dump_snapshot, while nothing else allocates",
            )
        end = address + size


@dataclass(frozen=True, slots=True)
class _Range:
    """A mapped range of addresses, keyed by its beginning."""

    size: int
    pool: Pool
    expandable: bool


def _put_back(ranges: dict[int, _Range], entry: Entry) -> None:
    """Undo the end of a range; what an expandable segment has mapped side by side is one range."""
    begin, end, expandable = entry.address, entry.address + entry.size, entry.action == "segment_unmap"
    if expandable:
        for address, other in list(ranges.items()):
            if other.expandable and other.pool == entry.pool and address in {end, begin - other.size}:
                del ranges[address]
                begin, end = min(begin, address), max(end, address + other.size)
    ranges[begin] = _Range(end - begin, entry.pool, expandable)


def _take_out(ranges: dict[int, _Range], entry: Entry) -> None:
    """Undo the beginning of a range: cut it out of the one that holds it."""
    for address, old in list(ranges.items()):
        if address <= entry.address < address + old.size:
            del ranges[address]
            if entry.address > address:
                ranges[address] = replace(old, size=entry.address - address)
            end = entry.address + entry.size
            if address + old.size > end:
                ranges[end] = replace(old, size=address + old.size - end)
            return


def _chunks(
    ranges: dict[int, _Range], used: dict[int, int], small: dict[int, bool]
) -> list[tuple[Pool, bool, bool, list[Chunk]]]:
    addresses = sorted(used)
    result: list[tuple[Pool, bool, bool, list[Chunk]]] = []
    at = 0
    for base in sorted(ranges):
        size, pool, expandable = ranges[base].size, ranges[base].pool, ranges[base].expandable
        while at < len(addresses) and addresses[at] < base:
            at += 1
        pieces: list[Chunk] = []
        end = base
        while at < len(addresses) and addresses[at] < base + size:
            address = addresses[at]
            if address > end:
                pieces.append(Chunk(end, address - end, used=False))
            following = addresses[at + 1] if at + 1 < len(addresses) else base + size
            taken = min(used[address], following - address, base + size - address)
            pieces.append(Chunk(address, taken, used=True))
            end = address + taken
            at += 1
        if end < base + size:
            pieces.append(Chunk(end, base + size - end, used=False))
        is_small = small.get(base, bool(size % LARGE_SEGMENT) if expandable else size <= SMALL_SEGMENT)
        last = result[-1] if result else None
        if expandable and last and last[2] and last[0] == pool and last[1] == is_small:
            gap = base - (last[3][-1].address + last[3][-1].size)
            last[3].extend([Chunk(base - gap, gap, used=False, mapped=False)] * bool(gap) + pieces)
        else:
            result.append((pool, is_small, expandable, pieces))
    for _, _, expandable, pieces in result:
        if expandable:
            tail = pieces[-1].address + pieces[-1].size
            pieces.append(Chunk(tail, TiB, used=False, mapped=False))
    return result
