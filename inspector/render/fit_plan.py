"""A verdict and what would help, as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.fit import STYLES
from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import MiB, count, mebibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from inspector.fit.plan import Change, FitPlan, Outcome

_WORDS = {"batch_size": "batch size", "seq_len": "tokens a sample", "r": "rank"}


def text(report: FitPlan) -> RenderableType:
    """The page `inspector fit --gpu` prints."""
    setup = report.setup
    what = (
        f"{setup.method}, {setup.batch_size} x {count(setup.seq_len)} tokens, {setup.optimizer}, on {report.gpu.name}"
    )
    return page(
        heading(report.model, what),
        _verdict(report.outcome, report.gpu.name),
        *parts(report),
        notes((*report.assumptions, "MiB = 2^20 bytes.")),
    )


def parts(report: FitPlan) -> list[RenderableType]:
    """What the card cannot do, the changes and the largest settings: also part of a simulated step's page."""
    made: list[RenderableType] = []
    if report.cannot:
        made.append(Text("\n".join(clean(line) for line in report.cannot), style="yellow"))
    if report.changes:
        made.append(_changes("one change, cheapest first", report.changes))
    if report.together:
        made.append(_changes("together, one after the other", report.together))
    elif report.changes and not any(change.outcome.fits for change in report.changes):
        made.append(Text("No run of these changes makes it fit.", style="red"))
    if report.largest:
        rows = table("largest that fits, the rest unchanged", ("", "right"))
        for name, value in report.largest:
            rows.add_row(_WORDS[name], count(value) if value else "none")
        made.append(rows)
    return made


def _verdict(outcome: Outcome, card: str) -> Text:
    sign = "to spare" if outcome.margin_bytes >= 0 else "missing"
    line = f"{outcome.verdict.capitalize()} on a {card}: {mebibytes(abs(outcome.margin_bytes))} {sign}"
    line += f" ({mebibytes(outcome.process_bytes)} of {mebibytes(outcome.usable_bytes)})"
    if outcome.retried:
        line += ", only by giving cached memory back"
    return Text(line, style=f"bold {STYLES[outcome.verdict]}")


def _changes(title: str, changes: Sequence[Change]) -> RenderableType:
    rows = table(title, "cost", ("process MiB", "right"), ("left MiB", "right"), "verdict")
    for change in changes:
        outcome = change.outcome
        rows.add_row(
            clean(change.what),
            change.cost,
            f"{outcome.process_bytes / MiB:,.1f}",
            f"{outcome.margin_bytes / MiB:+,.1f}",
            Text(outcome.verdict, style=STYLES[outcome.verdict]),
        )
    return rows


def payload(report: FitPlan) -> dict[str, Any]:
    """The content of the JSON document ``inspector.fit_plan``."""
    return {
        "model": report.model,
        "gpu": report.gpu.name,
        **_outcome(report.outcome),
        "cannot": list(report.cannot),
        "changes": [_change(change) for change in report.changes],
        "together": [_change(change) for change in report.together],
        "largest": dict(report.largest),
        "assumptions": list(report.assumptions),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "verdict": outcome.verdict,
        "margin_bytes": outcome.margin_bytes,
        "peak_allocated_bytes": outcome.peak_allocated,
        "peak_reserved_bytes": outcome.peak_reserved,
        "process_bytes": outcome.process_bytes,
        "usable_bytes": outcome.usable_bytes,
        "needs_cached_memory_back": outcome.retried,
    }


def _change(change: Change) -> dict[str, Any]:
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in change.settings}
    return {"what": change.what, "cost": change.cost, "settings": settings, **_outcome(change.outcome)}
