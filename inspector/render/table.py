"""Models by schemes, as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.render.terminal import notes, page
from inspector.render.terminal import table as grid
from inspector.units import MB, count, short_count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.lenses.table import ModelTable


def text(report: ModelTable) -> RenderableType:
    """The page `inspector table` prints."""
    rows = grid("model", ("parameters", "right"), *((name, "right") for name in report.schemes))
    for row in report.rows:
        rows.add_row(
            row.model, short_count(row.parameters), *(f"{nbytes / (1000 * MB):,.2f}" for nbytes in row.tensor_bytes)
        )
    size = f"{count(len(report.rows))} models x {len(report.schemes)} schemes in {report.seconds:.1f} s"
    return page(rows, notes(("GB = 10^9 bytes; every byte of the weights, with the quantization constants", size)))


def payload(report: ModelTable) -> dict[str, Any]:
    """The content of the JSON document ``inspector.lenses.table``."""
    # Without the seconds of the page: the same question has the same document.
    return {"schemes": list(report.schemes), "rows": rows(report)}


def rows(report: ModelTable) -> list[dict[str, Any]]:
    """One row a model and scheme."""
    return [
        {
            "model": row.model,
            "num_parameters": row.parameters,
            "scheme": scheme,
            "footprint_bytes": row.footprint_bytes[index],
            "tensor_bytes": row.tensor_bytes[index],
        }
        for row in report.rows
        for index, scheme in enumerate(report.schemes)
    ]
