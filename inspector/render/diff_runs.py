"""What a commit cost, as a terminal page, as JSON and as CSV."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import heading, notes, of_kind, page, table
from inspector.safe_text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from inspector.fit.checks.difference import RunChange, RunsDifference, SizeChange, WordChange

_MOST = 15
"""Rows shown of each table; the JSON has them all."""


def text(report: RunsDifference) -> RenderableType:
    """The page `inspector diff-runs` prints."""
    parts: list[RenderableType] = [heading(f"{report.before} -> {report.after}", *_summary(report))]
    for run in report.runs:
        if run.same and not run.settings and not run.versions:
            if run.name:
                parts.append(Text(f"{clean(run.name)}: not a byte changed", style="bold"))
            continue
        parts += _run(run)
    return page(*parts, notes(("At the peak, in blocks as the allocator hands them out. MiB = 2^20 bytes.",)))


def _summary(report: RunsDifference) -> list[str]:
    said = ["not a byte changed"] if report.same else []
    said += [f"only before: {', '.join(report.gone)}"] if report.gone else []
    return said + ([f"only after: {', '.join(report.new)}"] if report.new else [])


def _run(run: RunChange) -> list[RenderableType]:
    title = f"{run.name}: {run.what}" if run.name else run.what
    parts: list[RenderableType] = [_figures(f"{clean(title)}, {run.form}", run)]
    parts += [_words(title, each) for title, each in
              (("setting", run.settings), ("library", run.versions)) if each]  # fmt: skip
    parts += [_sizes(title, each) for title, each in
              (("by kind", run.kinds), ("by the script's line", run.lines)) if each]  # fmt: skip
    # A script's own lines say more than the modules they make.
    return parts + ([_sizes("by module", run.modules)] if run.modules and not run.lines else [])


def _figures(title: str, run: RunChange) -> Table:
    rows = _table(title)
    for each in run.figures:
        _row(rows, Text(each.name), each)
    return rows


def _table(title: str) -> Table:
    return table(title, ("before", "right"), ("after", "right"), ("MiB more", "right"))


def _sizes(title: str, changes: Sequence[SizeChange]) -> Table:
    rows = _table(title)
    for each in changes[:_MOST]:
        was = f" (was {each.was})" if each.was != each.name else ""
        _row(rows, of_kind(each.name) if not was else Text(clean(each.name + was)), each)
    if len(changes) > _MOST:
        rows.add_row(f"and {len(changes) - _MOST} more")
    return rows


def _row(rows: Table, name: Text, each: SizeChange) -> None:
    style = "red" if each.more > 0 else "green" if each.more < 0 else "dim"
    rows.add_row(name, _mib(each.before), _mib(each.after), Text(f"{each.more / 2**20:+,.1f}", style=style))


def _words(title: str, changes: Sequence[WordChange]) -> Table:
    rows = table(title, "before", "after")
    for each in changes[:_MOST]:
        rows.add_row(clean(each.name), clean(each.before) or "-", clean(each.after) or "-")
    if len(changes) > _MOST:
        rows.add_row(f"and {len(changes) - _MOST} more")
    return rows


def _mib(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.1f}"


def payload(report: RunsDifference) -> dict[str, Any]:
    """The content of the JSON document ``inspector.diff_runs``."""
    return {
        "before": report.before,
        "after": report.after,
        "same": report.same,
        "gone": list(report.gone),
        "new": list(report.new),
        "runs": [
            {
                "name": run.name,
                "what": run.what,
                "kind": run.form,
                "gpu": run.gpu,
                "same": run.same,
                "figures": [_size(each) for each in run.figures],
                "kinds": [_size(each) for each in run.kinds],
                "lines": [_size(each) for each in run.lines],
                "modules": [_size(each) for each in run.modules],
                "settings": [asdict(each) for each in run.settings],
                "versions": [asdict(each) for each in run.versions],
            }
            for run in report.runs
        ],
    }


def _size(each: SizeChange) -> dict[str, Any]:
    return {"name": each.name, "was": each.was, "before_bytes": each.before, "after_bytes": each.after,
            "more_bytes": each.more}  # fmt: skip


def rows(report: RunsDifference) -> list[dict[str, Any]]:
    """A row for each thing that is compared by its bytes."""
    return [
        {"run": run.name, "of": of, **_size(each)}
        for run in report.runs
        for of, changes in (("figure", run.figures), ("kind", run.kinds), ("line", run.lines), ("module", run.modules))
        for each in changes
    ]
