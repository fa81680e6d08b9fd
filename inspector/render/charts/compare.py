"""Base models side by side at each precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.one_model import spoken
from inspector.render.charts.base import Chart, figure, room_for, two_lines, whole_mb
from inspector.render.theme import BASE
from inspector.units import MB

if TYPE_CHECKING:
    from inspector.lenses.compare import Comparison
    from inspector.lesson import Lesson

MOST_BARS = 15
"""Bars that fit under each other with a number of 24 px beside each."""


def compare(lesson: Lesson) -> Chart:
    """The chart of the lesson's candidates."""
    return comparison(lesson.comparison)


def comparison(report: Comparison) -> Chart:
    """Grouped bars: models down the side, a bar for each scheme below 32 bits, as many as there is room for."""
    names = [spoken(row.model) for row in report.rows[:MOST_BARS]]
    # fp32 takes about twice bf16 and would halve all other bars. Where room is short, the fewest bits stay.
    shown = [index for index, name in enumerate(report.schemes) if name != "fp32"][-max(1, MOST_BARS // len(names)) :]
    longest = max(row.schemes[index].footprint_bytes for row in report.rows for index in shown) / MB
    made = figure(
        [
            {
                "type": "bar",
                "orientation": "h",
                "name": report.schemes[index],
                "y": [two_lines(name) for name in names],
                "x": [row.schemes[index].footprint_bytes / MB for row in report.rows[:MOST_BARS]],
                # A precision is its place and its name at the bar: all of them are base weights, and so of one colour.
                "text": [
                    f" {whole_mb(row.schemes[index].footprint_bytes)} {report.schemes[index]}"
                    for row in report.rows[:MOST_BARS]
                ],
                "textposition": "outside",
                "textangle": 0,
                # Plotly would make a text as small as its bar is thin.
                "constraintext": "none",
                "cliponaxis": False,
                "marker": {"color": BASE},
                "hovertemplate": "%{y}, %{fullData.name}: %{text} MB<extra></extra>",
            }
            for index in shown
        ],
        height=540,
        barmode="group",
        bargap=0.15,
        margin={"l": 20, "r": 20, "t": 10, "b": 10},
        # Plotly has the first name at the bottom.
        yaxis={"autorange": "reversed", "ticksuffix": "  ", "showgrid": False},
        xaxis={"showticklabels": False, "range": [0, room_for([longest], ["000,000 nf4-dq"], 850)], "showgrid": False},
    )
    rows = tuple((row.model, *(whole_mb(scheme.footprint_bytes) for scheme in row.schemes)) for row in report.rows)
    alt = "Grouped bar chart, weights in MB: " + "; ".join(
        f"{name} " + ", ".join(f"{report.schemes[i]} {whole_mb(row.schemes[i].footprint_bytes)}" for i in shown)
        # Not strict: the names end where there is no room for more bars.
        for name, row in zip(names, report.rows, strict=False)
    )
    return Chart("compare", "Weights in MB, model beside model", alt, ("model", *report.schemes), rows, made)
