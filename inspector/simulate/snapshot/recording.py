"""A real memory snapshot as frozen data: read from ``torch.cuda.memory._dump_snapshot``'s pickle, or from JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from inspector.errors import InspectorError
from inspector.files import read_bytes
from inspector.simulate.snapshot.safe_pickle import MAX_CONTAINERS, plain_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

MAX_FILE_BYTES = 512 * 10**6
"""Largest snapshot read; the recorder's default history of 2^63 entries can make larger ones."""
_MAX_BYTES = 2**63
_STATES = {"active_allocated", "active_pending_free", "active_awaiting_free", "inactive"}
_ACTIONS = {"alloc", "free_requested", "free_completed", "segment_alloc", "segment_free", "segment_map",
            "segment_unmap", "snapshot", "oom", "user_defined"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Piece:
    """A block of a segment: its bytes, and whether a tensor has it (also one waiting for another stream)."""

    size: int
    active: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """Memory the driver gave. ``pool`` is the stream and the private pool (0, 0 for the usual one)."""

    device: int
    address: int
    size: int
    pool: tuple[int, int, int]
    is_small: bool
    is_expandable: bool
    blocks: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing the allocator did, by the name PyTorch gives it. ``address`` is 0 for those without one."""

    action: str
    address: int
    size: int
    pool: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Recording:
    """A snapshot: the segments when it was taken, and the history before it, one tuple of entries a device."""

    segments: tuple[Segment, ...]
    traces: tuple[tuple[Entry, ...], ...]
    settings: str = ""


def read_recording(path: Path) -> Recording:
    """Read a snapshot. The form is told by the first byte: JSON begins with a brace.

    Raises InspectorError when the file is missing, too large, neither JSON nor a pickle of plain data, or no snapshot.
    """
    data = read_bytes(path, limit=MAX_FILE_BYTES)
    return parse_recording(data, str(path))


def parse_recording(data: bytes, name: str) -> Recording:
    """The snapshot in the bytes of a file; ``name`` is for the error. Raises InspectorError when there is none."""
    try:
        return _recording(_json(data) if data.lstrip()[:1] in {b"{", b"["} else plain_data(data))
    except InspectorError as error:
        raise InspectorError(f"cannot read {name} as a memory snapshot: {error.message}", hint=error.hint) from None


def _json(data: bytes) -> Any:
    if data.count(b"{") + data.count(b"[") > MAX_CONTAINERS:
        raise InspectorError(f"it holds more than {MAX_CONTAINERS:,} lists and dictionaries")
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        raise InspectorError(f"it is not JSON: {error.msg} at line {error.lineno}") from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise InspectorError("it is not JSON") from None


def _recording(data: object) -> Recording:
    if not isinstance(data, dict) or "segments" not in data:
        raise InspectorError(
            "it has no segments", hint="write one with torch.cuda.memory._dump_snapshot after _record_memory_history"
        )
    left = [MAX_CONTAINERS]
    segments = _rows(data["segments"], "segments", lambda row: _segment(row, left), left)
    traces = tuple(
        _rows(trace, "device_traces", _entry, left) for trace in _list(data.get("device_traces", []), "device_traces")
    )
    settings = data.get("allocator_settings")
    text = settings.get("PYTORCH_CUDA_ALLOC_CONF", "") if isinstance(settings, dict) else ""
    return Recording(segments, traces, text if isinstance(text, str) else "")


def _segment(row: Mapping[str, object], left: list[int]) -> Segment:
    blocks = _rows(row.get("blocks"), "blocks", _piece, left)
    size = _integer(row, "total_size")
    if sum(block.size for block in blocks) != size:
        raise InspectorError(f"the blocks of the segment at {_integer(row, 'address'):#x} do not add up to its size")
    return Segment(
        device=_integer(row, "device", 0),
        address=_integer(row, "address"),
        size=size,
        pool=_pool(row, "segment_pool_id"),
        is_small=row.get("segment_type") == "small",
        is_expandable=row.get("is_expandable") is True,
        blocks=blocks,
    )


def _piece(row: Mapping[str, object]) -> Piece:
    state = row.get("state")
    if not isinstance(state, str) or state not in _STATES:
        raise InspectorError(f"a block has the unknown state {str(state)[:40]!r}")
    return Piece(_integer(row, "size"), state != "inactive")


def _entry(row: Mapping[str, object]) -> Entry:
    action = row.get("action")
    if not isinstance(action, str) or action not in _ACTIONS:
        raise InspectorError(f"the history has the unknown action {str(action)[:40]!r}")
    return Entry(action, _integer(row, "addr", 0), _integer(row, "size", 0), _pool(row, "pool_id"))


def _pool(row: Mapping[str, object], key: str) -> tuple[int, int, int]:
    private = row.get(key, (0, 0))
    if not isinstance(private, (list, tuple)) or len(private) != 2 or not all(type(part) is int for part in private):
        raise InspectorError(f"{key} is not a pair of integers")
    return (_integer(row, "stream", 0), private[0], private[1])


def _integer(row: Mapping[str, object], key: str, default: int | None = None) -> int:
    value = row.get(key, default)
    if type(value) is not int or not 0 <= value < _MAX_BYTES:
        raise InspectorError(f"{key} is not a number of bytes or an address: {str(value)[:40]}")
    return value


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, (list, tuple)):
        raise InspectorError(f"{name} is not a list")
    return list(value)


def _rows(value: object, name: str, make: Callable[[Mapping[str, object]], T], left: list[int]) -> tuple[T, ...]:
    """Rows of a list of dictionaries; ``left`` bounds how many are made in all, since a pickle can repeat one list."""
    listed = _list(value, name)
    left[0] -= len(listed)
    if left[0] < 0:
        raise InspectorError(f"it has more than {MAX_CONTAINERS:,} blocks and entries")
    rows = [row for row in listed if isinstance(row, dict)]
    if len(rows) < len(listed):
        raise InspectorError(f"{name} holds something that is not a dictionary")
    return tuple(make(row) for row in rows)
