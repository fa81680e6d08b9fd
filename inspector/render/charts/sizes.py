"""The bars of the lesson: the weights at four precisions and the adapters beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.texts import texts
from inspector.render.charts.base import Chart, figure, two_lines, whole_mb
from inspector.render.theme import ADAPTERS, BASE
from inspector.units import MB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.lesson import Lesson, Size
    from inspector.lesson.texts import Texts

TITLE = "Size of Weights in MB"
"""What the course calls its axis; it stays so in every language."""
ROOM = 16
"""Characters of a bar's label on one line."""


def sizes(lesson: Lesson, say: Texts | None = None) -> Chart:
    """The course's bars, labelled with whole megabytes."""
    say = say or texts()
    bars = lesson.sizes
    labels = [bar_label(lesson, bar, say) for bar in bars]
    numbers = [say.written(whole_mb(bar.nbytes)) for bar in bars]
    made = figure(
        [
            {
                "type": "bar",
                "x": [two_lines(label, ROOM) for label in labels],
                "y": [bar.nbytes / MB for bar in bars],
                "text": numbers,
                "textposition": "outside",
                "textfont": {"size": 28},
                "cliponaxis": False,
                "marker": {"color": [ADAPTERS if bar.is_adapter else BASE for bar in bars]},
                "hovertemplate": "%{x}: %{text} MB<extra></extra>",
            }
        ],
        height=496,
        xaxis={"tickangle": 0, "showgrid": False},
        margin={"l": 20, "r": 20, "t": 44, "b": 76},
        # Each bar bears its number: an axis beside them would say it twice.
        yaxis={"title": {"text": TITLE}, "showticklabels": False, "showgrid": False, "rangemode": "tozero"},
        bargap=0.3,
        meta={"phone": {"swap": True, "height": 64 * len(bars) + 40}},
    )
    alt = alt_of(labels, numbers)
    rows = tuple(
        (label, text, say.written(f"{bar.nbytes:,}")) for label, text, bar in zip(labels, numbers, bars, strict=True)
    )
    return Chart("sizes", TITLE, alt, say.lines("sizes.columns"), rows, made)


def alt_of(labels: Sequence[str], numbers: Sequence[str]) -> str:
    """The bars in a sentence."""
    return f"{TITLE}: " + "; ".join(f"{label} {text}" for label, text in zip(labels, numbers, strict=True))


def bar_label(lesson: Lesson, bar: Size, say: Texts) -> str:
    """What a bar is called: the first as the course has it, by the model's name."""
    key = bar.key
    if key == "fp32" and lesson.stored:
        key = "unquantized"
    if key == "bf16" and lesson.skeleton.facts.dtype == "bfloat16" and not lesson.stored:
        key = "published"
    if key == "bf16" and lesson.stored and lesson.stored.is_dequantized:
        key = "loaded"
    return say(f"sizes.bars.{key}", model=lesson.name, r=lesson.adapters.r)
