"""Every picture with an axis: plotly figures with their alt text and data table, made from reports and nothing else."""

from inspector.render.charts.base import Chart
from inspector.render.charts.registry import CHART_NAMES, chart

__all__ = ["CHART_NAMES", "Chart", "chart"]
