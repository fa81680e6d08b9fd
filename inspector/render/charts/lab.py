"""What the lab measured: size against loss by precision, and loss by trained parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lab.plan import CENTRE
from inspector.lab.rules import by_alpha, by_rank, by_targets
from inspector.render.charts.base import Chart, figure, plain_text
from inspector.render.theme import ADAPTERS, BASE, CONSTANTS, GREY, SMALLEST_TEXT
from inspector.units import MB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspector.lab.reports import Finetuned, FinetuneLab, PrecisionLab

Box = tuple[float, float, float, float]
PLOT = (1000.0, 400.0)
"""Pixels of the plot within a slide's figure, less what axes take: enough to see which labels would meet."""


def size_against_loss(report: PrecisionLab) -> Chart:
    """A point a precision: bytes to the right, on a logarithmic axis, loss upwards, with its standard error."""
    sizes = [row.tensor_bytes / MB for row in report.rows]
    losses = [row.loss for row in report.rows]
    names = [row.scheme for row in report.rows]
    made = figure(
        [
            {
                "type": "scatter", "mode": "markers+text", "x": sizes, "y": losses, "text": names,
                "textposition": label_places(sizes, losses, names), "cliponaxis": False,
                "marker": {"size": 14, "color": BASE},
                "error_y": {"array": [row.difference_error for row in report.rows], "color": GREY},
                "hovertemplate": "%{text}<br>%{x:,.1f} MB<br>loss %{y:.3f}<extra></extra>",
            }
        ],
        xaxis={"title": {"text": "MB, every tensor"}, "type": "log", "nticks": 6, "tickformat": ",.0f"},
        yaxis={"title": {"text": "loss, nats a token"}, "tickformat": ".2f", "nticks": 6},
        margin={"l": 20, "r": 90, "t": 30, "b": 76},
    )  # fmt: skip
    rows = tuple(
        (row.scheme, f"{row.tensor_bytes / MB:,.1f}", f"{row.loss:.3f}", f"{row.weight_error:.2%}")
        for row in report.rows
    )
    alt = f"Loss of {report.sample.model} against size: " + "; ".join(f"{n} {mb} MB {loss}" for n, mb, loss, _ in rows)
    return Chart("size-loss", "Size against loss", alt, ("scheme", "MB", "loss", "weight error"), rows, made)


def loss_by_parameters(report: FinetuneLab) -> Chart:
    """A point a run: trained parameters to the right, on a logarithmic axis, loss upwards; ranks joined by a line."""
    # All are adapters, of one colour: symbols tell what was varied. QLoRA has constants beside its base weights.
    series: tuple[tuple[str, str, str, Sequence[Finetuned], str, Callable[[Finetuned], str]], ...] = (
        (
            "rank, alpha twice r",
            ADAPTERS,
            "circle",
            by_rank(report),
            "lines+markers+text",
            lambda run: f"r {run.setup.r}",
        ),
        ("rank, alpha 16", GREY, "circle", by_rank(report, alpha=16), "lines+markers", lambda run: f"r {run.setup.r}"),
        ("alpha at r 8", ADAPTERS, "diamond-open", by_alpha(report), "markers", lambda run: f"alpha {run.setup.alpha}"),
        (
            "targets at r 8",
            ADAPTERS,
            "square",
            by_targets(report),
            "markers+text",
            lambda run: plain_text(run.setup.targets),
        ),
        ("QLoRA", CONSTANTS, "x", [run for run in report.runs if run.setup.base != "fp32"], "markers", _quantized),
    )
    made = figure(
        [
            {
                "type": "scatter", "mode": mode, "name": name, "x": [run.trainable for run in runs],
                "y": [run.loss for run in runs], "text": [word(run) for run in runs],
                "textposition": "bottom center" if "lines" in mode else "top center", "cliponaxis": False,
                "marker": {"size": 14, "color": colour, "symbol": symbol}, "line": {"color": colour, "width": 3},
                "hovertemplate": "%{text}<br>%{x:,} trained<br>loss %{y:.3f}<extra></extra>",
            }
            for name, colour, symbol, runs, mode, word in series
            # The centre is in each: one that has nothing else shows nothing.
            if name.endswith("twice r") or any(run.setup != CENTRE for run in runs)
        ],
        xaxis={"title": {"text": "trained parameters"}, "type": "log", "tickvals": _TICKS, "tickformat": "~s"},
        yaxis={"title": {"text": "loss held out, nats"}, "tickformat": ".2f", "nticks": 6},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
        margin={"l": 20, "r": 60, "t": 90, "b": 76},
    )  # fmt: skip
    rows = tuple(
        (f"{run.setup.base}, {run.setup.targets}, r {run.setup.r}, alpha {run.setup.alpha}, seed {run.setup.seed}",
         f"{run.trainable:,}", f"{run.loss:.3f}")
        for run in report.runs
    )  # fmt: skip
    alt = f"Loss of text held out after fine-tuning {report.sample.model}: " + "; ".join(
        f"{name} {loss}" for name, _, loss in rows
    )
    return Chart("lora-loss", "Loss by trained parameters", alt, ("run", "trained", "loss"), rows, made)


_TICKS = [digit * 10**power for power in range(2, 12) for digit in (1, 3)]
"""Plotly's own on a logarithmic axis are every digit, in small print."""


def _quantized(run: Finetuned) -> str:
    return f"{run.setup.base}, {plain_text(run.setup.targets)}"


_PLACES = ("top right", "bottom right", "middle left", "top left", "bottom left", "middle right")


def label_places(xs: Sequence[float], ys: Sequence[float], names: Sequence[str]) -> list[str]:
    """For each point the first of plotly's places at which its name meets neither another name nor a point."""
    import math

    across = [math.log(x) for x in xs]
    marks = [(_part(x, across) * PLOT[0], _part(y, ys) * PLOT[1]) for x, y in zip(across, ys, strict=True)]
    taken: list[Box] = [(x - 7, y - 7, x + 7, y + 7) for x, y in marks]
    found = []
    for (x, y), name in zip(marks, names, strict=True):
        boxes = {place: _box(x, y, name, place) for place in _PLACES}
        chosen = next(
            (place for place, box in boxes.items() if not any(_meet(box, other) for other in taken)), _PLACES[0]
        )
        taken.append(boxes[chosen])
        found.append(chosen)
    return found


def _part(value: float, of: Sequence[float]) -> float:
    return (value - min(of)) / ((max(of) - min(of)) or 1.0)


def _box(x: float, y: float, name: str, place: str) -> Box:
    """Where a name would stand, in pixels, upwards: letters two thirds as wide as high, 8 px from the point."""
    wide, high = SMALLEST_TEXT * 2 / 3 * len(name), float(SMALLEST_TEXT)
    low = {"top": y + 8, "middle": y - high / 2, "bottom": y - 8 - high}[place.split(maxsplit=1)[0]]
    left = x + 8 if place.endswith("right") else x - 8 - wide
    return left, low, left + wide, low + high


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
