"""`inspector layers`."""

from __future__ import annotations

import click

from inspector.cli.options import answer, csv_option, json_option, model_argument, vocabulary_options


@click.command("layers")
@model_argument
@click.option("--expand", is_flag=True, help="Show every layer, not runs of identical ones.")
# From 1, as 0 would leave no line at all.
@click.option("--depth", type=click.IntRange(1), help="Deepest level to show.")
@click.option("--filter", "pattern", metavar="GLOB", help="Show only modules that match, such as '*.q_proj'.")
@json_option
@csv_option
@vocabulary_options
def command(model: str, expand: bool, depth: int | None, pattern: str | None, as_json: bool, as_csv: bool) -> None:
    """List a model's modules, identical decoder layers in one line.

    \b
    Examples:
      inspector layers
      inspector layers qwen3-30b-a3b --depth 4
      inspector layers llama-3.1-8b --filter '*_proj'
      inspector layers ./my-model/config.json --json
    """  # noqa: D301
    from inspector.lenses import layers as lens
    from inspector.sources.resolve import resolve

    report = lens.layers(resolve(model), expand=expand, depth=depth, pattern=pattern)
    answer(report, as_json=as_json, as_csv=as_csv)
