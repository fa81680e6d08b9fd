"""The page of a simulated generation."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from inspector.memory_kinds import MemoryKind
from inspector.render import kv_cache
from inspector.render.charts.base import Chart
from inspector.render.generate import what
from inspector.render.pages.sheet import sheet_figure, sheet_html
from inspector.render.pages.timeline import timeline
from inspector.render.theme import KIND_COLOURS
from inspector.simulate.setup.generation import GenerateSettings
from inspector.units import MiB

if TYPE_CHECKING:
    from inspector.simulate.generation import GenerateReport
    from inspector.simulate.reports.step import Point


def generate_html(report: GenerateReport, *, command: str = "inspector simulate generate") -> str:
    """The whole page; ``command`` is the line that writes it again."""
    return sheet_html(
        "generate",
        title=f"Generating with {report.model}",
        command=command,
        charts=[
            timeline(report.timeline, report.timeline_kinds, report.gpu, phase_name, peak=report.peak_reserved_bytes),
            growth(report),
        ],
        report=report,
        what=what(report),
        cache=kv_cache.alike(report.cache),
        settings=asdict(GenerateSettings.of(report.setup)),
    )


def phase_name(point: Point) -> str:
    """``load``, ``prefill``, ``token 2``."""
    if point.step < 0:
        return "load"
    return f"token {point.step + 1:,}" if point.step else "prefill"


def growth(report: GenerateReport) -> Chart:
    """The cache's bytes by the tokens it keeps, from the first to the last of the answer."""
    grown = report.growth
    figure = sheet_figure(
        [
            {
                "type": "scatter", "mode": "lines", "x": [tokens for tokens, _ in grown],
                "y": [round(nbytes / MiB, 2) for _, nbytes in grown], "name": "cache",
                "line": {"color": KIND_COLOURS[MemoryKind.CACHE], "width": 3},
                "hovertemplate": "%{x:,} tokens<br>%{y:,.1f} MiB<extra></extra>",
            }
        ],
        height=340,
        showlegend=False,
        hovermode="x",
        xaxis={"title": {"text": "tokens kept"}, "tickformat": ",", "nticks": 6},
        yaxis={"title": {"text": "MiB"}, "tickformat": ",", "rangemode": "tozero"},
        margin={"l": 10, "r": 12, "t": 10, "b": 40},
    )  # fmt: skip
    rows = tuple((f"{tokens:,}", f"{nbytes / MiB:,.1f}") for tokens, nbytes in grown[:: max(1, len(grown) // 16)])
    alt = f"The cache grows to {grown[-1][1] / MiB:,.1f} MiB at {grown[-1][0]:,} tokens"
    return Chart("cache", "Bytes of the cache", alt, ("tokens", "MiB"), rows, figure)
