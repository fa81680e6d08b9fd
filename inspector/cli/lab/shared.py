"""What both experiments take: a model, a device, the shipped record instead of a run, and a file for the chart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from inspector.cli.options import answer, one_form, say_written
from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.reporting import TableReport

F = TypeVar("F", bound="Callable[..., Any]")


def lab_options(function: F) -> F:
    """The options of both, in the order of the help page."""
    from inspector.cli.options import csv_option, json_option

    options = (
        click.argument("model", metavar="[MODEL]", required=False),
        click.option(
            "--device", default="auto", show_default=True, help="cuda, cuda:1, cpu, or auto: a GPU if there is one."
        ),
        click.option("--recorded", is_flag=True, help="Run nothing: show the record that ships with Inspector."),
        click.option(
            "-o", "--output", type=click.Path(path_type=Path), help="Write the chart: .html, .svg, .png or .json."
        ),
        csv_option,
        json_option,
    )
    for option in reversed(options):
        function = option(function)
    return function


def check_output(output: Path | None, *, as_json: bool, as_csv: bool) -> None:
    """Raise, before minutes of work, when the answer could not be given in the form that was asked for."""
    from inspector.render.charts.files import FORMATS

    one_form(output, as_json=as_json, as_csv=as_csv)
    if output is not None and output.suffix.lstrip(".") not in FORMATS:
        raise InspectorError(f"no chart is written as {output.name!r}", hint=f"end its name in .{', .'.join(FORMATS)}")


def give(report: TableReport, output: Path | None, *, as_json: bool, as_csv: bool) -> None:
    """Print the report, or write its chart."""
    if output is None:
        answer(report, as_json=as_json, as_csv=as_csv)
        return
    from typing import cast

    from inspector.files import write_output
    from inspector.render.charts.files import chart_bytes
    from inspector.reporting import renderer

    drawer = cast("Any", renderer(report.kind))
    write_output(output, chart_bytes(drawer.charts(report)[0], output.suffix.lstrip(".")))
    say_written(output)
