"""The ledger of predictions and measurements as a terminal page, JSON and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.plain import clean
from inspector.render.terminal import NARROW, Responsive, heading, notes, page, table
from inspector.units import count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.simulate.ledger import Ledger, Line


def text(ledger: Ledger) -> RenderableType:
    """The page `inspector validate` prints."""
    return page(
        heading("predicted beside measured", f"{count(len(ledger.lines))} figures in {ledger.seconds:.0f} s"),
        _summary(ledger),
        Responsive(lambda width: _lines(ledger, narrow=width < NARROW)),
        _left_out(ledger),
        notes((*_causes(ledger), _versions(ledger), "MiB = 2^20 bytes. Error is predicted over measured, less one.")),
    )


def _summary(ledger: Ledger) -> Table:
    rows = table("measurements", "figure", ("runs", "right"), ("mean error", "right"), ("worst", "right"), "run")
    for row in ledger.summaries:
        worst = Text(_percent(row.worst), style="red" if abs(row.worst) > 0.01 else "")
        rows.add_row(row.file, row.figure, str(row.count), f"{row.mean:.3%}", worst, clean(row.worst_id))
    return rows


def _lines(ledger: Ledger, *, narrow: bool) -> Table:
    more: tuple[tuple[str, Any], ...] = () if narrow else (("predicted", "right"), ("measured MiB", "right"))
    rows = table("run", "figure", *more, ("error", "right"))
    shown = ""
    for line in ledger.lines:
        question = line.question
        name = f"{question.id} {question.model.rpartition('/')[2]} {question.method} {question.config}"
        cells = () if narrow else (_mib(line.predicted), _mib(line.measured))
        rows.add_row(clean(name if name != shown else ""), line.figure, *cells, _percent(line.error))
        shown = name
    return rows


def _left_out(ledger: Ledger) -> Table:
    rows = table("left out", "because")
    for question in ledger.skipped:
        rows.add_row(clean(f"{question.file} {question.id}"), clean(question.skipped))
    return rows


def _causes(ledger: Ledger) -> list[str]:
    said: dict[str, list[str]] = {}
    for line in ledger.lines:
        for note in line.question.notes:
            runs = said.setdefault(note, [])
            if line.question.id not in runs:
                runs.append(line.question.id)
    return [f"{', '.join(runs)}: {note}" for note, runs in said.items()]


def _versions(ledger: Ledger) -> str:
    now = ", ".join(f"{name} {version}" for name, version in ledger.versions.items())
    return f"predicted with {now}; each run's own versions are in the JSON"


def _mib(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.1f}"


def _percent(share: float) -> str:
    return f"{share:+.3%}"


def payload(ledger: Ledger) -> dict[str, Any]:
    """The content of the JSON document ``inspector.validate``."""
    return {
        "summary": [
            {
                "file": row.file, "figure": row.figure, "runs": row.count,
                "mean_error": row.mean, "worst_error": row.worst, "worst_id": row.worst_id,
            }
            for row in ledger.summaries
        ],
        "lines": records(ledger),
        "skipped": [
            {"file": question.file, "id": question.id, "model": question.model, "because": question.skipped}
            for question in ledger.skipped
        ],
        "versions": ledger.versions,
        "seconds": ledger.seconds,
    }  # fmt: skip


def records(ledger: Ledger) -> list[dict[str, Any]]:
    """One flat record for each figure."""
    return [_record(line) for line in ledger.lines]


def _record(line: Line) -> dict[str, Any]:
    question = line.question
    return {
        "file": question.file, "id": question.id, "model": question.model, "method": question.method,
        "config": question.config, "gpu": question.gpu, "figure": line.figure,
        "predicted_bytes": line.predicted, "measured_bytes": line.measured, "error": line.error,
        "measured_with": " ".join(f"{name}={version}" for name, version in question.versions.items()),
        "notes": "; ".join(question.notes), "source": question.source,
    }  # fmt: skip
