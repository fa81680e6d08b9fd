"""From parameters x bits to the true bytes, every step with its cause."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.lesson.texts import texts
from inspector.render.charts.base import Chart, figure, room_for
from inspector.render.theme import BASE, CONSTANTS, UNQUANTIZED
from inspector.units import GB, MB, count

if TYPE_CHECKING:
    from inspector.lenses.weights import Step, WeightsReport
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts

MOST_STEPS = 2
"""Causes with a bar of their own; the others are one bar together, or none where they are a line's width."""
SEEN = 0.01
"""Share of the longest bar that is worth a bar: what is less is in the table."""


@dataclass(frozen=True, slots=True)
class _Bar:
    label: str
    start: int
    nbytes: int
    colour: str
    text: str
    hatch: str = ""


def waterfall(lesson: Lesson, say: Texts | None = None) -> Chart:
    """The waterfall of 4 bits, or of the format that the checkpoint is stored in."""
    return scheme_waterfall(lesson.explained, say)


def scheme_waterfall(report: WeightsReport, say: Texts | None = None) -> Chart:
    """The waterfall of a scheme."""
    say = say or texts()
    bars = _bars(report, say)
    # GB for models, MB for what has less than one: tiny models have steps, too.
    unit, name = (GB, "GB") if report.footprint_bytes >= GB else (MB, "MB")
    ends = [(bar.start + max(bar.nbytes, 0)) / unit for bar in bars]
    made = figure(
        [
            {
                "type": "bar",
                "orientation": "h",
                "y": [bar.label for bar in bars],
                "x": [bar.nbytes / unit for bar in bars],
                "base": [bar.start / unit for bar in bars],
                # Outside a bar that takes away is to its left.
                "text": [f"{bar.text} " if bar.nbytes < 0 else f" {bar.text}" for bar in bars],
                "textposition": "outside",
                "cliponaxis": False,
                "constraintext": "none",
                "marker": {
                    "color": [bar.colour for bar in bars],
                    "pattern": {"shape": [bar.hatch for bar in bars], "fgcolor": "#FFFFFF", "fillmode": "overlay"},
                },
                "hovertemplate": "%{y}: %{text}<extra></extra>",
            }
        ],
        height=min(496, 84 * len(bars)),
        margin={"l": 20, "r": 20, "t": 8, "b": 8},
        yaxis={"autorange": "reversed", "ticksuffix": "  ", "showgrid": False},
        # Each bar bears its number, with the unit: no axis.
        xaxis={
            "showticklabels": False, "showgrid": False, "zeroline": False,
            "range": [0, room_for(ends, [bar.text for bar in bars], 680)],
        },
        bargap=0.3,
        meta={"phone": {"names": True, "height": 64 * len(bars) + 20}},
    )  # fmt: skip
    title = say("waterfall.chart", footprint=say.size(report.footprint_bytes), naive=say.size(report.naive_bytes))
    alt = f"{title} " + "; ".join(f"{bar.label} {bar.text}" for bar in bars)
    written = lambda nbytes: say.written(f"{nbytes:,}")  # noqa: E731
    signed = lambda nbytes: say.written(f"{nbytes:+,}")  # noqa: E731
    told = lambda nbytes, sign="": say.written(f"{nbytes / unit:{sign},.2f}") + f"\N{NO-BREAK SPACE}{name}"  # noqa: E731
    constants = sum(step.nbytes for step in report.constant_steps)
    rows = (
        (say("waterfall.naive", parameters=say.written(count(report.parameters)), bits=report.bits),
         written(report.naive_bytes), told(report.naive_bytes)),
        *((cause(step.cause, say), signed(step.nbytes), told(step.nbytes, "+")) for step in report.footprint_steps),
        (say("waterfall.printed"), written(report.footprint_bytes), told(report.footprint_bytes)),
        *((cause(step.cause, say), signed(step.nbytes), told(step.nbytes, "+")) for step in report.constant_steps),
        (say("waterfall.constants"), signed(constants), told(constants, "+")),
        (say("waterfall.true"), written(report.tensor_bytes), told(report.tensor_bytes)),
    )  # fmt: skip
    return Chart("waterfall", title, alt, say.lines("waterfall.columns"), rows, made)


def cause(text: str, say: Texts) -> str:
    """A step's cause in the deck's language: ``the embedding in bfloat16``, or a constant's name as it is."""
    found = re.fullmatch(r"(.+) in (\w+)", text)
    what, dtype = found.groups() if found else (text, "")
    key = f"causes.{what.replace(' ', '_').replace(chr(39), '')}"
    if not say.has(key):
        return text
    return say(key) + (say("causes.in", dtype=dtype) if dtype else "")


def _bars(report: WeightsReport, say: Texts) -> list[_Bar]:
    unit = GB if report.footprint_bytes >= GB else MB
    name = "GB" if unit == GB else "MB"

    def total(label: str, nbytes: int) -> _Bar:
        return _Bar(
            label, 0, nbytes, BASE, f"{say.number(nbytes / unit, 2 if unit == GB else 1)}\N{NO-BREAK SPACE}{name}"
        )

    bars = [total(say("waterfall.times", bits=report.bits), report.naive_bytes)]
    start = report.naive_bytes
    for label, nbytes in _folded(report.footprint_steps, say("waterfall.rest"), report.tensor_bytes, say):
        bars.append(_Bar(label, start, nbytes, BASE, say.written(f"{nbytes / unit:+,.2f}"), UNQUANTIZED))
        start += nbytes
    bars.append(total(say("waterfall.printed"), report.footprint_bytes))
    constants = sum(step.nbytes for step in report.constant_steps)
    if constants >= SEEN * report.tensor_bytes:
        # What the sum is stands beside it: the footprint is not the end of it.
        text = say.written(f"{constants / unit:+,.2f} = {report.tensor_bytes / unit:,.2f}\N{NO-BREAK SPACE}{name}")
        bars.append(_Bar(say("waterfall.constants"), report.footprint_bytes, constants, CONSTANTS, text))
    return bars


def _folded(steps: tuple[Step, ...], others: str, whole: int, say: Texts) -> list[tuple[str, int]]:
    """The largest steps in their order, the others summed in one; what is thinner than a line is left to the table."""
    kept = sorted(steps, key=lambda step: -abs(step.nbytes))[:MOST_STEPS]
    shown = [step for step in steps if step in kept]
    rest = sum(step.nbytes for step in steps) - sum(step.nbytes for step in shown)
    told = [(cause(step.cause, say), step.nbytes) for step in shown if abs(step.nbytes) >= SEEN * whole]
    small = rest + sum(step.nbytes for step in shown if abs(step.nbytes) < SEEN * whole)
    return [*told, (others, small)] if abs(small) >= SEEN * whole else told
