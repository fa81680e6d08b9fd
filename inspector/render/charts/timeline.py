"""Allocated bytes by kind and reserved bytes, event by event, with the stages marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.memory_kinds import MemoryKind
from inspector.render.charts.base import Chart, page_figure
from inspector.render.theme import GREY, KIND_COLOURS, KIND_HATCHES
from inspector.units import MiB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspector.gpus import Gpu
    from inspector.simulate.reports.at_peak import KindLine, Point

RESERVED = "#5F6062"
"""Of lines and not of a kind of memory: a grey that is seen on both papers."""
APART = 0.045
"""Share of the chart's width that two stages' names keep between them."""


def timeline(
    points: Sequence[Point], kinds: Sequence[KindLine], card: Gpu, name: Callable[[Point], str], peak: int
) -> Chart:
    """The chart of a timeline.

    Args:
        points: the thinned timeline.
        kinds: what is allocated at each of them.
        card: its room is drawn as a line when the run comes near it.
        name: what a stage is called, of its first point.
        peak: the highest bytes reserved.
    """
    events = [point.event for point in points]
    firsts = [
        point
        for before, point in zip([None, *points], points, strict=False)
        if before is None or (before.stage, before.step) != (point.stage, point.step)
    ]
    starts = [(point.event, name(point)) for point in firsts]
    stacked = [
        {
            "type": "scatter", "mode": "lines", "name": line.kind, "stackgroup": "kinds", "x": events,
            # No boxes of their own: figures.js lists the kinds in the one of the allocated bytes.
            "y": [_mib(nbytes) for nbytes in line.nbytes], "hoverinfo": "skip",
            # A level holds until the next event: steps, no slopes.
            "line": {"width": 0, "shape": "hv"}, "fillcolor": KIND_COLOURS[MemoryKind(line.kind)],
            "fillpattern": {
                "shape": KIND_HATCHES.get(MemoryKind(line.kind), ""), "fgcolor": "#FFFFFF", "fillmode": "overlay",
            },
        }
        for line in kinds
    ]  # fmt: skip
    levels: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "lines", "name": label, "x": events, "y": y,
            "line": {"shape": "hv", **line}, "hovertemplate": template, "text": [name(point) for point in points],
        }
        for label, y, line, template in (
            ("reserved", [_mib(point.reserved) for point in points], {"width": 2, "color": RESERVED, "dash": "dot"},
             "<b>reserved %{y:,.1f} MiB</b><extra></extra>"),
            ("allocated", [_mib(point.allocated) for point in points], {"width": 1, "color": GREY},
             "%{text}, event %{x:,}<br><b>allocated %{y:,.1f} MiB</b><extra></extra>"),
        )
    ]  # fmt: skip
    room = card.available_bytes
    # Further from the run, the line would press it into the lower part of the chart.
    shown = peak > 0.6 * room
    figure = page_figure(
        [*stacked, *levels, _highest(points)],
        height=480,
        hovermode="x",
        showlegend=False,
        # The stages' names stand upright above the plot.
        margin={"l": 10, "r": 12, "t": 120, "b": 30},
        xaxis={
            "title": {"text": "events"},
            # The one axis to draw out: among thousands of events a stage may be a few wide.
            "fixedrange": False,
            "tickformat": ",",
            "nticks": 6,
            # Said, for plotly leaves a margin where a figure has marks, and this one has the peak's.
            "range": [0, events[-1]],
        },
        yaxis={"title": {"text": "MiB"}, "tickformat": ",", "rangemode": "tozero"},
        shapes=[_start(event) for event, _ in starts] + ([_room(room)] if shown else []),
        annotations=_names(starts, events[-1]) + ([_room_name(room)] if shown else []),
    )  # fmt: skip
    alt = f"Memory over {events[-1] + 1:,} events: allocated by kind, stacked, and reserved; stages: "
    names = ", ".join(text for _, text in starts)
    # Without rows: two thousand points are not for reading, and pages have the stages' peaks as a table.
    return Chart("timeline", "Memory, allocation by allocation", alt + names, (), (), figure)


def _highest(points: Sequence[Point]) -> dict[str, Any]:
    """A mark on the first point of the highest allocation, which may be a single event wide."""
    top = max(points, key=lambda point: point.allocated)
    return {
        "type": "scatter", "mode": "markers+text", "name": "peak", "x": [top.event], "y": [_mib(top.allocated)],
        "marker": {"size": 9, "color": GREY, "line": {"width": 2, "color": "#FFFFFF"}}, "hoverinfo": "skip",
        "text": [f"{top.allocated / MiB:,.1f}"], "cliponaxis": False,
        # Towards the middle, where the chart does not end.
        "textposition": "middle left" if 2 * top.event > points[-1].event else "middle right",
    }  # fmt: skip


def _mib(nbytes: int) -> float:
    # More digits are less than a pixel and make every page longer.
    return round(nbytes / MiB, 2)


def _start(event: int) -> dict[str, Any]:
    return {
        "type": "line", "x0": event, "x1": event, "y0": 0, "y1": 1, "yref": "paper", "layer": "below",
        "line": {"color": GREY, "width": 1},
    }  # fmt: skip


def _names(starts: Sequence[tuple[int, str]], last: int) -> list[dict[str, Any]]:
    """The stages' names, upright above their starts, moved apart where stages are short."""
    gap = APART * last
    places: list[float] = []
    for event, _ in starts:
        places.append(max(event, places[-1] + gap) if places else float(event))
    # Back again from the end: moved to the right alone, the last names would leave the chart.
    limit = last - gap / 2
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], limit)
        limit = places[index] - gap
    return [
        {
            "x": round(place, 1), "y": 1.01, "yref": "paper", "xanchor": "left", "yanchor": "bottom", "text": text,
            "textangle": -90, "showarrow": False,
        }
        for place, (_, text) in zip(places, starts, strict=True)
    ]  # fmt: skip


def _room(room: int) -> dict[str, Any]:
    return {
        "type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": _mib(room), "y1": _mib(room),
        "line": {"color": RESERVED, "width": 2},
    }  # fmt: skip


def _room_name(room: int) -> dict[str, Any]:
    return {
        "x": 0, "xref": "paper", "y": _mib(room), "xanchor": "left", "yanchor": "bottom", "showarrow": False,
        "text": "the card's room for reserved memory",
    }  # fmt: skip
