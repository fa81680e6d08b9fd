"""The ledger of predictions and measurements as a terminal page, JSON and CSV."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import Responsive, heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import count
from inspector.validation.known_versions import known_differences
from inspector.validation.ledger_by_set import record_sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from inspector.render.charts import Chart
    from inspector.validation.ledger import Ledger, Line
    from inspector.validation.ledger_by_set import RecordSet
    from inspector.validation.published_run import Question

ROOMY = 96
"""From this many columns on, a run is named with its model, and the summary with what the errors are held to."""


def text(ledger: Ledger) -> RenderableType:
    """The page `inspector validate` prints: run by run, what is known of the errors, and the summary last."""
    sets = record_sets(ledger)
    return page(
        heading("predicted beside measured", f"{count(len(ledger.lines))} figures in {ledger.seconds:.0f} s"),
        *(part for found in sets for part in _set(found)),
        Responsive(lambda width: _summary(sets, roomy=width >= ROOMY)),
        notes((_versions(ledger), "Errors are predicted over measured, less one. Bytes: --json, --csv, --output.")),
    )


def charts(ledger: Ledger) -> tuple[Chart, ...]:
    """Predicted against measured, and the errors of each set of runs."""
    from inspector.render.charts.ledger import ledger_charts

    return ledger_charts(record_sets(ledger))


def _set(found: RecordSet) -> list[RenderableType]:
    """One set of records: a row a run, then the notes that the rows' numbers name, then what was left out."""
    facts = [f"{_runs_of(len(found.runs))}, errors in %"] if found.runs else []
    parts: list[RenderableType] = [heading(found.title, *facts)]
    if found.runs:
        parts.append(Responsive(lambda width: _runs(found, roomy=width >= ROOMY)))
    if said := _said(found):
        parts.append(notes(said))
    return parts


def _runs(found: RecordSet, *, roomy: bool) -> Table:
    figures = [summary.figure for summary in found.summaries]
    rows = table("run", *((name.replace("_", " "), "right") for name in figures), ("note", "right"))
    for run in found.runs:
        errors = {line.figure: line.error for line in found.lines if line.question.id == run.id}
        about = ",".join(str(number) for number, cause in enumerate(found.causes, 1) if run.id in cause.runs)
        cells = [_signed(errors[name]) if name in errors else "" for name in figures]
        rows.add_row(clean(_name(run, roomy=roomy)), *cells, about)
    return rows


def _name(run: Question, *, roomy: bool) -> str:
    model = run.model.rpartition("/")[2]
    return " ".join(part for part in (run.id, model if roomy else "", run.method, run.config) if part)


def _said(found: RecordSet) -> list[str]:
    """What is known of the errors, which versions differ, and what was left out: the sentence, then how many."""
    lines = [f"{number}  {cause.note} ({_runs_of(len(cause.runs))})" for number, cause in enumerate(found.causes, 1)]
    # Sorted first: groupby joins neighbours only.
    groups = groupby(sorted(found.runs, key=found.differs), key=found.differs)
    lines += [f"not understood: {item.note} ({_runs_of(len(item.runs))})" for item in found.not_understood]
    lines += [f"measured with {'; '.join(said)} ({_runs_of(len(list(runs)))})" for said, runs in groups if said]
    lines += [f"known to differ: {item.note} ({_runs_of(len(item.runs))})" for item in found.known]
    why = groupby(sorted(found.skipped, key=lambda run: run.skipped), key=lambda run: run.skipped)
    return lines + [f"left out: {reason} ({_runs_of(len(list(runs)))})" for reason, runs in why]


def _runs_of(number: int) -> str:
    return f"{count(number)} run{'' if number == 1 else 's'}"


def _summary(sets: Sequence[RecordSet], *, roomy: bool) -> Table:
    held = (("held to", "right"),) if roomy else ()
    rows = table("measurements", "figure", ("runs", "right"), ("mean", "right"), ("worst", "right"), *held, "worst in")
    for found in sets:
        shown = found.title
        for row in found.summaries:
            bound = found.bound(row)
            missed = bound is not None and not bound.met(row)
            cells: list[str | Text] = [
                str(row.count),
                # Three digits, since what they are held to begins at 0.005 %.
                f"{row.mean:.3%}",
                Text(f"{row.worst:+.2%}", style="red" if missed else ""),
            ]
            cells += ["" if bound is None else str(bound)] if roomy else []
            rows.add_row(shown, row.figure.replace("_", " "), *cells, clean(row.worst_id))
            shown = ""
    return rows


def _versions(ledger: Ledger) -> str:
    now = ", ".join(f"{name} {version}" for name, version in ledger.versions.items())
    return f"predicted with {now}; each run's own versions are in the JSON"


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}"


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
        # Only figures in bytes have the two keys that say so.
        "lines": [{name: value for name, value in row.items() if value is not None} for row in rows(ledger)],
        "skipped": [
            {"file": question.file, "id": question.id, "model": question.model, "because": question.skipped}
            for question in ledger.skipped
        ],
        "not_understood": [
            {"file": question.file, "id": question.id, "field": field, "value": value}
            for question in ledger.runs
            for field, value in question.not_understood
        ],
        "versions": ledger.versions,
        "seconds": ledger.seconds,
    }  # fmt: skip


def rows(ledger: Ledger) -> list[dict[str, Any]]:
    """One row for each figure; what is in bytes is there once more under names that say so."""
    return [_record(line) for line in ledger.lines]


def _record(line: Line) -> dict[str, Any]:
    question, of_bytes = line.question, line.unit == "bytes"
    return {
        "file": question.file, "id": question.id, "model": question.model, "method": question.method,
        "config": question.config, "gpu": question.gpu, "figure": line.figure, "unit": line.unit,
        "predicted": line.predicted, "measured": line.measured,
        "predicted_bytes": line.predicted if of_bytes else None,
        "measured_bytes": line.measured if of_bytes else None, "error": line.error,
        "measured_with": " ".join(f"{name}={version}" for name, version in question.versions.items()),
        "known_to_differ": "; ".join(map(str, known_differences(question))),
        "notes": "; ".join(question.notes), "source": question.source,
    }  # fmt: skip
