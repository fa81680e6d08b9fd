"""`inspector simulate generate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from inspector.cli.options import answer, answer_page, json_option, model_argument, one_form, output_option
from inspector.errors import InspectorError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("generate")
@model_argument
@click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True)
@click.option("--prompt-len", type=click.IntRange(1), default=1024, show_default=True, help="Tokens of each prompt.")
@click.option("--max-new-tokens", type=click.IntRange(1), default=256, show_default=True, help="Tokens of each answer.")
@click.option(
    "--cache", type=click.Choice(["dynamic", "static", "quantized", "offloaded"]), default="dynamic", show_default=True
)
@click.option("--bits", type=click.Choice(["4", "8", "16", "32"]), help="4: nf4, 8: LLM.int8, 16 and 32: the dtype.")
@click.option("--scheme", type=click.Choice(["none", "nf4", "fp4", "int8"]), help="How the weights are stored.")
@click.option("--double-quant", is_flag=True, help="Quantize the 4-bit constants too.")
@click.option("--dtype", type=click.Choice(["float32", "float16", "bfloat16"]), help="Default: the model's own.")
@click.option("--attn", type=click.Choice(["auto", "sdpa", "eager"]), default="auto", show_default=True)
@click.option(
    "--routing", type=click.Choice(["balanced", "worst"]), default="balanced", show_default=True,
    help="How tokens spread over experts.",
)  # fmt: skip
@click.option("--gpu", help="A card: T4, RTX 4090, A100-80GB, ...  [default: T4]")
@click.option("--vram", default="", help="The card's memory instead of its name, such as 16GiB.")
@click.option("--expandable-segments", is_flag=True, help="PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True.")
@click.option("--solve", is_flag=True, help="Find the longest prompt that fits.")
@output_option
@json_option
def command(
    model: str,
    attn: str,
    gpu: str | None,
    vram: str,
    output: Path | None,
    *,
    expandable_segments: bool,
    solve: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Predict what generating text takes: the prompt, the last token, the cache.

    The real model runs on tensors without data, with transformers' own cache classes.
    Exit code 0 when it fits the card, 1 when it does not.

    \b
    Examples:
      inspector simulate generate
      inspector simulate generate --prompt-len 8192 --batch-size 4 --gpu "RTX 4090"
      inspector simulate generate gemma-3-1b-it --cache static --solve
      inspector simulate generate --bits 4 --gpu T4 --solve --json
      inspector simulate generate -o generation.html
    """  # noqa: D301
    from inspector.cli.simulate.options import settings
    from inspector.fit.longest_prompt import generate_with_longest_prompt
    from inspector.gpus import card_of_size, find_gpu
    from inspector.progress import working

    one_form(output, as_json=as_json)
    if vram and gpu:
        raise InspectorError("a card's memory takes the place of its name", hint="give either --gpu or --vram")
    card = card_of_size(vram) if vram else find_gpu(gpu or "T4")
    with working("simulating generation"):
        report = generate_with_longest_prompt(
            model, gpu=card, attention=attn, expandable_segments=expandable_segments, solve=solve, **settings(said)
        )
    if output is None:
        answer(report, as_json=as_json)
    else:
        answer_page("generate", report, output)
    return 0 if report.fits else 1
