"""What every chart shares: the frame of a figure, and the words that stand in for it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from inspector.render.theme import FONT, LIGHT, SMALLEST_TEXT
from inspector.safe_text import clean
from inspector.units import MB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plotly.graph_objects import Figure

# A slide of 1280 x 720 less its padding, 56 on each side (deck.css).
WIDTH, HEIGHT = 1168, 500
TEXT = 14
"""Pixels of a chart's text on a page to read; a slide's is larger."""


@dataclass(frozen=True)
class Chart:
    """A figure, what it shows in a sentence, and its numbers as a table (a heading and cells for each row)."""

    name: str
    title: str
    alt: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figure: Figure


def figure(data: Sequence[Mapping[str, object]], *, title: str = "", height: int = HEIGHT, **layout: object) -> Figure:
    """A plotly figure in Inspector's look: large text, no template, nothing to click but the marks."""
    from plotly.graph_objects import Figure

    axis = {"color": LIGHT["ink"], "gridcolor": LIGHT["rule"], "zerolinecolor": LIGHT["rule"], "fixedrange": True}
    merged: dict[str, object] = {
        # Plotly's own template would add 6 kB to the JSON of every figure.
        "template": "none",
        "width": WIDTH,
        "height": height,
        "font": {"family": FONT, "size": SMALLEST_TEXT, "color": LIGHT["ink"]},
        # So that the page's own paper shows, light or dark.
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 20, "r": 20, "t": 60 if title else 16, "b": 56},
        "showlegend": False,
        "hoverlabel": {"font": {"size": SMALLEST_TEXT}},
        **layout,
    }
    if title:
        merged["title"] = {"text": title, "font": {"size": 32}, "x": 0.5, "xanchor": "center"}
    for name in [key for key in merged if key.startswith(("xaxis", "yaxis"))] or ["xaxis", "yaxis"]:
        # What a chart says goes over the frame: the timeline lets its axis be drawn out.
        merged[name] = {**axis, "automargin": True, **_mapping(merged.get(name))}
    return Figure(data=list(data), layout=merged)


def _mapping(given: object) -> Mapping[str, object]:
    return given if isinstance(given, dict) else {}


def page_figure(data: Sequence[Mapping[str, object]], *, height: int, **layout: object) -> Figure:
    """A figure as wide as the page, in small text."""
    return figure(
        data,
        title="",
        height=height,
        **{
            "width": None,
            "autosize": True,
            "font": {"size": TEXT},
            # White on dark in both themes; the style sheets hold the text of hover boxes to that white.
            "hoverlabel": {"font": {"size": TEXT, "color": "#FFFFFF"}, "bgcolor": "#333333", "align": "left"},
            "showlegend": True,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
            **layout,
        },
    )


def whole_mb(nbytes: int) -> str:
    """``5591540224`` as ``5,592``; with a decimal or as bytes where whole megabytes would say too little."""
    # Below 100 whole megabytes have fewer than three digits, and adapters are told apart by their tenths.
    if abs(nbytes) >= 100 * MB or nbytes == 0:
        return f"{nbytes / MB:,.0f}"
    if abs(nbytes) >= MB // 20:
        return f"{nbytes / MB:,.1f}"
    return f"{nbytes / MB:,.4f}"


def room_for(ends: Sequence[float], texts: Sequence[str], pixels: int) -> float:
    """The end of an axis ``pixels`` long that leaves room for a text of 24 px beyond each bar's end."""
    # 16 px a character, two thirds of its height; a bar gets what the text leaves of the axis.
    return max(end / (1 - 16 * len(text) / pixels) for end, text in zip(ends, texts, strict=True))


def two_lines(name: str, room: int = 14) -> str:
    """A name longer than ``room`` characters on two lines."""
    words = name.split()
    if len(name) <= room or len(words) < 2:
        return name
    half = min(range(1, len(words)), key=lambda at: abs(len(" ".join(words[:at])) - len(name) / 2))
    return f"{' '.join(words[:half])}<br>{' '.join(words[half:])}"


def plain_text(text: str) -> str:
    """A name from a file as plotly text, which reads tags: cleaned, its angle brackets and ampersands spelled out."""
    # Quotes matter in attributes only, and a name never stands in one.
    return escape(clean(text), quote=False)
