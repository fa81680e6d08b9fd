"""Base models side by side as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import NARROW, Responsive, heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import MB, count, short_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.lenses.compare import CompareRow, Comparison
    from inspector.render.charts import Chart


def text(report: Comparison) -> RenderableType:
    """The page `inspector compare` prints: a model a line, a row of facts for each when the terminal is narrow."""
    return page(
        heading("Base models side by side", "weights in MB as get_memory_footprint() prints them"),
        Responsive(lambda width: _narrow(report) if width < NARROW else _wide(report)),
        *_same(report),
        notes(report.assumptions),
    )


def charts(report: Comparison) -> tuple[Chart, ...]:
    """The models' weights side by side."""
    from inspector.render.charts.compare import comparison

    return (comparison(report),)


def _wide(report: Comparison) -> Table:
    rows = table(
        "model",
        ("params", "right"),
        *((scheme, "right") for scheme in report.schemes),
        ("vocab", "right"),
        ("context", "right"),
        (f"LoRA r={report.rank}", "right"),
    )
    for line in report.rows:
        sizes = (f"{scheme.footprint_bytes / MB:,.0f}" for scheme in line.schemes)
        # The publisher is left out, for seven columns of figures follow; the narrow table has the line for it.
        name = clean(line.model.rpartition("/")[2])
        rows.add_row(
            name, short_count(line.parameters), *sizes, count(line.vocab_size), count(line.context_length), _lora(line)
        )
    return rows


def _narrow(report: Comparison) -> Table:
    rows = table("model", ("MB", "right"))
    for line in report.rows:
        rows.add_row(Text(clean(line.model), style="bold"), "")
        for scheme in line.schemes:
            rows.add_row(f"  {scheme.scheme}", f"{scheme.footprint_bytes / MB:,.0f}")
        rows.add_row(f"  LoRA r={report.rank}", _lora(line))
    return rows


def _lora(line: CompareRow) -> str:
    return f"{line.adapters.weight_bytes / MB:,.1f}" if line.adapters else "none"


def _same(report: Comparison) -> list[Text]:
    said = [f"{clean(', '.join(names))}: the same memory" for names in report.same]
    said += [f"{clean(row.model)}: as much as {clean(', '.join(row.variants))}" for row in report.rows if row.variants]
    return [Text("\n".join(said))] if said else []


def payload(report: Comparison) -> dict[str, Any]:
    """The content of the JSON document ``inspector.lenses.compare``."""
    return {
        "rank": report.rank,
        "schemes": list(report.schemes),
        "models": rows(report),
        "same_memory": [list(names) for names in report.same],
        "assumptions": list(report.assumptions),
    }


def rows(report: Comparison) -> list[dict[str, Any]]:
    """The models flat, for CSV and data frames."""
    return [_record(line) for line in report.rows]


def _record(line: CompareRow) -> dict[str, Any]:
    adapters = line.adapters
    return {
        "model": line.model,
        "architecture": line.architecture,
        "num_parameters": line.parameters,
        "num_active_parameters": line.active_parameters,
        "layers": line.layers,
        "vocab_size": line.vocab_size,
        "context_length": line.context_length,
        "stored_in": line.stored or None,
        **{f"{scheme.scheme}_footprint_bytes": scheme.footprint_bytes for scheme in line.schemes},
        **{f"{scheme.scheme}_tensor_bytes": scheme.tensor_bytes for scheme in line.schemes},
        "adapter_target_set": adapters.target_set if adapters else None,
        "adapter_parameters": adapters.trainable_parameters if adapters else None,
        "adapter_bytes": adapters.weight_bytes if adapters else None,
        "same_memory_as": list(line.variants),
    }
