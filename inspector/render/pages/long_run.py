"""The page of a run of many steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.long_run import charts, end_of, samples_line, shown_steps, traced_line, verdict_line, what
from inspector.render.pages.sheet import sheet_html

if TYPE_CHECKING:
    from inspector.simulate.long_run.running import LongRunReport


def long_run_html(report: LongRunReport, *, command: str = "inspector simulate finetune --lengths") -> str:
    """The whole page; ``command`` is the line that writes it again."""
    return sheet_html(
        "long_run",
        title=f"{report.steps:,} steps of {report.model}",
        command=command,
        charts=charts(report),
        report=report,
        what=what(report),
        samples=samples_line(report),
        traced=traced_line(report),
        verdict=verdict_line(report),
        ends=[(way, end_of(way)) for way in report.ways],
        shown=shown_steps(report.run),
        settings={name: said["value"] for name, said in report.settings.items()},
    )
