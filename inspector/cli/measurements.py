"""`inspector measurements`."""

from __future__ import annotations

from pathlib import Path

import click

from inspector.cli.options import answer, csv_option, json_option


@click.command("measurements")
@click.argument("paths", metavar="[PATH]...", type=click.Path(path_type=Path), nargs=-1)
@json_option
@csv_option
def command(paths: tuple[Path, ...], as_json: bool, as_csv: bool) -> int:
    """List measurements, each beside what is predicted today.

    PATH is a record or a folder of them. Without one: those that ship with Inspector and your own.
    Exit code 1 when a figure that must be equal to its prediction is not.

    \b
    Examples:
      inspector measurements
      inspector measurements --json
      inspector measurements ./records
    """  # noqa: D301
    from inspector.measure.records import find_records

    report = find_records(paths)
    answer(report, as_json=as_json, as_csv=as_csv)
    return 0 if report.agree else 1
