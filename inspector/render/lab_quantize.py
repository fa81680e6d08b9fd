"""Loss by precision as a terminal page, a chart, as JSON and as rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inspector.render.lab_words import sample_notes, sample_payload
from inspector.render.terminal import heading, notes, page, table
from inspector.units import MB, count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.lab.reports import PrecisionLab
    from inspector.render.charts import Chart


def text(report: PrecisionLab) -> RenderableType:
    """The page `inspector lab quantize` prints."""
    made = table(
        "scheme", ("loss", "right"), ("from fp32", "right"), ("+/-", "right"), ("weight error", "right"),
        ("MB", "right"), ("predicted", "right"),
    )  # fmt: skip
    for row in report.rows:
        made.add_row(
            row.scheme,
            f"{row.loss:.3f}",
            f"{row.difference:+.3f}",
            f"{row.difference_error:.3f}",
            f"{row.weight_error:.2%}",
            f"{row.tensor_bytes / MB:,.1f}",
            f"{row.predicted_bytes / MB:,.1f}",
        )
    return page(
        heading(report.sample.model, f"{count(report.tokens)} tokens in windows of {report.window}"),
        made,
        notes((_LEGEND, *sample_notes(report.sample))),
    )


def charts(report: PrecisionLab) -> tuple[Chart, ...]:
    """Size against loss."""
    from inspector.render.charts.lab import size_against_loss

    return (size_against_loss(report),)


def payload(report: PrecisionLab) -> dict[str, Any]:
    """The content of the JSON document ``inspector.lab_quantize``."""
    return {
        "sample": sample_payload(report.sample),
        "quantized_before": report.sample.quantized_before,
        "tokens": report.tokens,
        "window": report.window,
        "rows": rows(report),
    }


def rows(report: PrecisionLab) -> list[dict[str, Any]]:
    """The precisions flat, for CSV and data frames."""
    return [asdict(row) for row in report.rows]


_LEGEND = (
    "loss: mean cross-entropy of a token, in nats. from fp32: of the same tokens, +/- its standard error. weight "
    "error: Frobenius, of all linears of the layers. MB = 10^6 bytes, weighed, every tensor; predicted: by "
    "`inspector memory`."
)
