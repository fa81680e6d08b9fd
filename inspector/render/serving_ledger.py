"""Engines' logs beside the rules: what is off by how much, as a terminal page, JSON and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import Responsive, heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.validation.serving_ledger import ServingLedger
    from inspector.validation.serving_lines import LogLine

ROOMY = 96
"""From this many columns on a row has both figures, not the error alone."""


def text(ledger: ServingLedger) -> RenderableType:
    """The page `inspector validate serving_vllm` prints: what is not exact, what is left out, the summary last."""
    parts: list[RenderableType] = [
        heading(f"{ledger.name}: predicted beside printed", f"{count(len(ledger.lines))} figures of engines' logs"),
        Responsive(lambda width: _lines(ledger, roomy=width >= ROOMY))
        if any(line.verdict != "exact" for line in ledger.lines) else Text("all of them are exact"),
    ]  # fmt: skip
    if ledger.left_out:
        parts.append(notes(f"left out: {name}: {why}" for name, why in ledger.left_out))
    judged = any(line.of_card for line in ledger.lines)
    parts += [_summary(ledger), notes((_LEGEND, *((_WIDEST,) if judged else ())))]
    return page(*parts)


_LEGEND = (
    "exact: within half of the print's last digit. in range: within what is stated. Blocks, tokens and concurrency are "
    "of the memory that the log prints; the pool is of the command line alone."
)
_WIDEST = "widest: the widest range stated, as a share of the card, of one card without adapters or an encoder."


def _lines(ledger: ServingLedger, *, roomy: bool) -> Table:
    more: tuple[Any, ...] = (("predicted", "right"), ("printed", "right")) if roomy else ()
    rows = table("not exact", "figure", *more, ("error", "right"), "")
    for line in ledger.lines:
        if line.verdict == "exact":
            continue
        figures = (f"{line.predicted:,}", f"{line.printed:,}") if roomy else ()
        style = "red" if line.verdict == "outside" else ""
        rows.add_row(
            clean(line.log), line.figure, *figures, f"{100 * line.error:+.2f} %", Text(line.verdict, style=style)
        )
    return rows


def _summary(ledger: ServingLedger) -> Table:
    summaries = ledger.summaries
    judged = any(found.widest for found in summaries)
    rows = table(
        "figure", ("logs", "right"), ("exact", "right"), ("held", "right"), ("mean", "right"), ("median", "right"),
        ("worst", "right"), *((("widest", "right"),) if judged else ()),
    )  # fmt: skip
    for found in summaries:
        widest = (f"{100 * found.widest:.1f} %" if found.widest else "",) if judged else ()
        rows.add_row(
            found.figure, count(found.count), count(found.exact), count(found.held), f"{100 * found.mean:.2f} %",
            f"{100 * found.median:.2f} %", f"{100 * found.worst:+.2f} %", *widest,
        )  # fmt: skip
    return rows


def payload(ledger: ServingLedger) -> dict[str, Any]:
    """The content of the JSON document ``inspector.serving_ledger``."""
    return {
        "name": ledger.name,
        "lines": rows(ledger),
        "left_out": [{"log": name, "why": why} for name, why in ledger.left_out],
        "summaries": [
            {
                "figure": found.figure, "count": found.count, "exact": found.exact, "held": found.held,
                "mean": found.mean, "median": found.median, "worst": found.worst, "worst_id": found.worst_id,
                "widest": found.widest,
            }
            for found in ledger.summaries
        ],
    }  # fmt: skip


def rows(ledger: ServingLedger) -> list[dict[str, Any]]:
    """One row a figure of a log."""
    return [row(line) for line in ledger.lines]


def row(line: LogLine) -> dict[str, Any]:
    """One figure of a log."""
    return {
        "log": line.log, "figure": line.figure, "predicted": line.predicted, "low": line.low, "high": line.high,
        "printed": line.printed, "unit": line.unit, "doubt": line.doubt, "error": line.error, "verdict": line.verdict,
    }  # fmt: skip
