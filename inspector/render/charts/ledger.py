"""Every prediction beside its measurement, and the errors of each set of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.render import theme
from inspector.render.charts.base import Chart, page_figure, plain_text
from inspector.units import GiB, MiB, count
from inspector.validation.ledger_by_set import FIGURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.validation.ledger import Line
    from inspector.validation.ledger_by_set import RecordSet

# Sets are told apart by their marks alone: a colour is a kind of memory.
SYMBOLS = ("circle", "diamond-open", "square", "triangle-up-open", "cross", "x-open")
HOVER = "%{text}<extra></extra>"


def ledger_charts(sets: Sequence[RecordSet]) -> tuple[Chart, ...]:
    """All figures together, then the errors of each set; of a ledger without a figure, none."""
    measured = [found for found in sets if found.runs]
    return (everything(sets), *(errors(found) for found in measured)) if measured else ()


def everything(sets: Sequence[RecordSet]) -> Chart:
    """Predicted against measured, both in GiB and logarithmic, with the line where they are equal."""
    measured = [line.measured / GiB for found in sets for line in found.lines]
    # A tenth further on both sides: the first and the last mark lie on the line, not on its ends.
    ends = [0.9 * min(measured), 1.1 * max(measured)]
    equal = {
        "type": "scatter", "mode": "lines", "x": ends, "y": ends, "showlegend": False, "hoverinfo": "skip",
        "line": {"color": theme.GREY, "width": 1},
    }  # fmt: skip
    figure = page_figure(
        [
            # First, and so under the marks.
            equal,
            *(
                _marks(found.title, found.lines, found, number) | {"y": [line.predicted / GiB for line in found.lines]}
                for number, found in enumerate(found for found in sets if found.runs)
            ),
        ],
        height=560,
        margin={"l": 10, "r": 12, "t": 10, "b": 50},
        xaxis=_logarithmic("measured GiB"),
        yaxis=_logarithmic("predicted GiB"),
    )
    alt = f"Predicted against measured bytes of {count(len(measured))} figures, logarithmic: all close to the diagonal"
    return Chart("all", "Predicted against measured", alt, (), (), figure)


def errors(found: RecordSet) -> Chart:
    """The error of every figure of a set, in percent, over what was measured."""
    data: list[dict[str, Any]] = []
    for number, summary in enumerate(found.summaries):
        lines = [line for line in found.lines if line.figure == summary.figure]
        data.append(_marks(FIGURES[summary.figure], lines, found, number) | {"y": [100 * line.error for line in lines]})
    figure = page_figure(
        data,
        height=400,
        margin={"l": 10, "r": 12, "t": 10, "b": 50},
        xaxis=_logarithmic("measured GiB"),
        yaxis={"title": {"text": "error"}, "ticksuffix": " %", "zerolinecolor": theme.GREY, "zerolinewidth": 2},
    )
    worst = max(found.summaries, key=lambda summary: abs(summary.worst))
    alt = f"{found.title}: errors over measured bytes; the worst {worst.worst:+.2%} in {worst.worst_id}"
    return Chart(found.file, found.title, alt, (), (), figure)


def _marks(name: str, lines: Sequence[Line], found: RecordSet, number: int) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": [line.measured / GiB for line in lines],
        "marker": {
            # Seen through, because the marks of good predictions lie on top of each other.
            "size": 9, "opacity": 0.75, "color": theme.GREY,
            "symbol": SYMBOLS[number % len(SYMBOLS)],
        },
        "text": [_hover(line, found) for line in lines], "hovertemplate": HOVER,
    }  # fmt: skip


def _hover(line: Line, found: RecordSet) -> str:
    """The run, its settings, both figures, the error, and what is known of it, a line each."""
    run = line.question
    said = [
        f"<b>{plain_text(run.id)}</b> {plain_text(run.model)}",
        plain_text(f"{run.method} {run.config} on {run.gpu}"),
        f"{FIGURES[line.figure]}: predicted {line.predicted / MiB:,.1f} MiB, measured {line.measured / MiB:,.1f} MiB",
        f"<b>{line.error:+.3%}</b>",
        *(plain_text(note) for note in run.notes),
        *(plain_text(text) for text in found.differs(run)),
    ]
    return "<br>".join(part for line in said for part in _folded(line))


def _folded(line: str, room: int = 60) -> list[str]:
    """A line in pieces of about ``room`` characters, so that a phone shows the whole box."""
    import textwrap

    return textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False)


def _logarithmic(title: str) -> dict[str, Any]:
    # D2 has figures at 1, 2 and 5 of each power of ten: between powers alone most marks would stand far from any.
    return {"title": {"text": title}, "type": "log", "tickformat": "~g", "dtick": "D2"}
