"""Engines by cards for so many users, as a terminal page, as JSON and as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import heading, notes, page, table
from inspector.units import GiB, count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.fit.serving_table import ServingCell, ServingTable


def text(report: ServingTable) -> RenderableType:
    """The page `inspector fit --serving` prints: cards down, engines across, then what holds them, the least first."""
    engines = tuple(dict.fromkeys(cell.engine for cell in report.cells))
    rows = table("card", ("usable", "right"), *((engine, "right") for engine in engines))
    cells = {(cell.engine, cell.gpu.name): cell for cell in report.cells}
    for card in dict.fromkeys(cell.gpu for cell in report.cells):
        shown = [_cell(cells[engine, card.name]) for engine in engines]
        rows.add_row(card.name, f"{card.usable_bytes / GiB:,.1f}", *shown)
    what = f"{count(report.users)} requests of {count(report.context)} tokens at once; cards needed of at most "
    return page(heading(report.model, f"{what}{report.most_cards}"), rows, _least(report), notes((_LEGEND,)))


_LEGEND = (
    "Each as it is published, under the engine's defaults; llama.cpp in q4_k_m, on one card. (?): within the range of "
    "what is left. Memory stands for price; `inspector serving` shows each sum."
)


def _cell(cell: ServingCell) -> Text:
    if not cell.cards:
        return Text("no", style="dim")
    return Text(f"{cell.cards}" + ("" if cell.certain else " (?)"), style="green" if cell.certain else "yellow")


def _least(report: ServingTable) -> RenderableType:
    if not report.fits:
        return Text("None of these holds them.", style="red")
    rows = table(("GiB", "right"), ("cards", "right"), "of", "engine", ("users at the least", "right"))
    for cell in report.holding[:8]:
        rows.add_row(f"{cell.memory_bytes / GiB:,.1f}", str(cell.cards), cell.gpu.name, cell.engine, count(cell.users))
    return rows


def payload(report: ServingTable) -> dict[str, Any]:
    """The content of the JSON document ``inspector.fit_serving``."""
    return {
        "model": report.model,
        "users": report.users,
        "context": report.context,
        "most_cards": report.most_cards,
        "fits": report.fits,
        "cells": rows(report),
        "holding": [_row(cell) for cell in report.holding],
    }


def rows(report: ServingTable) -> list[dict[str, Any]]:
    """One row an engine and card."""
    return [_row(cell) for cell in report.cells]


def _row(cell: ServingCell) -> dict[str, Any]:
    return {
        "engine": cell.engine, "gpu": cell.gpu.name, "cards": cell.cards, "users": cell.users,
        "certain": cell.certain, "memory_bytes": cell.memory_bytes, "why": cell.why,
    }  # fmt: skip
