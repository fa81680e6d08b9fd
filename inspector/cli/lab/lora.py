"""`inspector lab lora`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inspector.cli.lab.shared import check_output, give, lab_options
from inspector.lab.plan import Settings, plan

if TYPE_CHECKING:
    from pathlib import Path

_USUAL = Settings()


@click.command("lora")
@click.option("--runs", type=int, metavar="N", help="Only the first N runs of the plan: what says most comes first.")
@click.option("--steps", type=int, default=_USUAL.steps, show_default=True, help="Steps of each run.")
@click.option("--batch-size", type=int, default=_USUAL.batch, show_default=True, help="Rows of a step.")
@click.option("--seq-len", type=int, default=_USUAL.seq_len, show_default=True, help="Tokens of a row.")
@click.option("--learning-rate", type=float, default=_USUAL.learning_rate, show_default=True, help="Of all runs.")
@click.option("--held-out", type=int, default=_USUAL.held_out_rows, show_default=True, help="Rows that are held out.")
@click.option("--again", is_flag=True, help="Make runs anew that are kept from before.")
@lab_options
def command(
    model: str | None,
    *,
    runs: int | None,
    steps: int,
    batch_size: int,
    seq_len: int,
    learning_rate: float,
    held_out: int,
    again: bool,
    device: str,
    recorded: bool,
    output: Path | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Fine-tune a real small model, one thing varied at a time, beside the rules of thumb.

    MODEL is as in `inspector lab quantize`. Runs vary r, alpha, targets, the base's precision
    and the seed around r 8, alpha 16 on attention, on docstrings of the installed pandas, with
    others held out: half an hour on two cores. Finished runs are kept, so Ctrl-C loses one at
    most: the same command goes on.

    \b
    Examples:
      inspector lab lora --recorded
      inspector lab lora --runs 5
      inspector lab lora --json
    """  # noqa: D301
    from inspector.errors import InspectorError

    check_output(output, as_json=as_json, as_csv=as_csv)
    if recorded:
        from inspector.lab import recorded_finetuning

        give(recorded_finetuning(), output, as_json=as_json, as_csv=as_csv)
        return
    if runs is not None and runs < 1:
        raise InspectorError(f"runs must be at least 1, not {runs}")
    settings = Settings(steps, batch_size, seq_len, learning_rate, held_out)
    from inspector.lab import finetune
    from inspector.progress import following

    with following("Lab") as progress:
        report = finetune(model, settings=settings, setups=plan()[:runs], device=device, again=again, progress=progress)
    give(report, output, as_json=as_json, as_csv=as_csv)
