"""The page of an explained error: what a terminal shows, to keep or to send on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.explain import text
from inspector.render.html_text import blocks
from inspector.render.pages.sheet import sheet_html

if TYPE_CHECKING:
    from inspector.explain import ExplainReport


def explain_html(report: ExplainReport, *, command: str = "inspector explain") -> str:
    """The whole page; ``command`` is the line that writes it again."""
    return sheet_html(
        "explain",
        title="An out-of-memory error, explained",
        command=command,
        charts=(),
        parts=tuple(blocks(text(report))),
    )
