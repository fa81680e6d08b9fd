"""A report in a notebook."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console

from inspector.reporting import renderer

if TYPE_CHECKING:
    from inspector.reporting import Report


def report_html(report: Report) -> str:
    """What a cell shows: the terminal's page."""
    console = Console(file=StringIO(), record=True, width=100, highlight=False, emoji=False, markup=False)
    console.print(renderer(report.kind).text(report))
    return console.export_html(inline_styles=True, code_format='<pre style="line-height:1.2">{code}</pre>')
