"""The page of a served model: the waterfall from the card's bytes to the cache, and what a terminal shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.charts.serving import serving_waterfall
from inspector.render.html_text import blocks
from inspector.render.pages.sheet import sheet_html
from inspector.render.serving import text

if TYPE_CHECKING:
    from inspector.serving.report import ServingReport


def serving_html(report: ServingReport, *, command: str = "inspector serving") -> str:
    """The whole page; ``command`` is the line that writes it again."""
    return sheet_html(
        "serving",
        title=f"{report.model} under {report.engine}",
        command=command,
        charts=(serving_waterfall(report),),
        parts=tuple(blocks(text(report))),
    )
