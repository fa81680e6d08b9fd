"""The page of the ledger: every prediction beside its measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.pages.sheet import sheet_html
from inspector.render.validate import charts
from inspector.validation.ledger_by_set import FIGURES, record_sets

if TYPE_CHECKING:
    from inspector.validation.ledger import Ledger


def validate_html(ledger: Ledger, *, command: str = "inspector validate") -> str:
    """The whole page; ``command`` is the line that writes it again. How long it took is not on it."""
    return sheet_html(
        "validate",
        title="Predicted beside measured",
        command=command,
        charts=charts(ledger),
        sets=record_sets(ledger),
        lines=ledger.lines,
        # No set: its order differs from one process to the next, and so would the page.
        figures=tuple(dict.fromkeys(line.figure for line in ledger.lines)),
        names=FIGURES,
        versions=ledger.versions,
    )
