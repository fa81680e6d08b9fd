"""Sixteen values of nf4 against the even steps of int4, over a histogram of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.charts.base import Chart, figure
from inspector.render.theme import GREY, LIGHT

if TYPE_CHECKING:
    from inspector.lesson import Lesson


def levels(lesson: Lesson) -> Chart:
    """Where each 4-bit code lands: dense in the middle for nf4, where the weights are."""
    found = lesson.levels
    bins = len(found.histogram)
    centres = [(index + 0.5) * 2 / bins - 1 for index in range(bins)]
    share = [100 * count / found.weights for count in found.histogram]
    top = max(share)
    ticks = {"type": "scatter", "mode": "markers", "hovertemplate": "%{x:.4f}<extra>%{fullData.name}</extra>"}
    made = figure(
        [
            {
                "type": "bar",
                "name": "weights",
                "x": centres,
                "y": share,
                "width": 2 / bins,
                "marker": {"color": GREY, "opacity": 0.55},
                "hovertemplate": "%{y:.1f}% of the weights<extra></extra>",
            },
            {
                # Below zero, where no bar is, in shares of the highest one: two rows with room for their names.
                **ticks, "name": "nf4", "x": list(found.nf4), "y": [-0.22 * top] * 16,
                "marker": {"symbol": "line-ns", "size": 44, "line": {"width": 6, "color": GREY}},
            },
            {
                **ticks, "name": "int4", "x": list(found.int4), "y": [-0.58 * top] * 16,
                "marker": {"symbol": "line-ns", "size": 44, "line": {"width": 3, "color": GREY}},
            },
        ],
        height=400,
        # The values end at -1; what is left of it is room for the three names.
        xaxis={"range": [-1.28, 1.05], "tickvals": [-1, -0.5, 0, 0.5, 1], "showgrid": False, "zeroline": False},
        yaxis={"visible": False, "range": [-0.85 * top, 1.05 * top]},
        annotations=[
            _label("weights", 0.35 * top, "#4D4D4D"),
            _label("nf4", -0.22 * top, LIGHT["ink"]),
            _label("int4", -0.58 * top, LIGHT["ink"]),
        ],
        bargap=0,
    )  # fmt: skip
    alt = (
        f"Histogram of {found.weights:,} normally distributed weights, each divided by the largest of its block of 64, "
        "with the sixteen values of nf4, dense where the weights are, and the sixteen even steps of int4"
    )
    rows = tuple(
        (str(code), f"{nf4:+.4f}", f"{int4:+.4f}")
        for code, (nf4, int4) in enumerate(zip(found.nf4, found.int4, strict=True))
    )
    title = "The sixteen values of 4 bits"
    return Chart("levels", title, alt, ("code, in order", "nf4", "int4, scaled to 1"), rows, made)


def _label(text: str, y: float, colour: str) -> dict[str, object]:
    return {
        "x": -1.06, "y": y, "text": f"<b>{text}</b>", "showarrow": False, "xanchor": "right",
        "font": {"color": colour, "size": 28},
    }  # fmt: skip
