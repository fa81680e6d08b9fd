"""What can be measured here, as a terminal page and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inspector.render.terminal import heading, page, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.measure.doctor import Doctor


def text(report: Doctor) -> RenderableType:
    """The page `inspector doctor` prints."""
    can = " and ".join(report.can_measure)
    made = table("", "", "", "")
    made.show_header = False
    for check in report.checks:
        fix = f"\n-> {check.fix}" if check.fix else ""
        made.add_row(check.state, check.name, f"{check.found}{fix}")
    title = f"Quantized models can be built and weighed here on: {can}" if can else "Nothing can be measured here yet"
    return page(heading(title), made)


def payload(report: Doctor) -> dict[str, Any]:
    """The content of the JSON document ``inspector.doctor``."""
    return {"can_measure": list(report.can_measure), "checks": rows(report)}


def rows(report: Doctor) -> list[dict[str, Any]]:
    """One row a check."""
    return [asdict(check) for check in report.checks]
