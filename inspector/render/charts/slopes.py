"""Base models from 16 bits to 4: a line each, named at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.lesson.one_model import spoken
from inspector.lesson.texts import texts
from inspector.render.charts.base import Chart, figure
from inspector.render.theme import BASE, GREY
from inspector.units import GB

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts

MOST = 6
"""Lines whose names have room above each other."""
LONGEST = 24
STRONG = 20
"""Characters of a name, and of one in bold."""
ON_A_PHONE = 14
"""The same at the right edge of a phone, where alone there is room for names."""
APART = 0.062
"""Share of the axis that two names keep between them: 30 px of 490."""


def slopes(lesson: Lesson, say: Texts | None = None) -> Chart:
    """What each model prints in 16 bits and in 4, in GB; this lesson's model is drawn strong."""
    say = say or texts()
    report = lesson.comparison
    wide, four = report.schemes.index("bf16"), report.schemes.index("nf4-dq")
    rows = report.rows[:MOST]
    ends = [[row.schemes[at].footprint_bytes / GB for at in (wide, four)] for row in rows]
    top = 1.1 * max(max(pair) for pair in ends)
    places = [_apart([pair[side] for pair in ends], APART * top) for side in (0, 1)]
    names = [_cut(spoken(row.model), LONGEST if number else STRONG) for number, row in enumerate(rows)]
    notes: list[dict[str, Any]] = []
    small: list[dict[str, Any]] = []
    for number, (name, pair) in enumerate(zip(names, ends, strict=True)):
        sixteen, four_bits = (say.number(value, 1) for value in pair)
        for side, anchor, text, short in (
            (0, "right", f"{name} {sixteen}", sixteen),
            (1, "left", f"{four_bits} {name}", f"{four_bits} {_cut(name, ON_A_PHONE)}"),
        ):
            note = {
                "x": side, "y": places[side][number], "xanchor": anchor, "xshift": -12 if side == 0 else 12,
                "showarrow": False,
            }  # fmt: skip
            for kept, told in ((notes, text), (small, short)):
                kept.append(note | {"text": f"<b>{told}</b>" if number == 0 else told})
    axis = {
        "range": [-1.5, 2.5], "tickvals": [0, 1], "ticktext": [say("models.wide"), say("models.four")],
        "showgrid": False, "zeroline": False,
    }  # fmt: skip
    made = figure(
        [
            {
                "type": "scatter", "mode": "lines+markers", "name": name, "x": [0, 1], "y": pair,
                "line": {"color": BASE if number == 0 else GREY, "width": 5 if number == 0 else 3},
                "marker": {"size": 12}, "hovertemplate": "%{fullData.name}: %{y:.1f} GB<extra></extra>",
            }
            for number, (name, pair) in enumerate(zip(names, ends, strict=True))
        ],
        height=490,
        margin={"l": 20, "r": 20, "t": 8, "b": 44},
        xaxis=axis,
        yaxis={"range": [0, top], "visible": False},
        annotations=notes,
        meta={"phone": {"height": 360, "annotations": small, "xaxis": axis | {"range": [-0.45, 2.2]}}},
    )  # fmt: skip
    told = "; ".join(
        f"{name} {say.number(pair[0], 1)}, {say.number(pair[1], 1)}" for name, pair in zip(names, ends, strict=True)
    )
    table = tuple(
        (row.model, say.number(pair[0], 2), say.number(pair[1], 2)) for row, pair in zip(rows, ends, strict=True)
    )
    columns = (say("models.model"), f"{say('models.wide')}, GB", f"{say('models.four')}, GB")
    return Chart("models", say("models.table"), f"{say('models.table')}: {told}", columns, table, made)


def _cut(name: str, longest: int) -> str:
    """A name that has room beside its number."""
    return name if len(name) <= longest else f"{name[: longest - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _apart(values: list[float], gap: float) -> list[float]:
    """The values moved up where one would stand on another, in their order."""
    placed: dict[int, float] = {}
    last = float("-inf")
    for index in sorted(range(len(values)), key=lambda at: values[at]):
        last = placed[index] = max(values[index], last + gap)
    return [placed[index] for index in range(len(values))]
