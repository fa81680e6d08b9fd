"""`inspector diff-runs`."""

from __future__ import annotations

from pathlib import Path

import click

from inspector.cli.options import answer, csv_option, json_option


@click.command("diff-runs")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@json_option
@csv_option
def command(old: Path, new: Path, *, as_json: bool, as_csv: bool) -> None:
    """Say what a commit cost: two JSON files of a run, by kind of memory and by line of the script.

    OLD and NEW are what `simulate finetune`, `simulate generate`, `run` or `check` printed with --json.
    Settings and library versions that changed are named. A line whose number moved is the same line.

    \b
    Examples:
      inspector check --json > new.json
      inspector diff-runs old.json new.json
    """  # noqa: D301
    from inspector.fit.checks import diff_runs

    answer(diff_runs(old, new), as_json=as_json, as_csv=as_csv)
