"""The page of a user's script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.pages.sheet import sheet_html
from inspector.render.script import charts, verdict_words, what
from inspector.render.simulate import stage_name

if TYPE_CHECKING:
    from inspector.simulate.script.report import ScriptReport


def script_html(report: ScriptReport, *, command: str = "inspector run") -> str:
    """The whole page; ``command`` is the line that writes it again."""
    return sheet_html(
        "script",
        title=f"A dry run of {report.script}",
        command=command,
        charts=charts(report),
        report=report,
        what=what(report),
        stage_name=stage_name,
        words=verdict_words,
    )
