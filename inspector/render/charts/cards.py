"""A bar a card: what its memory is full of at its peak, and its room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.memory_kinds import MemoryKind
from inspector.render.card_bars import HELD, outside
from inspector.render.charts.base import Chart, page_figure
from inspector.render.theme import GREY, KIND_COLOURS, KIND_HATCHES
from inspector.units import GiB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.render.card_bars import CardBar

_SAYS = "%{y}: %{x:,.2f} GiB<extra>%{fullData.name}</extra>"


def cards(drawn: Sequence[CardBar], title: str = "What each card is full of at its peak") -> Chart:
    """Bars in GiB, the process of each card; a line is its room."""
    names, besides = [card.name for card in drawn], outside(drawn)
    kinds = [str(kind) for kind in MemoryKind if any(str(kind) in dict(card.shares) for card in drawn)]
    traces: list[dict[str, Any]] = [
        {
            **_bar(names, [dict(card.shares).get(kind, 0) for card in drawn], kind),
            "marker": {
                "color": KIND_COLOURS[MemoryKind(kind)],
                "pattern": {
                    "shape": KIND_HATCHES.get(MemoryKind(kind), ""),
                    "fgcolor": "#FFFFFF",
                    "fillmode": "overlay",
                },
                "line": {"width": 1, "color": GREY},
            },
        }
        for kind in kinds
    ]
    for name, sizes, shape in (
        (HELD, [card.held for card in drawn], "/"),
        (besides, [card.outside for card in drawn], "."),
    ):
        marker = {"color": "rgba(0,0,0,0)", "line": {"width": 1, "color": GREY},
                  "pattern": {"shape": shape, "fgcolor": GREY}}  # fmt: skip
        traces.append({**_bar(names, sizes, name), "marker": marker})
    room = _gib(drawn[0].usable)
    made = page_figure(
        traces,
        height=170 + 34 * len(drawn),
        barmode="stack",
        margin={"l": 10, "r": 16, "t": 90, "b": 40},
        xaxis={"title": {"text": "GiB"}, "tickformat": ",", "rangemode": "tozero"},
        yaxis={"autorange": "reversed"},
        shapes=[{"type": "line", "x0": room, "x1": room, "y0": 0, "y1": 1, "yref": "paper",
                 "line": {"color": GREY, "width": 2, "dash": "dot"}}],
        annotations=[{"x": room, "y": 0, "yref": "paper", "xanchor": "right", "yanchor": "bottom", "showarrow": False,
                      "text": "room"}],
    )  # fmt: skip
    columns = ("card", *kinds, HELD, besides, "process")
    rows = tuple(
        (card.name, *(f"{_gib(dict(card.shares).get(kind, 0)):,.2f}" for kind in kinds), f"{_gib(card.held):,.2f}",
         f"{_gib(card.outside):,.2f}", f"{_gib(card.total):,.2f}")
        for card in drawn
    )  # fmt: skip
    told = "; ".join(f"{card.name} {_gib(card.total):,.1f} GiB" for card in drawn)
    return Chart("cards", title, f"A bar a card, of {room:,.1f} GiB each: {told}", columns, rows, made)


def _bar(names: list[str], sizes: Sequence[int], name: str) -> dict[str, Any]:
    return {
        "type": "bar", "orientation": "h", "name": name, "y": names, "x": [_gib(size) for size in sizes],
        "hovertemplate": _SAYS,
    }  # fmt: skip


def _gib(nbytes: int) -> float:
    return round(nbytes / GiB, 3)
