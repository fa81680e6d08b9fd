"""The page of a generation spread over cards."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from inspector.render.pages.sheet import sheet_html
from inspector.render.split import charts, verdict_line, what
from inspector.simulate.setup.generation import GenerateSettings

if TYPE_CHECKING:
    from inspector.simulate.split_generation import SplitReport


def split_html(report: SplitReport, *, command: str = "inspector simulate generate") -> str:
    """The whole page; ``command`` is the line that writes it again."""
    return sheet_html(
        "split",
        title=f"{report.model} over {len(report.cards)} cards",
        command=command,
        charts=charts(report),
        report=report,
        what=what(report),
        verdict=verdict_line(report),
        settings=asdict(GenerateSettings.of(report.setup)),
    )
