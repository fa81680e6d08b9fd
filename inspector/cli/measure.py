"""`inspector measure`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inspector.cli.options import answer, json_option, model_argument

if TYPE_CHECKING:
    from typing import Any


@click.command("measure")
@model_argument
@click.option("--bits", type=click.Choice(["32", "16", "8", "4"]), help="Its usual scheme: fp32, bf16, int8 or nf4-dq.")
@click.option("--scheme", metavar="NAME", help="A scheme by name, as `inspector memory` lists them.")
@click.option("--device", default="auto", show_default=True, help="cuda, cuda:1, cpu, or auto: a GPU if there is one.")
@click.option("--layers", type=int, metavar="N", help="Only the first N decoder layers.")
@click.option("--weights", default="random", show_default=True, metavar="random|hub|PATH", help="Where from.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random weights.")
@click.option("--lora", is_flag=True, help="Add real PEFT adapters.")
@click.option("--r", type=int, default=32, show_default=True, help="Their rank.")
@click.option("--dropout", type=float, default=0.0, show_default=True, help="Their dropout.")
@click.option("--target-modules", metavar="SET|NAMES", help="Their targets. Default: attention (q, k, v and o).")
@click.option("--step", is_flag=True, help="Run real training steps on random tokens.")
@click.option("--batch-size", type=int, default=1, show_default=True, help="Sequences in a step.")
@click.option("--seq-len", type=int, default=2048, show_default=True, help="Tokens in a sequence.")
@click.option("--optimizer", default="adamw_torch", show_default=True, help="By transformers' name.")
@click.option("--attention", default="sdpa", show_default=True, help="sdpa or eager.")
@click.option("--gradient-checkpointing/--no-gradient-checkpointing", default=True, show_default=True)
@click.option("--quality", is_flag=True, help="Also how far each scheme is from the original weights.")
@click.option("--limit", metavar="SIZE", help="Pretend the device had no more, such as 16GiB.")
@click.option("--save", is_flag=True, help="Keep a record for `inspector measurements`.")
@json_option
def command(model: str, as_json: bool, save: bool, **options: Any) -> int:
    """Build the real quantized model on a real device and weigh it.

    One tensor at a time, so the full-precision model is never there. Exit code 1 when a figure
    that must be equal to its prediction is not, or the build failed or ran out of memory.

    \b
    Examples:
      inspector measure --bits 4
      inspector measure --layers 2 --scheme int8 --device cpu
      inspector measure --bits 4 --lora --step --save
      inspector measure qwen2.5-0.5b --weights hub --quality
      inspector measure ./my-model --weights ./my-model --json
    """  # noqa: D301
    from inspector.measure.options import spec_from
    from inspector.measure.records import save_record
    from inspector.measure.report import measure
    from inspector.progress import following

    spec = spec_from(model, options)
    with following(f"Measuring {model}") as progress:
        report = measure(spec, progress=progress)
    answer(report, as_json=as_json)
    if save:
        click.echo(f"saved {save_record(report)}", err=True)
    return 0 if report.agrees else 1
