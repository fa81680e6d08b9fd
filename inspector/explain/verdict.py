"""Truly full or in pieces: what the figures of a message add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from inspector.explain.sizes import as_printed
from inspector.units import GiB

if TYPE_CHECKING:
    from inspector.explain.figures import Figures
    from inspector.explain.sizes import Size

Cause = Literal["full", "fragmented", "other processes", "limit", "spilled", "larger than the card", "unknown"]
"""``limit`` is that of set_per_process_memory_fraction; ``spilled`` is Windows' way of going on in host memory."""

CONTEXT = 1.5 * GiB
"""What a process may hold beside the allocator's segments: a context, NCCL's and cuBLAS's buffers. More than this that
nothing accounts for is taken for another process; measured contexts reach 0.5 GiB, the rest is room for NCCL's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why there was no memory, the sum that shows it, and how much was missing at the least (0: not known)."""

    cause: Cause
    lines: tuple[str, ...]
    missing: int = 0
    others: int = 0


def verdict_of(figures: Figures) -> Verdict:
    """What the figures say together; rounding is allowed for, so that no side is taken where both may be true."""
    tried, allocated, capacity = figures.tried, figures.allocated_by_pytorch, figures.capacity
    if tried is None or allocated is None:
        short = f"{_said(tried)} asked for, {_said(figures.free)} free; " if tried and figures.free else ""
        return Verdict("unknown", (f"{short}the rest is not in the message: why it was full cannot be told",))
    cached = figures.cached_unused
    held = allocated.nbytes + (cached.nbytes if cached else 0)
    lines = [
        f"allocated {_said(allocated)} + cached in no tensor {_said(cached)} = {as_printed(held)} that PyTorch holds"
    ]
    if capacity is not None and figures.free is not None:
        rest = capacity.nbytes - figures.free.nbytes - held
        lines.append(
            f"card {_said(capacity)} - free {_said(figures.free)} - PyTorch's {as_printed(held)} = "
            f"{'-' if rest < 0 else ''}{as_printed(abs(rest))} outside PyTorch's allocator"
        )
    others = _others(figures, held)
    missing = max(tried.nbytes - (figures.free.nbytes if figures.free else 0) - (cached.nbytes if cached else 0), 0)
    cause, why = _cause(figures, tried, allocated, cached, held, others)
    return Verdict(cause, (*lines, why), missing, others)


def _cause(
    figures: Figures, tried: Size, allocated: Size, cached: Size | None, held: int, others: int
) -> tuple[Cause, str]:
    capacity = figures.capacity
    if figures.allowed is not None and held + tried.high > figures.allowed.low:
        return "limit", f"this process was allowed {_said(figures.allowed)}, and with the request it would hold more"
    if capacity is not None and allocated.low > capacity.high:
        return "spilled", "more is allocated than the card has: Windows' driver moves on to host memory, slowly"
    if capacity is not None and tried.low > capacity.high:
        return "larger than the card", f"one tensor of {_said(tried)} is more than the whole card of {_said(capacity)}"
    return _in_pieces_or_full(figures, tried, cached, others)


def _in_pieces_or_full(figures: Figures, tried: Size, cached: Size | None, others: int) -> tuple[Cause, str]:
    free = figures.free
    if cached is not None and cached.low >= tried.high:
        return (
            "fragmented",
            f"{_said(cached)} are cached and {_said(tried)} were asked for: enough, but not in one piece",
        )
    room = tried.nbytes - (free.nbytes if free else 0)
    if others >= max(room, CONTEXT):
        whose = (
            "other processes hold"
            if any(size.nbytes for size in figures.other_processes)
            else ("other processes, or this one beside PyTorch, hold")
        )
        return "other processes", f"{whose} {as_printed(others)} of the card: without that the request would fit"
    if cached is not None and free is not None and cached.low + free.low >= tried.high:
        both = as_printed(cached.nbytes + free.nbytes)
        return (
            "fragmented",
            f"free and cached are {both} together, {_said(tried)} were asked for: enough, but in pieces",
        )
    if cached is not None and free is not None and cached.high + free.high >= tried.low:
        return "unknown", "free and cached together are just what was asked for: by the rounding it cannot be told"
    if free is None:
        return "unknown", "what was free is not in the message: whether it was full cannot be told"
    short = as_printed(max(tried.nbytes - free.nbytes - (cached.nbytes if cached else 0), 0))
    return "full", f"truly full: with all that is free or cached, {short} would still be missing"


def _others(figures: Figures, held: int) -> int:
    """Bytes that other processes hold; those of this one are left out, also where it stands among the others."""
    named = [size for size in figures.other_processes if size.nbytes]
    own = figures.this_process.nbytes if figures.this_process else 0
    if named and not own:
        # In a container a process does not know itself: the smallest that can be it is taken for it.
        mine = min((size.nbytes for size in named if size.high >= held), default=0)
        return sum(size.nbytes for size in named) - mine
    if named:
        return sum(size.nbytes for size in named)
    # Without what is cached, the rest of the card may be the allocator's own.
    if figures.capacity is None or figures.free is None or figures.cached_unused is None:
        return 0
    outside = figures.capacity.nbytes - figures.free.nbytes - max(held, own)
    return outside if outside > CONTEXT else 0


def _said(size: Size | None) -> str:
    if size is None:
        return "(not said)"
    return size.text or f"about {as_printed(size.nbytes)}"
