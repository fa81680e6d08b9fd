"""`inspector measure`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import click

from inspector.cli.headed import Habitual, HeadedCommand
from inspector.cli.options import answer, json_option, model_argument, vocabulary_options
from inspector.cli.settings import BATCH, KERNELS, LOOP, NUMBERS, TRAINED, headed, with_settings
from inspector.simulate.setup.settings import FinetuneSettings

if TYPE_CHECKING:
    from inspector.measure.options import MeasureOptions

_SAME = (
    "load_in_4bit", "load_in_8bit", "dropout", "batch_size", "optimizer", "gradient_checkpointing",
    "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "use_rslora",
)  # fmt: skip
"""Options that mean what they mean to a dry run; the others have words or defaults of their own."""


@click.command("measure", cls=HeadedCommand)
@headed("--lora", heading=TRAINED, is_flag=True, help="Add real PEFT adapters.")
@headed("--r", heading=TRAINED, type=int, help="Their rank (32).")
@headed("--target-modules", heading=TRAINED, metavar="SET|NAMES", help="Their targets (attention: q, k, v and o).")
@headed(
    "--bits",
    heading=NUMBERS,
    type=click.Choice(["32", "16", "8", "4"]),
    help="Its usual scheme: fp32, bf16, int8 or nf4-dq.",
)
@headed("--scheme", heading=NUMBERS, metavar="NAME", help="A scheme by name, as `inspector memory` lists them.")
@with_settings(FinetuneSettings, _SAME)
@headed("--step", heading=LOOP, is_flag=True, help="Run real training steps on random tokens.")
@headed("--seq-len", heading=BATCH, type=int, help="Tokens of each (2048).")
@headed(
    "--attn",
    "attention",
    heading=KERNELS,
    unseen=("--attention", "--attn-implementation"),
    type=Habitual(["sdpa", "eager"], "attention"),
    help="Attention (sdpa).",
)
@headed(
    "--device",
    heading="What is built",
    default="auto",
    show_default=True,
    help="cuda, cuda:1, cpu, or auto: a GPU if there is one.",
)
@headed("--layers", heading="What is built", type=int, metavar="N", help="Only the first N decoder layers.")
@headed(
    "--weights",
    heading="What is built",
    default="random",
    show_default=True,
    metavar="random|hub|PATH",
    help="Where from.",
)
@headed("--seed", heading="What is built", type=int, default=0, show_default=True, help="Of random weights.")
@headed("--limit", heading="What is built", metavar="SIZE", help="Pretend the device had no more, such as 16GiB.")
@headed("--parallel", heading="What is built", type=click.Choice(["ddp", "fsdp1", "fsdp2"]), default=None,
        help="Under torchrun: this process's rank of several.")  # fmt: skip
@headed("--quality", heading="The answer", is_flag=True, help="Also how far each scheme is from the original weights.")
@click.option("--save", is_flag=True, help="Keep a record for `inspector measurements`.")
@vocabulary_options
@json_option
@model_argument
def command(model: str, *, as_json: bool, save: bool, **options: Unpack[MeasureOptions]) -> int:
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
      torchrun --nproc-per-node 2 -m inspector measure ... --parallel fsdp2
    """  # noqa: D301
    from inspector.measure.options import spec_from
    from inspector.measure.records import save_record
    from inspector.measure.report import measure
    from inspector.progress import following

    spec = spec_from(model, options)
    with following(f"Measuring {model}") as progress:
        report = measure(spec, progress=progress)
    answer(report, as_json=as_json)
    # After the answer: that stands even if the record cannot be written.
    if save:
        click.echo(f"saved {save_record(report)}", err=True)  # standard output is the answer's alone: --json is parsed
    # Last, so that what was measured until then is printed and kept.
    if report.fault:
        raise report.fault
    return 0 if report.agrees else 1
