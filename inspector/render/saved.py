"""What a training leaves on the disk, as part of its page and of its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.render.terminal import table

if TYPE_CHECKING:
    from rich.table import Table

    from inspector.simulate.reports.saved import Saved


def parts(saved: Saved | None) -> tuple[Table, ...]:
    """The files, and what the machine's memory holds; nothing where nothing was saved."""
    if saved is None:
        return ()
    files = table("saved files", ("MiB", "right"))
    for file in saved.files:
        files.add_row(file.name, _mib(file.nbytes))
    # A sum of one is the line above.
    if len(saved.files) > 1:
        files.add_row("each save", _mib(saved.nbytes))
    if saved.kept > 1:
        files.add_row(f"{saved.kept:,} on the disk, one more as it is written", _mib(saved.disk_bytes))
    host = table("in the machine's memory, each at its time", ("MiB", "right"))
    for each in saved.host:
        host.add_row(each.what, _mib(each.nbytes))
    return files, host


def payload(saved: Saved | None) -> dict[str, Any] | None:
    """The same for JSON."""
    if saved is None:
        return None
    return {
        "files": [{"name": file.name, "bytes": file.nbytes} for file in saved.files],
        "bytes": saved.nbytes,
        "kept": saved.kept,
        "disk_bytes": saved.disk_bytes,
        "host": [{"what": each.what, "bytes": each.nbytes} for each in saved.host],
    }


def _mib(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.1f}" if nbytes >= 2**20 // 20 else f"{nbytes:,} B"
