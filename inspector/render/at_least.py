"""What ways to train or to generate take at the least on accelerators, as a terminal page, as JSON and as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import heading, notes, page, table
from inspector.units import GiB

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.fit.at_least import AtLeastReport, Way

_STYLES = {"does not fit": "red", "over the recommended": "red", "not ruled out": "yellow", "does not run": "dim"}


def text(report: AtLeastReport) -> RenderableType:
    """The page `inspector fit --gpu MI300X` and `simulate generate --gpu MI300X` print."""
    return page(
        heading(report.model, report.what),
        *(_parts(way) for way in report.ways),
        _cards(report),
        notes((*report.assumptions, "GiB = 2^30 bytes.")),
    )


def _parts(way: Way) -> RenderableType:
    rows = table(way.name, ("GiB", "right"))
    for part in way.parts:
        rows.add_row(part.name, f"{part.nbytes / GiB:,.2f}")
    rows.add_row(Text("at the least", style="bold"), Text(f"{way.nbytes / GiB:,.2f}", style="bold"))
    return rows


def _cards(report: AtLeastReport) -> RenderableType:
    rows = table("device", "way", ("usable GiB", "right"), ("left at most", "right"), "")
    for device in report.accelerators:
        for way in report.ways:
            ruled = report.ruled(way, device)
            left = (device.usable_bytes - way.nbytes) / GiB
            rows.add_row(device.name, way.name, f"{device.usable_bytes / GiB:,.2f}", f"{left:+,.2f}",
                         Text(ruled, style=_STYLES[ruled]))  # fmt: skip
    return rows


def payload(report: AtLeastReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.at_least``."""
    return {
        "model": report.model,
        "what": report.what,
        "fits": report.fits,
        "checked_against_a_measurement": False,
        "devices": [
            {"name": device.name, "maker": device.maker, "architecture": device.architecture,
             "usable_bytes": device.usable_bytes, "figure": device.told, "unified_memory": device.unified,
             "bitsandbytes": device.bitsandbytes, "sources": list(device.sources)}
            for device in report.accelerators
        ],
        "ways": [
            {"way": way.name, "parts": {part.name: part.nbytes for part in way.parts}, "at_least_bytes": way.nbytes}
            for way in report.ways
        ],
        "cells": rows(report),
        "assumptions": list(report.assumptions),
    }  # fmt: skip


def rows(report: AtLeastReport) -> list[dict[str, Any]]:
    """A row for each way on each device."""
    return [
        {
            "device": device.name,
            "way": way.name,
            "usable_bytes": device.usable_bytes,
            "at_least_bytes": way.nbytes,
            "left_at_most_bytes": device.usable_bytes - way.nbytes,
            "verdict": report.ruled(way, device),
        }
        for device in report.accelerators
        for way in report.ways
    ]
