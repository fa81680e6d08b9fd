"""From a card's bytes down to the KV cache, a bar for each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.charts.base import Chart, figure, room_for
from inspector.render.theme import ACTIVATIONS, BASE, CONSTANTS, GREY
from inspector.units import GiB, count, gibibytes

if TYPE_CHECKING:
    from inspector.serving.report import ServingReport


def serving_waterfall(report: ServingReport) -> Chart:
    """What each term takes off, and what is left for the cache; the range as a line on its bar."""
    first, *taken = report.terms
    bars = [(first.name, 0, first.span.value, GREY, 0)]
    left = first.span.value
    for term in taken:
        left -= term.span.value
        colour = BASE if term.name.startswith("weights") else CONSTANTS
        bars.append((term.name, max(left, 0), term.span.value, colour, term.span.high - term.span.low))
    cache = report.kv_bytes
    bars.append(("KV cache", 0, max(cache.value, 0), ACTIVATIONS, cache.high - cache.low))
    texts = [gibibytes(nbytes) for _, _, nbytes, _, _ in bars]
    made = figure(
        [
            {
                "type": "bar",
                "orientation": "h",
                "y": [name for name, *_ in bars],
                "x": [nbytes / GiB for _, _, nbytes, _, _ in bars],
                "base": [start / GiB for _, start, _, _, _ in bars],
                "text": [f" {text}" for text in texts],
                "textposition": "outside",
                "cliponaxis": False,
                "marker": {"color": [colour for *_, colour, _ in bars]},
                "hovertemplate": "%{y}: %{text}<extra></extra>",
            }
        ],
        height=min(496, 70 * len(bars)),
        margin={"l": 20, "r": 20, "t": 8, "b": 8},
        yaxis={"autorange": "reversed", "ticksuffix": "  ", "showgrid": False},
        xaxis={
            "showticklabels": False, "showgrid": False, "zeroline": False,
            "range": [0, room_for([(start + nbytes) / GiB for _, start, nbytes, _, _ in bars], texts, 680)],
        },
        bargap=0.3,
    )  # fmt: skip
    held = f"{gibibytes(cache.value)} for the KV cache, {count(report.kv_tokens.value)} tokens"
    title = f"{report.engine} on {report.card}: {held}"
    rows = tuple((name, f"{nbytes:,}", f"{width:,}") for (name, _, nbytes, _, width) in bars)
    alt = f"{title}. " + "; ".join(f"{name} {text}" for (name, *_), text in zip(bars, texts, strict=True))
    return Chart("serving", title, alt, ("step", "bytes", "bytes the range is wide"), rows, made)
