"""A replayed memory snapshot as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.render.terminal import heading, notes, page, table
from inspector.units import count, mebibytes

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.simulate.snapshot.allocator_check import ReplayReport


def text(report: ReplayReport) -> RenderableType:
    """The page `inspector replay` prints."""
    rows = table("reserved", ("recorded", "right"), ("replayed", "right"), ("difference", "right"))
    for name, real, ours in (
        ("at the peak", report.peak_reserved, report.peak_replayed),
        ("at the end", report.end_reserved, report.end_replayed),
    ):
        # By hand, since mebibytes() writes no plus.
        rows.add_row(name, mebibytes(real), mebibytes(ours), f"{(ours - real) / 2**20:+,.1f} MiB")
    if report.first_difference is None:
        verdict = "Equal after every request and every free."
    else:
        verdict = (
            f"First difference after entry {count(report.first_difference)}, "
            f"largest {mebibytes(report.largest_difference)}."
        )
    facts = f"{count(report.entries)} entries, {count(report.requests)} requests"
    return page(
        heading(f"device {report.device}", facts, f"{mebibytes(report.start_reserved)} reserved when it began"),
        rows,
        notes((verdict, *report.notes)),
    )


def payload(report: ReplayReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.replay``."""
    return {
        "device": report.device,
        "entries": report.entries,
        "requests": report.requests,
        "start_reserved_bytes": report.start_reserved,
        "peak_reserved_bytes": report.peak_reserved,
        "peak_replayed_bytes": report.peak_replayed,
        "end_reserved_bytes": report.end_reserved,
        "end_replayed_bytes": report.end_replayed,
        "largest_difference_bytes": report.largest_difference,
        "first_difference": report.first_difference,
        "notes": list(report.notes),
    }
