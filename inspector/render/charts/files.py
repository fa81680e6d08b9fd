"""A chart as a file: an HTML page, plotly's JSON, or a picture."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.render.assets import PLOTLY

if TYPE_CHECKING:
    from inspector.render.charts.base import Chart

FORMATS = ("html", "png", "svg", "json")


def chart_bytes(chart: Chart, form: str) -> bytes:
    """The chart in one of `FORMATS`. The HTML page holds plotly.js and needs no network.

    Raises InspectorError when a picture is asked for and kaleido, or the browser it drives, is missing.
    """
    if form == "json":
        return f"{chart.figure.to_json()}\n".encode()
    if form == "html":
        return _page(chart).encode()
    return _picture(chart, form)


def _page(chart: Chart) -> str:
    # plotly's package would put in its full build, 4.8 MB; ours is the basic one, 1.2 MB.
    body = chart.figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=f"chart-{chart.name}", config={"displayModeBar": False}
    )
    script = PLOTLY.read_text(encoding="utf-8")
    title, alt = html.escape(chart.title), html.escape(chart.alt)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f'<script>{script}</script></head>\n<body><div role="img" aria-label="{alt}">{body}</div></body>\n</html>\n'
    )


def _picture(chart: Chart, form: str) -> bytes:
    try:
        # By itself first, to tell a missing package from a missing browser.
        import kaleido  # noqa: F401
    except ImportError:
        raise InspectorError(
            f"{form} pictures need kaleido", hint="pip install 'llm-inspector[png]', or take --format html"
        ) from None
    try:
        picture: bytes = chart.figure.to_image(format=form)
    except Exception as error:  # kaleido fails in many ways when its browser is missing or broken
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InspectorError(
            f"kaleido could not draw the picture: {said[:120]}",
            hint="it drives Chrome or Chromium: install one, or take --format html",
        ) from error
    return picture
