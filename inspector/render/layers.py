"""The layer listing as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import NARROW, Responsive, heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import count, percent, short_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.lenses.layers import LayerRow, LayersReport

PART_STYLES = {
    "embedding": "blue", "attention": "yellow", "mlp": "green", "expert": "magenta", "norm": "dim", "head": "cyan",
    "other": "",
}  # fmt: skip


MOST = 5_000
"""Lines of a page; laying out a line takes a quarter of a millisecond."""


def text(report: LayersReport) -> RenderableType:
    """The page `inspector layers` prints."""
    return page(
        heading(f"{report.model}  {report.architecture}"),
        Responsive(lambda width: _listing(report, narrow=width < NARROW)),
        _totals(report),
        notes(report.assumptions),
    )


def _listing(report: LayersReport, *, narrow: bool) -> Table:
    columns = (
        ("module", ("parameters", "right"))
        if narrow
        else ("module", "what", ("parameters", "right"), ("share", "right"))
    )
    lines = table(*columns)
    # A folded name looks like two modules. A narrow terminal leaves no choice, for no letter may be lost.
    lines.columns[0].no_wrap = not narrow
    for row in report.rows[:MOST]:
        name = Text("  " * row.depth + clean(row.name), style="bold" if row.is_layer else PART_STYLES[row.part])
        # Of all copies, so that the shares of a level add up; the number beside it is of one.
        share = percent(row.total_parameters, report.num_parameters) if row.parameters else ""
        parameters = count(row.parameters) if row.parameters else ""
        lines.add_row(*((name, parameters) if narrow else (name, _what(row), parameters, share)))
    if (left := len(report.rows) - MOST) > 0:
        lines.add_row(f"and {count(left)} more lines: choose with --filter, or print all as --json")
    return lines


def _what(row: LayerRow) -> Text:
    if row.is_layer:
        each = "each" if row.count > 1 else ""
        return Text(f"same as {row.same_as}" if row.same_as else each, style="dim")
    # Inside the tree the layer's own line has said how many; only a line taken out of it needs the number.
    what = Text(f"{row.count} x " if row.count > 1 and row.depth == 0 else "", style="dim")
    what.append(clean(row.cls), style="not dim")
    if row.shapes:
        what.append(" " + " + ".join("x".join(map(str, shape)) for shape in row.shapes), style="dim")
    if row.tied_to:
        what.append(", tied", style="italic")
    return what


def _totals(report: LayersReport) -> Text:
    totals = Text()
    totals.append(f"{count(report.num_parameters)} parameters", style="bold")
    totals.append(f" ({short_count(report.num_parameters)})")
    # Equal for every model but a mixture of experts, where the line would only say the first one again.
    if report.num_active_parameters != report.num_parameters:
        share = percent(report.num_active_parameters, report.num_parameters)
        totals.append(f"\n{count(report.num_active_parameters)} active for one token ({share})")
    for run in report.decoder_runs:
        totals.append(f"\n{run.stack}.{run.label}")
    for name, target in report.tied:
        totals.append(f"\n{clean(name)} is {clean(target)}: tied, counted once")
    return totals


def payload(report: LayersReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.lenses.layers``."""
    return {
        "model": report.model,
        "architecture": report.architecture,
        "source": report.source,
        "num_parameters": report.num_parameters,
        "num_active_parameters": report.num_active_parameters,
        "num_buffer_elements": report.buffer_elements,
        "decoder_layers": [
            {"path": run.stack, "class": run.block.cls, "count": run.count, "first": run.first, "last": run.last}
            for run in report.decoder_runs
        ],
        "tied": [{"name": name, "tied_to": target} for name, target in report.tied],
        "modules": rows(report),
        "assumptions": list(report.assumptions),
    }


def rows(report: LayersReport) -> list[dict[str, Any]]:
    """The lines flat, for CSV and pandas."""
    return [_record(row) for row in report.rows]


def _record(line: LayerRow) -> dict[str, Any]:
    return {
        "path": line.path,
        "class": line.cls,
        "part": line.part,
        "is_layer": line.is_layer,
        "same_as": line.same_as,
        "count": line.count,
        "shapes": ["x".join(map(str, shape)) for shape in line.shapes],
        "parameters": line.parameters,
        "active_parameters": line.active_parameters,
        "total_parameters": line.total_parameters,
        "tied_to": line.tied_to,
    }
