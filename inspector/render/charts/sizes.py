"""The bars of the lesson: the weights at three precisions and the adapters beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.charts.base import Chart, figure, two_lines, whole_mb
from inspector.render.theme import ADAPTERS, BASE
from inspector.units import MB

if TYPE_CHECKING:
    from inspector.lesson import Lesson

TITLE = "Size of Weights in MB"


def sizes(lesson: Lesson) -> Chart:
    """The four bars of the course's chart, labelled with whole megabytes."""
    bars = lesson.sizes
    texts = [whole_mb(bar.nbytes) for bar in bars]
    made = figure(
        [
            {
                "type": "bar",
                # 19, so that the labels that are fixed, 18 characters at most, stay on one line.
                "x": [two_lines(bar.label, 19) for bar in bars],
                "y": [bar.nbytes / MB for bar in bars],
                "text": texts,
                "textposition": "outside",
                "textfont": {"size": 32},
                "cliponaxis": False,
                "marker": {"color": [ADAPTERS if bar.is_adapter else BASE for bar in bars]},
                "hovertemplate": "%{x}: %{text} MB<extra></extra>",
            }
        ],
        title=TITLE,
        height=520,
        xaxis={"tickangle": 0, "showgrid": False},
        margin={"l": 20, "r": 20, "t": 60, "b": 76},
        yaxis={"tickformat": ",.0f", "nticks": 5, "rangemode": "tozero", "ticksuffix": " "},
        bargap=0.35,
    )
    alt = f"Bar chart, {TITLE}: " + "; ".join(f"{bar.label} {text}" for bar, text in zip(bars, texts, strict=True))
    rows = tuple((bar.label, text, f"{bar.nbytes:,}") for bar, text in zip(bars, texts, strict=True))
    return Chart("sizes", TITLE, alt, ("weights", "MB", "bytes"), rows, made)
