"""An engine's start-up log beside the prediction, as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render import serving, serving_ledger
from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import GiB, count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.explain.startup import StartupReport
    from inspector.validation.serving_lines import LogLine


def text(report: StartupReport) -> RenderableType:
    """The page `inspector explain startup.log` prints."""
    what = f"{report.engine} {report.version}".strip()
    parts: list[RenderableType] = [
        heading(f"start-up of {what}", report.model or "a model that it does not name"),
        _said(report),
    ]
    if report.lines:
        parts.append(_lines(report))
    if report.serving is not None:
        parts.append(serving.waterfall(report.serving))
    return page(*parts, *([notes(report.notes)] if report.notes else []))


def _said(report: StartupReport) -> Text:
    said = Text("it started" if report.started else "it refused to start", style="bold")
    if report.off:
        said.append(f"\nnot as predicted: {', '.join(report.off)}", style="not bold")
    elif report.lines:
        said.append("\nall that can be predicted is as printed, or within its range", style="not bold")
    for line in report.helps:
        said.append(f"\n- {clean(line)}", style="not bold")
    if not report.lines:
        said.append("\n" + clean(", ".join(f"{name} {value}" for name, value in report.printed)), style="not bold")
    return said


def _lines(report: StartupReport) -> Table:
    rows = table("figure", ("printed", "right"), ("predicted", "right"), ("error", "right"), "")
    for line in report.lines:
        style = "red" if line.verdict == "outside" else ""
        rows.add_row(
            line.figure, _figure(line, line.printed), _figure(line, line.predicted), f"{100 * line.error:+.2f} %",
            Text(line.verdict, style=style),
        )  # fmt: skip
    return rows


def _figure(line: LogLine, value: int) -> str:
    if line.unit == "bytes":
        return f"{value / GiB:,.3f} GiB" if value >= GiB // 10 else f"{value:,} B"
    return f"{value / 100:.2f}" if line.unit == "hundredths" else count(value)


def payload(report: StartupReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.startup``."""
    return {
        "source": report.source,
        "engine": report.engine,
        "engine_version": report.version,
        "model": report.model,
        "started": report.started,
        "printed": [{"name": name, "printed": value} for name, value in report.printed],
        "lines": [serving_ledger.row(line) for line in report.lines],
        "off": list(report.off),
        "serving": None if report.serving is None else serving.payload(report.serving),
        "helps": list(report.helps),
        "notes": list(report.notes),
    }
