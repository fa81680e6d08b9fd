"""What every page to read shares: theme, scripts inside, and a policy that allows nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inspector.render.assets import PLOTLY, TEMPLATES, THEME, environment, policy
from inspector.render.charts.base import figure
from inspector.render.simulate import said_of
from inspector.render.theme import KIND_COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.render.charts.base import Chart

SCRIPTS = (PLOTLY, TEMPLATES / "pages" / "sheet.js")
STYLES = (THEME, TEMPLATES / "pages" / "sheet.css")
TEXT = 14
"""Pixels of a chart's text on a page to read."""


def sheet_html(template: str, *, title: str, command: str, charts: Sequence[Chart], **context: Any) -> str:
    """The whole page of a template in ``templates/pages``; the same bytes for the same numbers.

    Args:
        template: its name without ``.html.j2``.
        title: the page's heading and the window's title.
        command: the command line that writes the same page.
        charts: drawn where the template says, each beside its numbers as text.
        context: what else the template reads.
    """
    scripts = [path.read_text(encoding="utf-8") for path in SCRIPTS]
    page: str = (
        environment()
        .get_template(f"pages/{template}.html.j2")
        .render(
            **context,
            pairs=lambda shares: [(share.name, share.nbytes) for share in shares],
            said=said_of,
            colours=KIND_COLOURS,
            title=title,
            command=command,
            charts={chart.name: chart for chart in charts},
            data={"charts": {chart.name: json.loads(chart.figure.to_json()) for chart in charts}},
            policy=policy(scripts),
            scripts=scripts,
            styles="\n".join(path.read_text(encoding="utf-8") for path in STYLES),
        )
    )
    return page


def sheet_figure(data: Sequence[dict[str, Any]], *, height: int, **layout: Any) -> Any:
    """A figure as wide as the page, in small text."""
    return figure(
        data,
        height=height,
        **{
            "width": None,
            "autosize": True,
            "font": {"size": TEXT},
            "hoverlabel": {"font": {"size": TEXT, "color": "#FFFFFF"}, "bgcolor": "#333333", "align": "left"},
            "showlegend": True,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
            **layout,
        },
    )


def plain_text(text: str) -> str:
    """A name from a file as plotly text, which reads tags: cleaned, its angle brackets and ampersands spelled out."""
    from html import escape

    from inspector.safe_text import clean

    return escape(clean(text), quote=False)
