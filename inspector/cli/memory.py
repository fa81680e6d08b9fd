"""`inspector memory`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inspector.cli.options import answer, csv_option, json_option, model_argument, vocabulary_options

if TYPE_CHECKING:
    from inspector.lenses.weights import Grouping


@click.command("memory")
@model_argument
@click.option(
    "--bits", type=click.Choice(["32", "16", "8", "4"]), help="Only schemes of this width; 4 is nf4-dq first."
)
# As transformers' BitsAndBytesConfig spells it. Hidden, so that the help teaches one way: --bits.
@click.option("--load-in-4bit", "--4bit", is_flag=True, hidden=True, help="As --bits 4.")
@click.option("--load-in-8bit", "--8bit", is_flag=True, hidden=True, help="As --bits 8.")
@click.option("--scheme", "names", multiple=True, metavar="NAME", help="Only this scheme; repeat for several.")
@click.option("--block-size", type=int, help="Weights that share one absmax in the 4-bit schemes (64).")
@click.option(
    "--by",
    type=click.Choice(["module", "layer", "kind", "component"]),
    help="How to split the bytes. Default: kind; component for a pipeline of several models.",
)
@click.option("--gpu", metavar="CARD", help="Also what this card has left, of any maker: T4, MI300X, M3 Max 64GB.")
@json_option
@csv_option
@vocabulary_options
def command(
    model: str,
    gpu: str | None,
    bits: str | None,
    load_in_4bit: bool,
    load_in_8bit: bool,
    names: tuple[str, ...],
    block_size: int | None,
    by: Grouping | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show what a model's weights take at each precision, to the byte.

    \b
    Schemes: fp32 bf16 fp16 int8 fp8 nf4-dq nf4 fp4-dq fp4
      int8 is bitsandbytes LLM.int8; nf4 and fp4 are its 4-bit types, -dq with
      double quantization. 8- and 4-bit schemes keep what they do not quantize in
      bfloat16.
    Published formats, when named: gptq:4:128 awq hqq:4:64 w4a16:4:128 nvfp4 mxfp4
      gguf:q4_k_m (any file type of llama-quantize); stored is what the model's
      files hold, published what its quantization_config says, which comes first
      where there is one.

    \b
    Examples:
      inspector memory
      inspector memory --bits 4
      inspector memory qwen3-30b-a3b --scheme nf4-dq --by module
      inspector memory --scheme nf4 --block-size 128 --json
      inspector memory --gpu "RX 7900 XTX"
    """  # noqa: D301
    from inspector.gpus import find_card
    from inspector.lenses.memory import memory, usual_grouping
    from inspector.lenses.schemes_of import schemes_of
    from inspector.sources.resolve import locate

    # A set, as the same number said twice is no contradiction.
    said = {bits, *(number for number, flag in (("4", load_in_4bit), ("8", load_in_8bit)) if flag)} - {None}
    if len(said) > 1:
        raise click.UsageError(f"{' and '.join(sorted(map(str, said)))} bits contradict each other")
    width = next(iter(said), None)
    skeleton, schemes = schemes_of(locate(model), names, bits=int(width) if width else None, block_size=block_size)
    card = find_card(gpu) if gpu is not None else None
    answer(memory(skeleton, schemes, by=by or usual_grouping(skeleton), card=card), as_json=as_json, as_csv=as_csv)
