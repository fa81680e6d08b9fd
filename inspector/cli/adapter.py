"""`inspector adapter`."""

from __future__ import annotations

from pathlib import Path

import click

from inspector.cli.options import answer, csv_option, json_option


@click.command("adapter")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@csv_option
def command(folder: Path, as_json: bool, as_csv: bool) -> None:
    """Show what a saved PEFT adapter holds, what it was trained on, and what merging it costs.

    \b
    Examples:
      inspector adapter ./my-lora
      inspector adapter ./my-lora --json
    """  # noqa: D301
    from inspector.adapter import read_adapter

    answer("adapter", read_adapter(folder), as_json=as_json, as_csv=as_csv)
