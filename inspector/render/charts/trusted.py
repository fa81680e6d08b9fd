"""Peaks of published training runs: what a dry run predicted against what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.texts import texts
from inspector.render.charts.base import Chart, figure
from inspector.render.theme import GREY
from inspector.units import GB

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts

# In ink and by their form: a colour is a kind of memory.
SYMBOLS = ("circle", "square", "diamond", "cross")


def trusted(lesson: Lesson, say: Texts | None = None) -> Chart:
    """A mark for each run, and the line on which prediction and measurement are equal; GB, both axes logarithmic."""
    say = say or texts()
    lines = lesson.ledger
    measured = [pair[1] / GB for line in lines for pair in line.pairs] or [1.0]
    ends = [0.85 * min(measured), 1.18 * max(measured)]
    axis = {"type": "log", "tickvals": [2, 5, 10, 20, 50], "showgrid": False, "zeroline": False}
    made = figure(
        [
            {
                "type": "scatter", "mode": "lines", "x": ends, "y": ends, "hoverinfo": "skip", "showlegend": False,
                "line": {"color": GREY, "width": 2},
            },
            *(
                {
                    "type": "scatter", "mode": "markers", "name": f"{line.device}, {line.runs}",
                    "x": [pair[1] / GB for pair in line.pairs], "y": [pair[0] / GB for pair in line.pairs],
                    "marker": {"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 12, "color": GREY},
                    "hovertemplate": "%{x:.3f} / %{y:.3f} GB<extra>%{fullData.name}</extra>",
                }
                for number, line in enumerate(lines)
            ),
        ],
        width=540,
        height=490,
        showlegend=True,
        legend={"x": 0.02, "y": 1, "yanchor": "top", "itemclick": False, "itemdoubleclick": False},
        margin={"l": 20, "r": 10, "t": 8, "b": 40},
        xaxis={**axis, "title": {"text": say("trust.axis_x")}},
        yaxis={**axis, "title": {"text": say("trust.axis_y")}},
        meta={"phone": {"height": 340}},
    )  # fmt: skip
    told = "; ".join(f"{line.device}: {line.runs}" for line in lines)
    rows = tuple(
        (line.device, say.number(measured / GB, 3), say.number(predicted / GB, 3))
        for line in lines for predicted, measured in line.pairs
    )  # fmt: skip
    alt = say("trust.alt", runs=sum(line.runs for line in lines), told=told)
    return Chart("trusted", say("trust.ledger"), alt, say.lines("trust.pair_columns"), rows, made)
