"""`inspector validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inspector.cli.options import answer, answer_page, csv_option, json_option, one_form, output_option

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem


class MeasuredRuns(click.ParamType[str]):
    """A published set by its name, or a file; completes the names, then files."""

    name = "runs"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Sets that begin so; a file when none does."""
        from click.shell_completion import CompletionItem

        from inspector.validation.forms import ALL
        from inspector.validation.serving_records import SETS

        names = [name for name in (*ALL, *SETS) if name.startswith(incomplete)]
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


@click.command("validate")
@click.argument("runs", metavar="[SET|FILE]", type=MeasuredRuns(), default="")
@click.option("--form", metavar="SET", default="", help="The set whose form FILE has; left out, told from the file.")
@json_option
@csv_option
@output_option
def command(runs: str, form: str, output: Path | None, as_json: bool, as_csv: bool) -> None:
    """Hold the simulator to every published measurement, or to your own, and show the errors as they are.

    SET is one published set: t4_transformers_peft_loop, rtx4080_qlora, a100_sfttrainer,
    l40s_peft_benchmark or inference_peaks. All of them take about three minutes.
    Of several cards, by name alone: multigpu_fms, multigpu_deepspeed, multigpu_torchtitan and others.
    Of losses and preference training: preference (seconds).
    Of engines' logs: serving_vllm, serving_sglang, serving_llamacpp (seconds, without torch).
    FILE is a JSON list of runs you measured, in the form of a set (docs/records.md); a field
    that is not understood is named.
    With -o the ledger's page is written too, to sort and to filter.

    \b
    Examples:
      inspector validate
      inspector validate a100_sfttrainer
      inspector validate --csv > ledger.csv
      inspector validate -o validate.html
      inspector validate serving_vllm
      inspector validate my-runs.json --form a100_sfttrainer
    """  # noqa: D301
    from inspector.progress import working
    from inspector.validation.serving_records import is_of_engines

    one_form(output, as_json=as_json, as_csv=as_csv)
    if runs and is_of_engines(runs):
        from inspector.validation.serving_ledger import validate_serving

        if output is not None or form:
            raise click.UsageError("engines' logs have no page and one form: leave out --output and --form")
        answer(validate_serving(runs), as_json=as_json, as_csv=as_csv)
        return
    from inspector.validation.ledger import validate

    with working("simulating measured runs") as say:
        ledger = validate(runs, form=form, say=say)
    # Else the page itself goes to standard output, and a table before it would spoil the file.
    if str(output) != "-":
        answer(ledger, as_json=as_json, as_csv=as_csv)
    if output is not None:
        answer_page(ledger, output)
