"""How the KV cache of a generation grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.memory_kinds import MemoryKind
from inspector.render.charts.base import Chart, page_figure
from inspector.render.theme import KIND_COLOURS
from inspector.units import MiB

if TYPE_CHECKING:
    from inspector.simulate.generation import GenerateReport


def cache_growth(report: GenerateReport) -> Chart:
    """The cache's bytes by the tokens it keeps, from the first to the last of the answer."""
    grown = report.growth
    figure = page_figure(
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
        # From zero, for a static cache does not grow: its line would stand in a band around one figure.
        yaxis={"title": {"text": "MiB"}, "tickformat": ",", "rangemode": "tozero"},
        margin={"l": 10, "r": 12, "t": 10, "b": 40},
    )  # fmt: skip
    # A line has some 65 points, a table to be read a quarter of that.
    rows = tuple((f"{tokens:,}", f"{nbytes / MiB:,.1f}") for tokens, nbytes in grown[:: max(1, len(grown) // 16)])
    alt = f"The cache grows to {grown[-1][1] / MiB:,.1f} MiB at {grown[-1][0]:,} tokens"
    return Chart("cache", "Bytes of the cache", alt, ("tokens", "MiB"), rows, figure)
