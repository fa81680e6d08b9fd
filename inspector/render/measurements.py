"""Records of measurements beside today's predictions, as a terminal page, as JSON and as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.render import measure
from inspector.render.terminal import notes, page, table
from inspector.units import count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.measure.records import Records


def text(report: Records) -> RenderableType:
    """The page `inspector measurements` prints."""
    if not report.names:
        said = "No measurements here: `inspector measure --save` keeps one"
        return page(notes((said, *report.damaged)))
    made = table("record", "device", ("tensor bytes", "right"), ("difference", "right"), "today")
    for name, found in zip(report.names, report.measurements, strict=True):
        # Of all figures the one that no device leaves out: what an allocator counts is there on CUDA alone.
        tensors = next((each for each in found.comparisons if each.name == "tensor_bytes"), None)
        made.add_row(
            name,
            str(found.result.get("device", {}).get("name", "-")),
            count(tensors.measured) if tensors else "-",
            f"{tensors.difference:+,}" if tensors else "-",
            measure.verdict(found),
        )
    return page(made, notes(report.damaged)) if report.damaged else page(made)


def payload(report: Records) -> dict[str, Any]:
    """The content of the JSON document ``inspector.measurements``."""
    found = zip(report.names, report.measurements, strict=True)
    return {
        "agree": report.agree,
        "measurements": [{"name": name, **measure.payload(each)} for name, each in found],
        "damaged": list(report.damaged),
    }


def rows(report: Records) -> list[dict[str, Any]]:
    """One row a compared figure of a record."""
    found = zip(report.names, report.measurements, strict=True)
    return [{"record": name, **row} for name, each in found for row in measure.rows(each)]
