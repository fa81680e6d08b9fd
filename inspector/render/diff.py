"""Two models side by side, as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.lenses.diff import Change, DiffReport

_MOST = 60
"""Rows shown of each table; the JSON has them all."""


def text(report: DiffReport) -> RenderableType:
    """The page `inspector diff` prints."""
    head = heading(
        f"{report.before} -> {report.after}",
        f"{count(report.elements_before)} -> {count(report.elements_after)} elements in all tensors",
    )
    if report.same:
        return page(head, notes(("the same facts, the same tensors",)))
    parts: list[RenderableType] = [head]
    if report.facts:
        parts.append(_table("fact", report.facts, counted=False))
    if report.tensors:
        parts.append(_table("tensor", report.tensors, counted=True))
    return page(*parts)


def _table(title: str, changes: tuple[Change, ...], *, counted: bool) -> RenderableType:
    rows = table(title, "before", "after", *((("tensors", "right"),) if counted else ()))
    for change in changes[:_MOST]:
        # Empty where one model alone has it: a dash shows that nothing was lost in printing.
        cells = [clean(change.name), clean(change.before) or "-", clean(change.after) or "-"]
        rows.add_row(*cells, *((count(change.count),) if counted else ()))
    if len(changes) > _MOST:
        rows.add_row(f"and {count(len(changes) - _MOST)} more")
    return rows


def payload(report: DiffReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.lenses.diff``."""
    return {
        "before": report.before,
        "after": report.after,
        "num_elements_before": report.elements_before,
        "num_elements_after": report.elements_after,
        "same": report.same,
        "facts": [_row(change) for change in report.facts],
        "tensors": rows(report),
    }


def rows(report: DiffReport) -> list[dict[str, Any]]:
    """The tensors that differ, flat."""
    return [{**_row(change), "num_tensors": change.count} for change in report.tensors]


def _row(change: Change) -> dict[str, Any]:
    return {"name": change.name, "before": change.before, "after": change.after}
