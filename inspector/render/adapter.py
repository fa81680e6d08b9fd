"""A saved adapter, as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import MB, count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.lenses.saved_adapter import AdapterReport


def text(report: AdapterReport) -> RenderableType:
    """The page `inspector adapter` prints."""
    # Prompts and scaled vectors have neither a rank nor an alpha.
    rank = f", r={report.rank}" if report.rank else ""
    alpha = f", alpha={report.alpha:g}" if report.alpha else ""
    rows = table("part", ("tensors", "right"), ("parameters", "right"), ("MB", "right"))
    for part in report.parts:
        rows.add_row(clean(part.name), count(part.tensors), count(part.parameters), f"{part.nbytes / MB:,.2f}")
    rows.add_row("all", "", count(report.parameters), f"{report.tensor_bytes / MB:,.2f}")
    said = list(report.notes)
    if report.merge_elements is not None:
        # The report has elements: PEFT makes an update in the dtype of the loaded adapter (Linear.get_delta_weight).
        size = f"{count(report.merge_elements)} elements, {2 * report.merge_elements / MB:,.1f} MB in bfloat16"
        said.insert(0, f"merging makes one update at a time; the largest has {size}, twice that with safe_merge")
    return page(
        heading(
            report.name,
            f"{report.method}{rank}{alpha}, on {count(report.modules)} modules",
            f"base model: {report.base_model or 'not said'}",
        ),
        rows,
        notes(said),
    )


def payload(report: AdapterReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.lenses.saved_adapter``."""
    return {
        "name": report.name,
        "method": report.method,
        "base_model": report.base_model,
        "rank": report.rank,
        "alpha": report.alpha,
        "num_modules": report.modules,
        "num_parameters": report.parameters,
        "tensor_bytes": report.tensor_bytes,
        "file_bytes": report.file_bytes,
        "merge_elements": report.merge_elements,
        "parts": rows(report),
        "notes": list(report.notes),
    }


def rows(report: AdapterReport) -> list[dict[str, Any]]:
    """The parts flat, for CSV and pandas."""
    return [
        {"part": part.name, "num_tensors": part.tensors, "num_parameters": part.parameters, "bytes": part.nbytes}
        for part in report.parts
    ]
