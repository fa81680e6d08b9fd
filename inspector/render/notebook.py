"""A report in a notebook: the figures of its page, and under them its tables.

A cell's output stands alone. It is copied, cleared, run again and exported without its neighbours, so each carries
plotly.js, packed to half a megabyte, and asks no network for it; a page unpacks it once, however many it shows.
"""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from markupsafe import Markup

from inspector.render.assets import PLOTLY, TEMPLATES, environment
from inspector.render.charts.base import TEXT
from inspector.render.html_text import blocks
from inspector.reporting import renderer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.render.charts import Chart
    from inspector.reporting import Report

FOLDER = TEMPLATES / "notebook"


def report_html(report: Report) -> str:
    """What a cell shows: the heading, figures where the report has some, and all that a terminal shows."""
    drawer = renderer(report.kind)
    draw = cast("Callable[[Report], tuple[Chart, ...]]", getattr(drawer, "charts", lambda _report: ()))
    charts = draw(report)
    figures = {chart.name: _figure(chart) for chart in charts}
    # The figures go between the heading and the tables.
    head, *body = blocks(drawer.text(report))
    page: str = (
        environment()
        .get_template("notebook/report.html.j2")
        .render(
            head=head,
            body=Markup("\n").join(body),
            charts=charts,
            legends={name: _legend(figure["data"]) for name, figure in figures.items()},
            styles=(FOLDER / "notebook.css").read_text(encoding="utf-8"),
            script=_script(),
            plotly=_plotly(),
            figures=_packed(json.dumps(figures)),
        )
    )
    return page


def _figure(chart: Chart) -> dict[str, Any]:
    """A figure as plotly's JSON, as wide as the cell; one made for slides has its text made smaller."""
    found: dict[str, Any] = json.loads(chart.figure.to_json())
    layout = found["layout"]
    # Only slides' figures have a width: a page's are as wide as it is.
    if layout.pop("width", None):
        layout["autosize"] = True
        layout["font"]["size"] = layout["hoverlabel"]["font"]["size"] = TEXT
    return found


def _legend(traces: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Names and colours of stacked areas: too many for plotly's own legend, which would cover the stages' names."""
    return [(trace["name"], trace["fillcolor"]) for trace in traces if trace.get("stackgroup")]


@cache
def _script() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in (TEMPLATES / "figures.js", FOLDER / "notebook.js"))


@cache
def _plotly() -> str:
    return _packed(PLOTLY.read_text(encoding="utf-8"))


def _packed(text: str) -> str:
    """Text gzipped, in letters, the same whenever it is made."""
    # Without the time that gzip writes in front, or a notebook that is run again would differ in every output.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
