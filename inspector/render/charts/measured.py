"""A measurement beside its prediction: two bars a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.charts.base import Chart, page_figure
from inspector.render.theme import BASE, GREY
from inspector.units import MB, count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.measure.report import Measurement


def predicted_beside_measured(report: Measurement, names: Mapping[str, str]) -> Chart:
    """Grouped bars in MB, a figure a line, ``names`` what each is called; where both are equal, they end alike."""
    compared = report.comparisons
    lines = [names.get(each.name, each.name) for each in compared]
    both = {"predicted": [each.predicted for each in compared], "measured": [each.measured for each in compared]}
    figure = page_figure(
        [
            {
                "type": "bar", "orientation": "h", "name": name, "y": lines, "x": [value / MB for value in values],
                "marker": {"color": colour}, "hovertemplate": "%{y}: %{x:,.1f} MB<extra>%{fullData.name}</extra>",
            }
            for (name, values), colour in zip(both.items(), (GREY, BASE), strict=True)
        ],
        height=120 + 44 * len(lines),
        barmode="group",
        bargap=0.25,
        xaxis={"title": {"text": "MB"}, "tickformat": ",.0f", "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "ticksuffix": "  ", "showgrid": False},
        margin={"l": 10, "r": 12, "t": 40, "b": 40},
    )  # fmt: skip
    rows = tuple(
        (name, count(each.predicted), count(each.measured), f"{each.difference:+,}")
        for name, each in zip(lines, compared, strict=True)
    )
    alt = "Predicted beside measured bytes: " + "; ".join(f"{name} {one}, {other}" for name, one, other, _ in rows)
    return Chart(
        "measured", "Predicted beside measured", alt, ("bytes", "predicted", "measured", "difference"), rows, figure
    )
