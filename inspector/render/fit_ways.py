"""The table of ways by cards as a terminal page, as JSON and as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.fit import STYLES
from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import GiB, count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.fit.ways_table import WayCell, WaysTable


def text(report: WaysTable) -> RenderableType:
    """The page `inspector fit --gpus N` prints: cards down, ways across, and what fits with the fewest cards first."""
    ways = tuple(dict.fromkeys(cell.way for cell in report.cells))
    rows = table("card", ("usable", "right"), *((way, "right") for way in ways))
    cells = {(cell.way, cell.gpu.name): cell for cell in report.cells}
    for card in report.cards:
        shown = [_cell(cells.get((way, card.name))) for way in ways]
        rows.add_row(card.name, f"{card.usable_bytes / GiB:,.1f}", *shown)
    batch = f"batch {count(report.batch_size)} and {count(report.seq_len)} tokens a card"
    what = f"{report.method}, {batch}; cards needed of at most {report.gpus}, and GiB of the fullest"
    return page(heading(report.model, what), rows, _fewest(report), notes(_legend(report)))


def _cell(cell: WayCell | None) -> Text:
    if cell is None or cell.peaks is None:
        return Text("-", style="dim")
    mark = {"fits": "", "tight": " tight", "does not fit": " no"}[cell.peaks.verdict]
    return Text(f"{cell.cards}: {cell.peaks.process / GiB:,.1f}{mark}", style=STYLES[cell.peaks.verdict])


def _fewest(report: WaysTable) -> RenderableType:
    rows = table(("cards", "right"), "of", "way", ("GiB left on each", "right"))
    for cell in report.fewest[:8]:
        if cell.peaks is not None:
            rows.add_row(str(cell.cards), cell.gpu.name, cell.way, f"{cell.peaks.margin / GiB:,.1f}")
    return rows if report.fewest else Text(f"No way fits {report.gpus} of these cards.", style=STYLES["does not fit"])


def _legend(report: WaysTable) -> tuple[str, ...]:
    left_out = [f"{clean(way)}: {clean(why)}" for way, why in report.impossible]
    return ("GiB = 2^30 bytes. tight: less than 5 % left; no: does not fit so many.", *left_out, *report.assumptions)


def payload(report: WaysTable) -> dict[str, Any]:
    """The content of the JSON document ``inspector.fit_ways``."""
    return {
        "model": report.model,
        "method": report.method,
        "most_cards": report.gpus,
        "batch_size": report.batch_size,
        "seq_len": report.seq_len,
        "fits": report.fits,
        "fewest": [_row(cell) for cell in report.fewest],
        "cells": rows(report),
        "impossible": [{"way": way, "why": why} for way, why in report.impossible],
        "assumptions": list(report.assumptions),
    }


def rows(report: WaysTable) -> list[dict[str, Any]]:
    """One row for each way on each kind of card."""
    return [_row(cell) for cell in report.cells]


def _row(cell: WayCell) -> dict[str, Any]:
    peaks = cell.peaks
    return {
        "way": cell.way,
        "gpu": cell.gpu.name,
        "cards": cell.cards,
        "verdict": peaks.verdict if peaks else None,
        "margin_bytes": peaks.margin if peaks else None,
        "peak_allocated_bytes": peaks.allocated if peaks else None,
        "peak_reserved_bytes": peaks.reserved if peaks else None,
        "process_bytes": peaks.process if peaks else None,
        "usable_bytes": cell.gpu.usable_bytes,
    }
