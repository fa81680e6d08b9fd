"""`inspector simulate finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from inspector.cli.options import (
    ModelReference,
    answer,
    answer_page,
    json_option,
    one_form,
    output_option,
    trust_option,
)
from inspector.simulate.setup import words
from inspector.simulate.setup.recipes import RECIPES


def _setting(*names: str, **more: Any) -> Any:
    """An option that is None unless said, so that the recipe and the defaults can speak."""
    return click.option(*names, default=None, **more)


def _switch(name: str, text: str) -> Any:
    return click.option(f"--{name}/--no-{name}", default=None, help=text)


OPTIONS = (
    _setting("--method", type=click.Choice(get_args(words.Method)), help="What is trained (qlora)."),
    _setting("--bits", type=click.Choice(["4", "8", "16", "32"]), help="4: nf4, 8: LLM.int8, 16 and 32: the dtype."),
    _setting("--scheme", type=click.Choice(get_args(words.StoredAs)), help="How the base model is quantized."),
    _switch("double-quant", "Quantize the 4-bit constants too."),
    _setting("--dtype", type=click.Choice(["float32", "float16", "bfloat16"]), help="Load in (the config's own)."),
    _setting("--r", type=int, help="Rank of the adapters."),
    _setting("--alpha", type=int, help="LoRA's alpha."),
    _setting("--target-modules", help="Comma-separated; all-linear; PEFT's own choice when left out."),
    _setting("--dropout", type=float, help="LoRA's dropout."),
    _switch("use-dora", "DoRA."),
    _switch("use-rslora", "Rank-stabilized LoRA."),
    _setting("--modules-to-save", help="Comma-separated modules trained in full."),
    _setting("--adapter-dtype", type=click.Choice(["float32", "auto"]), help="auto: the base layer's."),
    _setting("--autocast", type=click.Choice(get_args(words.Autocast))),
    _switch("prepare-kbit", "Call prepare_model_for_kbit_training."),
    _setting("--batch-size", type=int),
    _setting("--seq-len", type=int),
    _switch("padding-mask", "Pass an attention mask."),
    _switch("packed", "Several samples in one sequence."),
    _switch("gradient-checkpointing", "Recompute activations in the backward pass."),
    _switch("reentrant", "The older kind of checkpointing."),
    _setting("--attn", "attention", type=click.Choice(get_args(words.Attention))),
    _setting("--loss", type=click.Choice(get_args(words.Loss)[:3])),
    _setting("--optimizer", help="By transformers' names: adamw_torch, paged_adamw_8bit, adafactor, sgd, ..."),
    _setting("--grad-clip", type=float, help="Largest gradient norm; 0 never clips."),
    _setting("--grad-accum", type=int),
    _setting("--steps", type=int, help="Steps to simulate (2: the first and the steady state)."),
    _setting("--routing", type=click.Choice(get_args(words.Routing)), help="How tokens spread over experts."),
    _setting("--gpu", help="A card: T4, RTX 4090, A100-80GB, ..."),
    _switch("expandable-segments", "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"),
)


def _with_options(function: Any) -> Any:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


@click.command("finetune")
@click.argument("model", type=ModelReference(), required=False)
@trust_option
@click.option("--recipe", default="", help=f"Start from: {', '.join(item.name for item in RECIPES)}.")
@_with_options
@click.option("--vram", default="", help="The card's memory instead of its name, such as 16GiB.")
@click.option("--solve", is_flag=True, help="Find the largest batch, length and rank that fit.")
@click.option("--trace", "trace_file", type=click.Path(path_type=Path), help="Write a snapshot for memory_viz.")
@output_option
@json_option
def command(
    model: str | None,
    recipe: str,
    vram: str,
    trace_file: Path | None,
    output: Path | None,
    *,
    solve: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Predict what fine-tuning a model takes on a card: allocated, reserved, the whole process.

    The real training step of transformers, PEFT and bitsandbytes runs on tensors without data;
    every allocation is replayed through a model of PyTorch's caching allocator.
    With --gpu or --vram, the cheapest changes that make it fit where it does not, each one simulated.
    Exit code 0 when it fits the card, 1 when it does not.

    \b
    Examples:
      inspector simulate finetune
      inspector simulate finetune qwen2.5-7b --r 16 --seq-len 2048 --gpu "RTX 4090"
      inspector simulate finetune --recipe week7-lite --json
      inspector simulate finetune llama-3.2-1b --gpu T4 -o dry-run.html
      inspector simulate finetune --method full --optimizer adamw_8bit --gpu H100
    """  # noqa: D301
    from inspector.cli.simulate.options import settings
    from inspector.files import check_place
    from inspector.fit.advise import finetune_with_advice
    from inspector.progress import working
    from inspector.simulate.finetuning import write_trace

    one_form(output, as_json=as_json)
    if trace_file is not None:
        check_place(trace_file)
    options = settings(said)
    with working("simulating a training step"):
        report = finetune_with_advice(
            model,
            recipe=recipe,
            vram=vram,
            keep_events=trace_file is not None,
            advise=bool(vram or options.get("gpu")),
            solve=solve,
            **options,
        )
    if output is None:
        answer(report, as_json=as_json)
    else:
        answer_page("finetune", report, output)
    if trace_file is not None:
        write_trace(report, trace_file)
    return 0 if report.fits else 1
