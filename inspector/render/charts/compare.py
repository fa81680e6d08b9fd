"""Base models side by side at each precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.lesson import spoken
from inspector.render.charts.base import Chart, figure, whole_mb
from inspector.render.theme import BASE, GREEN, SKY
from inspector.units import MB

if TYPE_CHECKING:
    from inspector.compare import Comparison
    from inspector.lesson import Lesson

SCHEME_COLOURS = {"fp32": "#999999", "bf16": BASE, "int8": SKY, "nf4-dq": GREEN}


def compare(lesson: Lesson) -> Chart:
    """The chart of the lesson's candidates."""
    return comparison(lesson.comparison)


def comparison(report: Comparison) -> Chart:
    """Grouped bars: models on the axis, a bar for each scheme below 32 bits."""
    names = [spoken(row.model) for row in report.rows]
    shown = [index for index, name in enumerate(report.schemes) if name != "fp32"]
    made = figure(
        [
            {
                "type": "bar",
                "name": report.schemes[index],
                "x": names,
                "y": [row.schemes[index].footprint_bytes / MB for row in report.rows],
                "text": [whole_mb(row.schemes[index].footprint_bytes) for row in report.rows],
                "textposition": "outside",
                "textangle": 0,
                "constraintext": "none",
                "cliponaxis": False,
                "marker": {"color": SCHEME_COLOURS.get(report.schemes[index], BASE)},
                "hovertemplate": "%{x}, %{fullData.name}: %{text} MB<extra></extra>",
            }
            for index in shown
        ],
        height=480,
        barmode="group",
        bargap=0.18,
        showlegend=True,
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": 1.12, "yanchor": "bottom"},
        margin={"l": 20, "r": 20, "t": 80, "b": 56},
        yaxis={"tickformat": ",.0f", "nticks": 5, "rangemode": "tozero", "ticksuffix": " "},
    )
    rows = tuple((row.model, *(whole_mb(scheme.footprint_bytes) for scheme in row.schemes)) for row in report.rows)
    alt = "Grouped bar chart, weights in MB: " + "; ".join(
        f"{name} " + ", ".join(f"{report.schemes[i]} {whole_mb(row.schemes[i].footprint_bytes)}" for i in shown)
        for name, row in zip(names, report.rows, strict=True)
    )
    return Chart("compare", "Weights in MB, model beside model", alt, ("model", *report.schemes), rows, made)
