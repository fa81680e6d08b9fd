"""The page of a fine-tuning on several cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.pages.sheet import sheet_html
from inspector.render.several_cards import (
    charts,
    said_by,
    seconds,
    verdict_line,
    what,
)
from inspector.render.sharing_words import in_words, remarks, units_line

if TYPE_CHECKING:
    from inspector.simulate.several_cards import SeveralCardsReport


def several_cards_html(report: SeveralCardsReport, *, command: str = "inspector simulate finetune") -> str:
    """The whole page; ``command`` is the line that writes it again."""
    return sheet_html(
        "several_cards",
        title=f"Fine-tuning {report.model} on {report.parallel.world_size} cards",
        command=command,
        charts=charts(report),
        report=report,
        what=what(report),
        verdict=verdict_line(report),
        in_words=in_words(report),
        units=units_line(report.ranks[0].units),
        remarks=remarks(report),
        said_by=said_by(report),
        seconds=seconds,
    )
