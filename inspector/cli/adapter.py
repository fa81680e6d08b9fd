"""`inspector adapter`."""

from __future__ import annotations

import click

from inspector.cli.options import answer, csv_option, json_option


@click.command("adapter")
# No ModelReference: that one completes the bundled models, and none of them is an adapter.
@click.argument("adapter")
@json_option
@csv_option
def command(adapter: str, as_json: bool, as_csv: bool) -> None:
    """Show what a saved PEFT adapter holds, what it was trained on, and what merging it costs.

    ADAPTER is a folder, or a name on the hub, of which only the config and the header of the weights are read.

    \b
    Examples:
      inspector adapter ./my-lora
      inspector adapter ./my-lora --json
      inspector adapter org/name@main
    """  # noqa: D301
    from inspector.lenses.saved_adapter import read_adapter

    answer(read_adapter(adapter), as_json=as_json, as_csv=as_csv)
