"""Reserved memory over the steps of a run whose batches differ in length, in several ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.render.charts.base import Chart, page_figure
from inspector.render.theme import GREY
from inspector.units import MiB

if TYPE_CHECKING:
    from inspector.simulate.long_run.running import LongRunReport

MOST = 2000
"""Points of a line: more are less than a pixel apart."""
DASHES = ("solid", "dash", "dot", "dashdot")
RESERVED = "#5F6062"
"""Of lines and not of a kind of memory: a grey that is seen on both papers."""


def reserved_over_steps(report: LongRunReport) -> Chart:
    """A line for each way, the tensors of the run as asked for, and the card's room where a run comes near it."""
    lines: list[dict[str, Any]] = []
    for way, dash in zip(report.ways, DASHES, strict=False):
        values = way.run.reserved
        every = max(1, -(-len(values) // MOST))
        lines.append(_line(way.name, list(range(1, len(values) + 1, every)), values[::every], dash, RESERVED, 2))
    own = report.run.allocated
    every = max(1, -(-len(own) // MOST))
    lines.append(_line("allocated, as it is", list(range(1, len(own) + 1, every)), own[::every], "solid", GREY, 1))
    room = report.gpu.available_bytes
    shown = max(way.run.peak_reserved for way in report.ways) > 0.6 * room
    shapes = [{"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": room / MiB, "y1": room / MiB,
               "line": {"color": GREY, "width": 2}}] if shown else []  # fmt: skip
    figure = page_figure(
        lines,
        height=420,
        hovermode="x",
        xaxis={"title": {"text": "steps"}, "tickformat": ",", "nticks": 6},
        yaxis={"title": {"text": "MiB"}, "tickformat": ",", "rangemode": "tozero"},
        shapes=shapes,
        margin={"l": 10, "r": 12, "t": 60, "b": 40},
    )
    rows = tuple((way.name, f"{way.run.peak_reserved / MiB:,.1f}", f"{len(way.run.reserved):,}") for way in report.ways)
    alt = "Reserved memory over the steps; peaks: " + ", ".join(f"{name} {peak} MiB" for name, peak, _ in rows)
    return Chart("long_run", "Reserved, step by step", alt, ("way", "peak MiB", "steps done"), rows, figure)


def _line(name: str, steps: list[int], values: tuple[int, ...], dash: str, colour: str, width: int) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": name, "x": steps,
        "y": [round(nbytes / MiB, 1) for nbytes in values],
        "line": {"shape": "hv", "dash": dash, "color": colour, "width": width},
        "hovertemplate": "step %{x:,}<br>%{y:,.1f} MiB<extra>%{fullData.name}</extra>",
    }  # fmt: skip
