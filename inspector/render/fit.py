"""The table of methods by cards as a terminal page, as JSON and as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import GiB, count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.fit.table import Cell, FitTable

STYLES = {"fits": "green", "tight": "yellow", "does not fit": "red"}


def text(report: FitTable) -> RenderableType:
    """The page `inspector fit` prints: cards down, methods across, the process at its peak in GiB."""
    rows = table("card", ("usable GiB", "right"), *((method, "right") for method in report.methods))
    # The report goes method by method, the page card by card.
    cells = {(cell.method, cell.gpu.name): cell for cell in report.cells}
    for card in report.gpus:
        usable = f"{card.usable_bytes / GiB:,.2f}" + ("" if card.basis == "torch" else " ~")
        shown = [_cell(cells[method, card.name]) for method in report.methods]
        rows.add_row(card.name, usable, *shown)
    batch = report.inputs or f"batch {count(report.batch_size)}, {count(report.seq_len)} tokens"
    what = f"{batch}; whole process at its peak, GiB"
    return page(heading(report.model, what), rows, notes(_legend(report)))


def _cell(cell: Cell) -> Text:
    # In words too: a pipe has no colours, and not everyone tells these three apart.
    mark = {"fits": "", "tight": " (tight)", "does not fit": " (no)"}[cell.peaks.verdict]
    # GiB, the unit in which cards have their memory, whatever their boxes say.
    return Text(f"{cell.peaks.process / GiB:,.2f}{mark}", style=STYLES[cell.peaks.verdict])


def _legend(report: FitTable) -> tuple[str, ...]:
    lines = ["GiB = 2^30 bytes. tight: less than 5 % left, or cached memory must be given back. (no): does not fit."]
    if any(card.basis != "torch" for card in report.gpus):
        lines.append("~ usable memory from nvidia-smi's total, less what drivers keep on cards of that size")
    lines += [f"{clean(method)}: {clean(why)}" for method, why in report.impossible]
    return (*lines, *report.assumptions)


def payload(report: FitTable) -> dict[str, Any]:
    """The content of the JSON document ``inspector.fit.plan``."""
    return {
        "model": report.model,
        "batch_size": report.batch_size,
        "seq_len": report.seq_len,
        "inputs": report.inputs,
        "methods": list(report.methods),
        "cells": rows(report),
        "impossible": [{"method": method, "why": why} for method, why in report.impossible],
        "assumptions": list(report.assumptions),
    }


def rows(report: FitTable) -> list[dict[str, Any]]:
    """One row for each method on each card."""
    return [
        {
            "method": cell.method,
            "gpu": cell.gpu.name,
            "dtype": cell.dtype,
            "verdict": cell.peaks.verdict,
            "margin_bytes": cell.peaks.margin,
            "peak_allocated_bytes": cell.peaks.allocated,
            "peak_reserved_bytes": cell.peaks.reserved,
            "process_bytes": cell.peaks.process,
            "usable_bytes": cell.peaks.usable,
            "basis": cell.gpu.basis,
        }
        for cell in report.cells
    ]
