"""`inspector validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inspector.cli.options import answer, answer_page, csv_option, json_option, one_form, output_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command("validate")
@click.argument("file", default="")
@json_option
@csv_option
@output_option
def command(file: str, output: Path | None, as_json: bool, as_csv: bool) -> None:
    """Hold the simulator to every published measurement, and show the errors as they are.

    FILE is one set of them: t4_transformers_peft_loop, rtx4080_qlora, a100_sfttrainer,
    l40s_peft_benchmark or inference_peaks. All of them take about three minutes.
    With -o the ledger's page is written too, to sort and to filter.

    \b
    Examples:
      inspector validate
      inspector validate a100_sfttrainer
      inspector validate --csv > ledger.csv
      inspector validate -o validate.html
    """  # noqa: D301
    from inspector.progress import working
    from inspector.validation.ledger import validate

    one_form(output, as_json=as_json, as_csv=as_csv)
    with working("simulating published runs") as say:
        ledger = validate(file, say=say)
    if str(output) != "-":
        answer("validate", ledger, as_json=as_json, as_csv=as_csv)
    if output is not None:
        answer_page("validate", ledger, output)
