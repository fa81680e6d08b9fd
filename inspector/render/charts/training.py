"""Where the memory goes at the peak of a training step: full fine-tuning, LoRA, QLoRA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lesson.training import CHART_CARD
from inspector.memory_kinds import MemoryKind
from inspector.render.charts.base import Chart, figure, room_for, whole_mb
from inspector.render.theme import KIND_COLOURS
from inspector.units import MB

if TYPE_CHECKING:
    from inspector.lesson import Lesson

NAMES = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}
SMALL = 0.004
"""Kinds under this share of the longest bar are drawn together."""


def training(lesson: Lesson) -> Chart:
    """Stacked bars of what is alive at the peak. Raises InspectorError when no dry run was made."""
    made_runs = lesson.training
    if made_runs is None:
        raise InspectorError(f"no dry run of {lesson.model} ships", hint="inspector report --dry-run makes one")
    runs = [made_runs.run(method) for method in made_runs.methods]
    alive = [dict(run.alive) for run in runs]
    longest = max(run.peak_allocated_bytes for run in runs)
    # In the enum's order and not by size, so that a kind has one place in all three bars.
    kinds = [kind for kind in MemoryKind if any(kind.value in found for found in alive)]
    drawn = [kind for kind in kinds if max(found.get(kind.value, 0) for found in alive) >= SMALL * longest]
    rest = [sum(found.get(kind.value, 0) for kind in kinds if kind not in drawn) for found in alive]
    layers = [(kind.value, [found.get(kind.value, 0) for found in alive], KIND_COLOURS[kind]) for kind in drawn]
    if any(rest):
        # Not the grey of workspace: that is a kind of its own, drawn beside these.
        layers.append(("other", rest, KIND_COLOURS[MemoryKind.INPUTS]))
    names = [NAMES[run.method] for run in runs]
    figure_ = figure(
        [
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": names,
                "x": [nbytes / MB for nbytes in sizes],
                "marker": {"color": colour},
                "hovertemplate": "%{y}: %{fullData.name} %{x:,.0f} MB<extra></extra>",
            }
            for name, sizes, colour in layers
        ],
        height=430,
        barmode="stack",
        bargap=0.35,
        showlegend=True,
        # Plotly turns the legend of stacked bars round where no order is said.
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.12, "yanchor": "top", "traceorder": "normal"},
        margin={"l": 20, "r": 20, "t": 10, "b": 150},
        yaxis={"autorange": "reversed", "ticksuffix": "  ", "showgrid": False},
        xaxis={
            "tickformat": ",.0f",
            "nticks": 6,
            "range": [0, room_for([longest / MB], ["000,000"], 900)],
            "ticksuffix": " MB",
        },
        # Plotly writes no sum beside a stack.
        annotations=[
            {
                "x": run.peak_allocated_bytes / MB, "y": name, "text": f" <b>{whole_mb(run.peak_allocated_bytes)}</b>",
                "xanchor": "left", "showarrow": False,
            }
            for name, run in zip(names, runs, strict=True)
        ],
    )  # fmt: skip
    alt = f"Stacked bars, memory allocated at the peak of a training step on an {CHART_CARD}, in MB: " + "; ".join(
        f"{name} {whole_mb(run.peak_allocated_bytes)}" for name, run in zip(names, runs, strict=True)
    )
    rows = tuple((kind.value, *(f"{found.get(kind.value, 0):,}" for found in alive)) for kind in kinds)
    return Chart("training", "Bytes alive at the peak", alt, ("kind", *names), rows, figure_)
