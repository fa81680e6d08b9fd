"""Charts by name, for the deck and for `inspector chart`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.render.charts.compare import compare
from inspector.render.charts.levels import levels
from inspector.render.charts.sizes import sizes
from inspector.render.charts.slopes import slopes
from inspector.render.charts.training import training
from inspector.render.charts.trusted import trusted
from inspector.render.charts.waterfall import waterfall

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.lesson import Lesson
    from inspector.render.charts.base import Chart

_CHARTS: dict[str, Callable[..., Chart]] = {
    "sizes": sizes,
    "waterfall": waterfall,
    "levels": levels,
    "training": training,
    "compare": compare,
    "models": slopes,
    "trusted": trusted,
}
CHART_NAMES = tuple(_CHARTS)


def chart(name: str, lesson: Lesson) -> Chart:
    """The chart of a name, drawn from a lesson's numbers. Raises InspectorError for an unknown name."""
    if name not in _CHARTS:
        raise InspectorError(f"no chart is named {name!r}", hint=f"choose one of {', '.join(CHART_NAMES)}")
    return _CHARTS[name](lesson)
