"""`inspector table`."""

from __future__ import annotations

import click

from inspector.cli.options import answer, csv_option, json_option


@click.command("table")
@click.argument("pattern", default="")
@click.option("--scheme", "names", multiple=True, metavar="NAME", help="Only this scheme; repeat for several.")
@json_option
@csv_option
def command(pattern: str, names: tuple[str, ...], as_json: bool, as_csv: bool) -> None:
    """Show the weights of all bundled models at all schemes; PATTERN keeps the models that contain it.

    \b
    Examples:
      inspector table llama
      inspector table --scheme bf16 --scheme nf4-dq --csv
    """  # noqa: D301
    from inspector.errors import InspectorError
    from inspector.lenses.table import table
    from inspector.precision import SCHEME_NAMES
    from inspector.progress import counting
    from inspector.sources.bundled import model_ids

    models = [model for model in model_ids() if pattern.lower() in model.lower()]
    if not models:
        raise InspectorError(f"no bundled model contains {pattern!r}", hint="`inspector models` lists all")
    # A scheme said twice would be two columns of one name.
    schemes = tuple(dict.fromkeys(names)) or SCHEME_NAMES
    with counting("Models", len(models)) as one_more:
        report = table(models, schemes, done=lambda _model: one_more())
    answer(report, as_json=as_json, as_csv=as_csv)
