"""From parameters x bits to the true bytes, every step with its cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.render.charts.base import Chart, figure, room_for, whole_mb
from inspector.render.theme import BASE, CONSTANTS, UNQUANTIZED
from inspector.units import MB, count

if TYPE_CHECKING:
    from inspector.lenses.weights import Step, WeightsReport
    from inspector.lesson import Lesson

MOST_STEPS = 4
"""Steps shown of each half; the smallest others are one bar together."""


@dataclass(frozen=True, slots=True)
class _Bar:
    label: str
    start: int
    nbytes: int
    colour: str
    text: str


def waterfall(lesson: Lesson) -> Chart:
    """The waterfall of 4 bits, or of the format that the checkpoint is stored in."""
    return scheme_waterfall(lesson.explained)


def scheme_waterfall(report: WeightsReport) -> Chart:
    """The waterfall of a scheme."""
    bars = _bars(report)
    made = figure(
        [
            {
                "type": "bar",
                "orientation": "h",
                "y": [bar.label for bar in bars],
                "x": [bar.nbytes / MB for bar in bars],
                "base": [bar.start / MB for bar in bars],
                # Outside a bar that takes away is to its left.
                "text": [f"{bar.text} " if bar.nbytes < 0 else f" {bar.text}" for bar in bars],
                "textposition": "outside",
                "cliponaxis": False,
                "constraintext": "none",
                "marker": {"color": [bar.colour for bar in bars]},
                "hovertemplate": "%{y}: %{text} MB<extra></extra>",
            }
        ],
        # 44 px a bar: a quarter is gap, and 33 hold a text of 24.
        height=max(330, 44 * len(bars)),
        yaxis={"autorange": "reversed", "ticksuffix": "  ", "showgrid": False},
        xaxis={
            "tickformat": ",.0f",
            "nticks": 5,
            "range": [
                0,
                room_for([(bar.start + max(bar.nbytes, 0)) / MB for bar in bars], [bar.text for bar in bars], 680),
            ],
            "ticksuffix": " MB",
        },
        bargap=0.25,
    )
    title = f"Why {whole_mb(report.footprint_bytes)} MB and not {whole_mb(report.naive_bytes)}?"
    alt = f"Waterfall chart of {report.scheme}, in MB: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars)
    rows = (
        (f"{count(report.parameters)} x {report.bits} bits", f"{report.naive_bytes:,}"),
        *((step.cause, f"{step.nbytes:+,}") for step in report.footprint_steps),
        ("get_memory_footprint()", f"{report.footprint_bytes:,}"),
        *((step.cause, f"{step.nbytes:+,}") for step in report.constant_steps),
        ("true tensor bytes", f"{report.tensor_bytes:,}"),
    )
    return Chart("waterfall", title, alt, ("step", "bytes"), rows, made)


def _bars(report: WeightsReport) -> list[_Bar]:
    def total(label: str, nbytes: int) -> _Bar:
        return _Bar(label, 0, nbytes, BASE, whole_mb(nbytes))

    bars = [total(f"parameters x {report.bits} bits", report.naive_bytes)]
    bars += _steps(report.naive_bytes, _folded(report.footprint_steps, "the rest"), UNQUANTIZED)
    bars.append(total("printed footprint", report.footprint_bytes))
    bars += _steps(report.footprint_bytes, _folded(report.constant_steps, "other constants"), CONSTANTS)
    bars.append(total("true bytes", report.tensor_bytes))
    return bars


def _steps(start: int, steps: list[tuple[str, int]], colour: str) -> list[_Bar]:
    bars = []
    for cause, nbytes in steps:
        bars.append(_Bar(cause, start, nbytes, colour, _signed(nbytes)))
        start += nbytes
    return bars


def _signed(nbytes: int) -> str:
    """Megabytes with a sign; bytes where megabytes would round to nothing."""
    return f"{'+' if nbytes > 0 else ''}{whole_mb(nbytes)}" if abs(nbytes) >= MB // 20 else f"{nbytes:+,} B"


def _folded(steps: tuple[Step, ...], others: str) -> list[tuple[str, int]]:
    """The largest steps in their order, the others summed in one."""
    if len(steps) <= MOST_STEPS:
        return [(step.cause, step.nbytes) for step in steps]
    # One less, for the others' bar is one of them.
    kept = sorted(steps, key=lambda step: -abs(step.nbytes))[: MOST_STEPS - 1]
    shown = [(step.cause, step.nbytes) for step in steps if step in kept]
    return [*shown, (others, sum(step.nbytes for step in steps if step not in kept))]
